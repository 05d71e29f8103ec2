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

/** Files that match, absolute and sorted. `*` and `?` stay within a folder, `**` goes down; hidden ones are left out. */
export const glob = async (folder: string, pattern: string): Promise<readonly string[]> => {
  const whole = resolve(folder, pattern).split('/');
  const fixed = whole.findIndex((part) => /[*?]/.test(part));
  const root = whole.slice(0, fixed === -1 ? -1 : fixed).join('/') || '/';
  const parts = whole.slice(fixed === -1 ? -1 : fixed).map((part) =>
    part === '**'
      ? part
      : new RegExp(
          `^${part
            .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
            .replaceAll('*', '[^/]*')
            .replaceAll('?', '[^/]')}$`,
        ),
  );
  const found = new Set<string>();
  const walk = async (at: string, rest: typeof parts): Promise<void> => {
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
