// A clean clone on a bare machine is told the one command that helps before anything is installed.
import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from '@jest/globals';

const root = fileURLToPath(new URL('../..', import.meta.url));

describe('the set-up of a clean clone', () => {
  const clone = mkdtempSync(join(tmpdir(), 'amends-clone-'));
  cpSync(join(root, 'scripts'), join(clone, 'scripts'), { recursive: true });
  copyFileSync(join(root, 'package-lock.json'), join(clone, 'package-lock.json'));

  afterAll(() => rmSync(clone, { recursive: true, force: true }));

  it.each(['test', 'demo'])(
    'npm run %s names the packages that are missing, and keeps stdout for results',
    (script) => {
      const { status, stdout, stderr } = spawnSync(process.execPath, [`scripts/${script}.mjs`], {
        cwd: clone,
        env: { PATH: '' },
        encoding: 'utf8',
      });
      expect(status).toBe(1);
      expect(stdout).toBe('');
      expect(stderr).toContain('sudo apt-get update && sudo apt-get install -y git g++ make python3');
    },
  );
});
