// The shipped alert rules, asked by Prometheus' own tools.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { formatProblem } from '../../src/base/failure.ts';
import type { Result } from '../../src/base/failure.ts';
import { loadCatalog } from '../../src/catalog.ts';
import { loadConfig } from '../../src/config.ts';
import { actions, facts, winnerAmong } from '../support/content.ts';
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

type Alert = { readonly alert?: string; readonly labels?: Readonly<Record<string, string>> };
const value = <T>(result: Result<T>): T => {
  if (!result.ok) throw new Error(result.problems.map(formatProblem).join('\n'));
  return result.value;
};

describe('R2 O10 rules and alerts', () => {
  it('R2 O10 each shipped rule wins an alert that is shipped with it, or says why it is asked for by hand only; each alert to be remediated has a rule', async () => {
    const config = value(await loadConfig(join(root, 'amends.yaml')));
    const { rules } = value(await loadCatalog({ config, actions: await actions(), facts: await facts() }));
    const raised = new Map<string, string[]>();
    const unheard: string[] = [];
    for (const name of files) {
      const { groups } = parse(readFileSync(join(folder, name), 'utf8')) as {
        groups: ReadonlyArray<{ rules: readonly Alert[] }>;
      };
      for (const { alert, labels } of groups.flatMap((group) => group.rules)) {
        if (alert === undefined || labels?.['remediation'] !== 'amends') continue;
        const winner = await winnerAmong(rules, 'any', { alertname: alert, ...labels });
        if (winner === null) unheard.push(alert);
        else raised.set(winner, [...(raised.get(winner) ?? []), alert]);
      }
    }
    expect(unheard).toEqual([]);
    const byHand = rules.rules.filter(({ description }) => description.includes('asked for by hand only'));
    expect(byHand.map(({ name }) => name)).toEqual(['application-planned-rollback']);
    const without = rules.rules.filter((rule) => !raised.has(rule.name) && !byHand.includes(rule));
    expect(without.map(({ name }) => name)).toEqual([]);
    // What is asked for by hand only has no alert that raises it behind anybody's back.
    expect(byHand.filter(({ name }) => raised.has(name))).toEqual([]);
  });
});

describe('alerts/amends.yaml', () => {
  it('is for people: none of it is ever remediated', () => {
    const { groups } = parse(readFileSync(join(folder, 'amends.yaml'), 'utf8')) as {
      groups: ReadonlyArray<{ rules: ReadonlyArray<{ alert?: string; labels?: Readonly<Record<string, string>> }> }>;
    };
    const alerts = groups.flatMap(({ rules }) => rules).filter(({ alert }) => alert !== undefined);
    expect(alerts.length).toBeGreaterThan(10);
    for (const { alert, labels } of alerts) {
      expect(alert).toMatch(/^Amends/);
      expect(labels).not.toHaveProperty('remediation');
      expect(['critical', 'warning', 'info']).toContain(labels?.['severity']);
    }
    const { route } = parse(readFileSync(join(root, 'deploy/alertmanager.yml'), 'utf8')) as {
      route: { routes: ReadonlyArray<{ matchers?: readonly string[]; receiver: string }> };
    };
    // What `amends send-test` sends is not kept from amends by it.
    expect(route.routes[0]).toEqual({
      matchers: ['alertname=~"Amends.*"', 'alertname!="AmendsTest"'],
      receiver: 'humans',
    });
  });
});

describe('deploy', () => {
  itWith('promtool')('deploy/prometheus.yml is taken by Prometheus with the rule files it names', () => {
    expect(promtool('check', 'config', 'deploy/prometheus.yml')).toContain('SUCCESS');
  });
});
