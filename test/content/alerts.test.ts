// The shipped alert rules, asked by Prometheus' own tools.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { binaryOf, itWith } from '../support/requires.ts';
import { root } from '../support/servers.ts';

const folder = join(root, 'alerts');
const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'));

const promtool = (...args: string[]): string =>
  execFileSync(binaryOf('promtool') ?? 'promtool', args, { cwd: root, encoding: 'utf8', stdio: 'pipe' });

describe.each(files)('alerts/%s', (name) => {
  it('has tests beside it', () => {
    expect(existsSync(join(folder, 'tests', name.replace('.yaml', '.test.yaml')))).toBe(true);
  });

  itWith('promtool')('is taken by Prometheus', () => {
    expect(promtool('check', 'rules', join('alerts', name))).toContain('SUCCESS');
  });

  itWith('promtool')('D1 each alert fires for its own reason and is quiet for the others', () => {
    expect(promtool('test', 'rules', join('alerts/tests', name.replace('.yaml', '.test.yaml')))).toContain('SUCCESS');
  });
});

describe('deploy', () => {
  itWith('promtool')('deploy/prometheus.yml is taken by Prometheus with the rule files it names', () => {
    expect(promtool('check', 'config', 'deploy/prometheus.yml')).toContain('SUCCESS');
  });
});
