// What an account may do with a path, found out by trying as that account, and why not, from the folders on the way.
import { existsSync, readFileSync } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { ActionError } from '../../base/failure.ts';
import type { ActionContext } from '../../port/action.ts';

export type Account = { readonly uid: number; readonly gid: number; readonly name: string };
export type Need = 'read' | 'write';

const lines = (file: string): readonly (readonly string[])[] => {
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .map((line) => line.split(':'));
  } catch {
    return [];
  }
};

/** By name or number; the one amends runs as without. */
export const accountOf = (given: string | undefined): Account => {
  const wanted = given ?? String(process.geteuid?.() ?? 0);
  const entry = lines('/etc/passwd').find(([name, , uid]) => name === wanted || uid === wanted);
  if (entry !== undefined) return { name: entry[0] ?? wanted, uid: Number(entry[2]), gid: Number(entry[3]) };
  if (/^\d{1,9}$/.test(wanted)) return { name: wanted, uid: Number(wanted), gid: Number(wanted) };
  throw new ActionError(
    'permanent',
    `there is no account ${wanted} on this machine; mend: name the one that the service runs as`,
  );
};

export const groupIdOf = (given: string): number => {
  const entry = lines('/etc/group').find(([name, , gid]) => name === given || gid === given);
  if (entry !== undefined) return Number(entry[2]);
  if (/^\d{1,9}$/.test(given)) return Number(given);
  throw new ActionError('permanent', `there is no group ${given} on this machine`);
};

const nameOf = (file: string, id: number): string =>
  lines(file).find(([, , number]) => number === String(id))?.[0] ?? String(id);

const firstExisting = (...paths: readonly string[]): string | null => paths.find((path) => existsSync(path)) ?? null;
const SETPRIV = firstExisting('/usr/bin/setpriv', '/bin/setpriv');
const TEST = firstExisting('/usr/bin/test', '/bin/test');

/** One question asked as the account itself, which knows of groups, access lists and read-only mounts alike. */
const tryAs = async (
  account: Account,
  test: '-r' | '-w' | '-x' | '-e',
  path: string,
  context: ActionContext,
): Promise<boolean> => {
  const self = process.geteuid?.() ?? 0;
  if (SETPRIV === null || TEST === null)
    throw new ActionError('permanent', 'setpriv or test is missing here; mend: install util-linux and coreutils');
  if (self !== 0 && self !== account.uid)
    throw new ActionError(
      'permanent',
      `amends runs as uid ${self} and cannot try as ${account.name}; mend: run it as root, or check an account of its own`,
    );
  const as =
    self === 0 && account.uid !== 0
      ? [SETPRIV, `--reuid=${account.uid}`, `--regid=${account.gid}`, '--init-groups', '--']
      : [];
  const [file = '', ...args] = [...as, TEST, test, path] as readonly string[];
  const result = await context.spawner.run(
    { file, args, env: {}, cwd: '/', stdin: null, timeoutMs: 5_000, graceMs: 100 },
    context.marker,
    context.signal,
  );
  context.signal.throwIfAborted();
  if (!result.started || result.timedOut || result.exitCode === null || result.exitCode > 1)
    throw new ActionError(
      'retryable',
      `whether ${account.name} may use ${path} cannot be told: ${result.error ?? (result.timedOut ? 'no answer in time' : result.stderr.text.trim().slice(0, 200))}`,
    );
  return result.exitCode === 0;
};

export type Finding = {
  readonly accessible: boolean;
  readonly exists: boolean;
  readonly kind: 'file' | 'folder' | 'other' | 'missing';
  readonly owner: string;
  readonly group: string;
  /** Four octal digits. */
  readonly mode: string;
  readonly account: string;
  /** The first folder on the way that the account may not enter, or the path itself, or empty. */
  readonly blocked_at: string;
  readonly reason: string;
};

const foldersAbove = (path: string): readonly string[] =>
  path
    .split('/')
    .slice(1, -1)
    .map((_, index, parts) => `/${parts.slice(0, index + 1).join('/')}`);

/** `write` on a folder means to make and remove files in it. */
export const examine = async (path: string, account: Account, need: Need, context: ActionContext): Promise<Finding> => {
  const stat = await lstat(path).catch(() => null);
  const base = {
    exists: stat !== null,
    kind: stat === null ? 'missing' : stat.isDirectory() ? 'folder' : stat.isFile() ? 'file' : 'other',
    owner: stat === null ? '' : nameOf('/etc/passwd', stat.uid),
    group: stat === null ? '' : nameOf('/etc/group', stat.gid),
    mode: stat === null ? '' : (stat.mode & 0o7777).toString(8).padStart(4, '0'),
    account: account.name,
  } as const;
  const blocked = (at: string, reason: string): Finding => ({ ...base, accessible: false, blocked_at: at, reason });
  // The whole question first: mostly that is all there is to ask.
  const wanted = [need === 'write' ? '-w' : '-r', ...(stat?.isDirectory() === true ? (['-x'] as const) : [])] as const;
  let passes = stat !== null;
  for (const test of wanted) passes = passes && (await tryAs(account, test, path, context));
  if (passes) return { ...base, accessible: true, blocked_at: '', reason: '' };
  for (const folder of foldersAbove(path)) {
    if (await tryAs(account, '-x', folder, context)) continue;
    const above = await lstat(folder).catch(() => null);
    if (above === null) return blocked(folder, `${folder} does not exist`);
    return blocked(
      folder,
      `${account.name} may not enter ${folder} (${nameOf('/etc/passwd', above.uid)}:${nameOf('/etc/group', above.gid)} ${(above.mode & 0o7777).toString(8).padStart(4, '0')})`,
    );
  }
  if (stat === null) return blocked(path, `${path} does not exist`);
  return blocked(path, `${account.name} may not ${need} ${path} (${base.owner}:${base.group} ${base.mode})`);
};
