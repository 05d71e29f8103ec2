// Which commit the folder of the configuration stands at, read from git's own files: no process is started for it. Whether
// files were changed since cannot be told cheaply, and the digests say what was loaded in any case.
import { readFile, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

const COMMIT = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;
/** Git packs refs into one file; one of hundreds of thousands of refs is not worth the time of a start. */
const LARGEST_FILE = 16 * 1024 * 1024;
/** A ref may point to a ref. */
const DEEPEST = 5;

/** The commit that is checked out in the repository around the folder; null outside of one, or if git would have to be asked. */
export const revisionOf = async (folder: string): Promise<string | null> => {
  const found = await gitFolder(resolve(folder));
  if (found === null) return null;
  // A worktree keeps its own HEAD, and shares all refs with the repository it belongs to.
  const shared = await textOf(join(found, 'commondir'));
  const folders = shared === null ? [found] : [found, resolve(found, shared)];
  return commitOf(folders, 'HEAD', DEEPEST);
};

const gitFolder = async (folder: string): Promise<string | null> => {
  const at = join(folder, '.git');
  const kind = await stat(at).catch(() => null);
  if (kind?.isDirectory() === true) return at;
  const pointer = kind?.isFile() === true ? /^gitdir: (.+)$/.exec((await textOf(at)) ?? '')?.[1] : undefined;
  if (pointer !== undefined) return resolve(folder, pointer);
  const above = dirname(folder);
  return above === folder ? null : gitFolder(above);
};

const commitOf = async (folders: readonly string[], ref: string, left: number): Promise<string | null> => {
  for (const folder of folders) {
    const text = await textOf(join(folder, ref));
    if (text === null) continue;
    if (COMMIT.test(text)) return text;
    const next = /^ref: (refs\/[^\0]+)$/.exec(text)?.[1];
    return next === undefined || left === 0 || next.split('/').includes('..')
      ? null
      : commitOf(folders, next, left - 1);
  }
  for (const folder of folders) {
    const packed = (await textOf(join(folder, 'packed-refs'))) ?? '';
    const line = packed.split('\n').find((candidate) => candidate.endsWith(` ${ref}`));
    const commit = line?.split(' ')[0] ?? '';
    if (COMMIT.test(commit)) return commit;
  }
  return null;
};

/** Without the line break at its end; null when there is no such file, or none of a size that is read. */
const textOf = async (file: string): Promise<string | null> => {
  try {
    const { size } = await stat(file);
    return size > LARGEST_FILE ? null : (await readFile(file, 'utf8')).trimEnd();
  } catch {
    return null;
  }
};
