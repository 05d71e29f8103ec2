// The list of what is claimed has to fail when a claim has no test.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

type Id = { readonly id: string; readonly title: string; readonly claimed?: boolean };

const root = join(import.meta.dirname, '../..');
const list = (...given: readonly string[]) =>
  spawnSync(process.execPath, ['scripts/coverage-ids.mjs', ...given], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'amends-ids-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const withIds = (...ids: readonly Id[]): string => {
  const file = join(folder, 'ids.json');
  writeFileSync(file, JSON.stringify(ids));
  return file;
};

describe('the list of ids with what covers them', () => {
  it('says which claimed id has no test, and fails', () => {
    const nobodys = 'I98';
    const file = withIds(
      { id: nobodys, title: 'Nobody tests it', claimed: true },
      { id: 'F1', title: 'Crash', claimed: true },
    );
    const { status, stdout } = list('--ids', file);
    expect(status).toBe(1);
    expect(stdout).toContain(`${nobodys}  Nobody tests it (CLAIMED, WITHOUT A TEST)`);
    expect(stdout).toContain('1 of 2 covered, 1 claimed without a test');
    expect(stdout).toMatch(/F1 {3}Crash \(covered\)\n {7}\S+\.(test\.ts|mjs): /);
  });

  it('lets pass what is open and not claimed', () => {
    const { status, stdout } = list('--ids', withIds({ id: 'I98', title: 'Nobody tests it' }));
    expect(status).toBe(0);
    expect(stdout).toContain('(open)');
  });

  it('covers every fault and invariant but those of PostgreSQL and of lost power, and all of them are claimed', () => {
    const ids = JSON.parse(readFileSync(join(root, 'test/ids.json'), 'utf8')) as readonly Id[];
    const notHere = ['F9', 'F10', 'F13', 'F22', 'F23', 'F26', 'F27', 'F63'];
    const wanted = ids.filter(({ id }) => /^[FI]\d+$/.test(id) && !notHere.includes(id));
    expect(wanted).toHaveLength(64 + 14 - notHere.length);
    expect(wanted.filter(({ claimed }) => claimed !== true)).toEqual([]);
    const { status, stdout } = list('--output=json');
    expect(status).toBe(0);
    expect((JSON.parse(stdout) as { uncovered: string[] }).uncovered).toEqual([]);
  });

  it('is what `npm run torture -- --list` prints', () => {
    const torture = spawnSync(process.execPath, ['torture/main.mjs', '--list'], {
      cwd: root,
      encoding: 'utf8',
      maxBuffer: 2 ** 26,
    });
    expect(torture.status).toBe(0);
    expect(torture.stdout).toBe(list().stdout);
  });
});
