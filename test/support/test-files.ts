// Test files of rules and runbooks run as `amends test` runs them, in a folder of their own or where they stand.
import { mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openScratchStore } from '../../src/app.ts';
import { systemClock } from '../../src/base/clock.ts';
import { createLog } from '../../src/base/log.ts';
import { createRedactor } from '../../src/base/secret.ts';
import type { Action } from '../../src/port/action.ts';
import type { Fact } from '../../src/port/fact.ts';
import { loadByName } from '../../src/port/loader.ts';
import { createBases } from '../../src/replay/test-base.ts';
import type { Bases } from '../../src/replay/test-base.ts';
import { runSuite } from '../../src/replay/test-suite.ts';
import type { Suite } from '../../src/replay/test-suite.ts';
import type { TestParts } from '../../src/replay/test-world.ts';
import { writeFiles } from './engine.ts';

const src = new URL('../../src/', import.meta.url);

export const testParts = async (): Promise<TestParts> => {
  const log = createLog('silent', createRedactor());
  return {
    actions: await loadByName<Action>(new URL('actions/', src), true),
    facts: await loadByName<Fact>(new URL('facts/', src), false),
    log,
    openStore: (clock, ids) => openScratchStore(clock, ids, log),
  };
};

export type Folder = {
  readonly path: string;
  readonly bases: Bases;
  write(files: Readonly<Record<string, string | object>>): void;
  /** Runs files that stand in the folder. */
  run(...names: readonly string[]): Promise<Suite>;
  remove(): void;
};

/** With `amends.yaml` as the configuration of tests that name none. */
export const testFolder = (parts: TestParts, files: Readonly<Record<string, string | object>>): Folder => {
  const path = mkdtempSync(join(tmpdir(), 'amends-test-files-'));
  writeFiles(path, files);
  const bases = createBases(parts, join(path, 'amends.yaml'));
  return {
    path,
    bases,
    write: (more) => writeFiles(path, more),
    run: (...names) =>
      runFiles(
        parts,
        bases,
        names.map((name) => join(path, name)),
      ),
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
};

export const runFiles = async (parts: TestParts, bases: Bases, paths: readonly string[]): Promise<Suite> =>
  runSuite({
    files: await Promise.all(paths.map(async (file) => ({ file, text: await readFile(file, 'utf8') }))),
    parts,
    bases,
    named: null,
    clock: systemClock,
  });
