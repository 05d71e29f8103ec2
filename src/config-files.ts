// Where the texts of the configuration come from, and the patterns that find them.
import { readFile, readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { ok, refused } from './base/failure.ts';
import type { Result } from './base/failure.ts';

/** What the disk is to the configuration; tests and `amends test` pass their own. */
export type Readers = {
  readText(file: string): Promise<string>;
  glob(folder: string, pattern: string): Promise<readonly string[]>;
};

export const diskReaders: Readers = {
  readText: (file) => readFile(file, 'utf8'),
  glob: (folder, pattern) => glob(folder, pattern),
};

const MOST_FILES = 10_000;

type Part = RegExp | '**';

const partsOf = (names: readonly string[]): readonly Part[] =>
  names.map((name) =>
    name === '**'
      ? name
      : new RegExp(
          `^${name
            .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
            .replaceAll('*', '[^/]*')
            .replaceAll('?', '[^/]')}$`,
        ),
  );

/** Files that are there already, by their whole paths: a configuration on record. */
export const readersOf = (texts: ReadonlyMap<string, string>): Readers => ({
  async readText(file) {
    const text = texts.get(file);
    if (text === undefined) throw Object.assign(new Error('it is not on record'), { code: 'ENOENT' });
    return text;
  },
  async glob(folder, pattern) {
    const parts = partsOf(resolve(folder, pattern).split('/'));
    return [...texts.keys()].filter((file) => fits(file.split('/'), parts)).toSorted();
  },
});

const fits = (names: readonly string[], [part, ...below]: readonly Part[]): boolean => {
  if (part === undefined) return names.length === 0;
  if (part === '**') return fits(names, below) || (names.length > 0 && fits(names.slice(1), [part, ...below]));
  return names.length > 0 && part.test(names[0] ?? '') && fits(names.slice(1), below);
};

/** Files that match, absolute and sorted. `*` and `?` stay within a folder, `**` goes down; hidden ones are left out. */
export const glob = async (folder: string, pattern: string): Promise<readonly string[]> => {
  const whole = resolve(folder, pattern).split('/');
  const fixed = whole.findIndex((part) => /[*?]/.test(part));
  const root = whole.slice(0, fixed === -1 ? -1 : fixed).join('/') || '/';
  const parts = partsOf(whole.slice(fixed === -1 ? -1 : fixed));
  const found = new Set<string>();
  const walk = async (at: string, rest: readonly Part[]): Promise<void> => {
    const [part, ...below] = rest;
    if (part === undefined || found.size > MOST_FILES) return;
    if (part === '**') await walk(at, below);
    const entries = await readdir(at, { withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      if (entry.name.startsWith('.') && fixed !== -1) continue;
      const path = join(at, entry.name);
      if (part === '**') {
        if (entry.isDirectory()) await walk(path, rest);
      } else if (part instanceof RegExp && part.test(entry.name)) {
        if (below.length === 0 && !entry.isDirectory()) found.add(path);
        else if (below.length > 0 && entry.isDirectory()) await walk(path, below);
      }
    }
  };
  await walk(root, parts);
  return [...found].toSorted();
};

export const readText = async (readers: Readers, file: string): Promise<Result<string>> => {
  try {
    return ok(await readers.readText(file));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    return refused([
      {
        code: code === 'ENOENT' ? 'no-such-file' : 'unreadable-file',
        message: `the file cannot be read (${code})`,
        mend: 'create it, or name another',
        file,
      },
    ]);
  }
};
