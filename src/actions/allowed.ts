// The outer bound for files and commands: what `allow.paths` and `allow.commands` of the configuration do not name is not
// touched, and a link does not lead out of it.
import { lstat, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ActionError } from '../base/failure.ts';
import type { Allow } from '../port/action.ts';

const realOrNull = async (path: string): Promise<string | null> => {
  try {
    return await realpath(path);
  } catch {
    return null;
  }
};

/** The real path of a file's folder, or of the nearest folder above that exists with the rest put behind it. */
const realFolder = async (folder: string): Promise<string> => {
  const real = await realOrNull(folder);
  if (real !== null) return real;
  return folder === '/' ? '/' : join(await realFolder(dirname(folder)), basename(folder));
};

const lies = (path: string, root: string): boolean => path === root || path.startsWith(`${root}/`);

/**
 * The path with links in its folders resolved. Throws `permanent` when it is outside of `allow.paths`, or is itself a
 * link, or is there but neither a plain file nor a folder. A file that is not there passes: that is for the action to say.
 */
export const allowedPath = async (path: string, allow: Allow, what: string): Promise<string> => {
  const real = join(await realFolder(dirname(path)), basename(path));
  let allowed = false;
  for (const root of allow.paths) {
    const realRoot = root === '/' || !root.startsWith('/') ? null : ((await realOrNull(root)) ?? root);
    if (realRoot !== null && realRoot !== '/' && lies(real, realRoot)) allowed = true;
  }
  if (!allowed) {
    const shown = real === path ? path : `${path} (really ${real})`;
    throw new ActionError(
      'permanent',
      `${what} ${shown} is not allowed; mend: add "${dirname(path)}" to allow.paths in the configuration`,
    );
  }
  try {
    const stat = await lstat(real);
    if (stat.isSymbolicLink()) {
      throw new ActionError(
        'permanent',
        `${what} ${path} is a symbolic link, which could lead elsewhere by the time it is used; mend: name the file it points to`,
      );
    }
    if (!stat.isFile() && !stat.isDirectory())
      throw new ActionError('permanent', `${what} ${path} is neither a file nor a folder`);
  } catch (error) {
    if (error instanceof ActionError || (error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  return real;
};

/** Throws `permanent` for an executable that `allow.commands` does not name. */
export const allowedCommand = (file: string, allow: Allow): string => {
  if (allow.commands.includes(file)) return file;
  throw new ActionError(
    'permanent',
    `the command ${file} is not allowed; mend: add "${file}" to allow.commands in the configuration`,
  );
};
