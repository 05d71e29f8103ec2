// Which folders may be walked as a whole: allow.paths bounds them, and no configuration can name what a machine lives on.
import { homedir } from 'node:os';
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { Allow } from '../../port/action.ts';
import { allowedPath } from '../allowed.ts';
import { absolutePath } from '../inputs.ts';

/** These and everything below them. */
const SYSTEM = [
  '/bin',
  '/boot',
  '/dev',
  '/etc',
  '/lib',
  '/lib32',
  '/lib64',
  '/libx32',
  '/proc',
  '/sbin',
  '/sys',
  '/usr',
];
/** These themselves; folders below them may be named. */
const TOO_WIDE = new Set(['/home', '/media', '/mnt', '/opt', '/root', '/run', '/srv', '/var', '/var/lib']);

export const roots = z.array(absolutePath).min(1).max(20);

export const allowedRoots = async (paths: readonly string[], allow: Allow): Promise<readonly string[]> => {
  const real: string[] = [];
  for (const path of paths) {
    const root = await allowedPath(path, allow, 'the folder');
    const home = homedir();
    const system = SYSTEM.find((folder) => root === folder || root.startsWith(`${folder}/`));
    if (system !== undefined || TOO_WIDE.has(root) || root === home || home.startsWith(`${root}/`))
      throw new ActionError(
        'permanent',
        `${root} is never cleaned: ${system === undefined ? 'too much of the machine lives there' : `it belongs to the system (${system})`}; mend: name the folder below it that is meant`,
      );
    real.push(root);
  }
  return real;
};
