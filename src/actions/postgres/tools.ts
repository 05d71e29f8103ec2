// PostgreSQL's own programs for dumps: run without a shell, with the connection in their environment, and with a check
// of a dump that reads all of it.
import { lstat, readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { ActionError } from '../../base/failure.ts';
import type { ActionContext, CommandResult } from '../../port/action.ts';
import { allowedCommand } from '../allowed.ts';
import { stamp } from '../sqlite/backups.ts';
import type { Endpoint } from './client.ts';
import { nameOf } from './client.ts';

const ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C.UTF-8',
  TZ: 'UTC',
  HOME: '/nonexistent',
  PGCONNECT_TIMEOUT: '10',
  PGAPPNAME: 'amends pg_dump',
};
const GRACE_MS = 2_000;
const ROOM_MS = 250;
const FOR_GOOD =
  /version mismatch|authentication failed|does not exist|permission denied|must be (?:owner|superuser)|already exists|not appear to be a valid archive|could not (?:read|uncompress)|end of file|corrupt|invalid/i;

const lastLines = (result: CommandResult): string =>
  result.stderr.text.trim().split('\n').slice(-3).join(' ').slice(0, 500);

/** Throws when it did not end with 0; `endpoint` null: it needs no server. */
export const runTool = async (
  file: string,
  args: readonly string[],
  endpoint: (Endpoint & { readonly into?: string }) | null,
  context: ActionContext,
): Promise<CommandResult> => {
  const { clock, deadline, marker, signal, spawner } = context;
  allowedCommand(file, context.allow);
  const left = Math.max(1, deadline - clock.monotonic());
  const graceMs = Math.min(GRACE_MS, left / 4);
  const connection: Record<string, string> =
    endpoint === null
      ? {}
      : {
          PGHOST: endpoint.host,
          PGHOSTADDR: endpoint.address,
          PGPORT: String(endpoint.port),
          PGUSER: endpoint.user,
          PGDATABASE: endpoint.into ?? endpoint.database,
          PGSSLMODE: endpoint.tls ? 'verify-full' : 'disable',
          ...(endpoint.password === null ? {} : { PGPASSWORD: endpoint.password }),
        };
  const result = await spawner.run(
    {
      file,
      args,
      env: { ...ENVIRONMENT, ...connection },
      cwd: '/',
      stdin: null,
      timeoutMs: Math.max(1, left - graceMs - Math.min(ROOM_MS, left / 4)),
      graceMs,
    },
    marker,
    signal,
  );
  if (!result.started) throw new ActionError('permanent', `${file} was not started: ${result.error ?? 'unknown'}`);
  if (result.timedOut || signal.aborted || result.exitCode === null)
    throw new ActionError(
      'indeterminate',
      `${basename(file)} was ended before it was done${endpoint === null ? '' : `, with ${nameOf(endpoint)}`}`,
    );
  if (result.exitCode === 0) return result;
  const said = lastLines(result);
  throw new ActionError(
    FOR_GOOD.test(said) ? 'permanent' : 'retryable',
    `${basename(file)} ended with ${result.exitCode}: ${said}`,
  );
};

export const dumpName = (database: string, at: number): string => `${database}-${stamp(at)}.dump`;

/** Newest first. A folder that is not there holds none. */
export const listDumps = async (folder: string, database: string): Promise<readonly string[]> => {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new ActionError('permanent', `the folder ${folder} cannot be read (${error.code ?? 'unknown'})`, {
      cause: error,
    });
  });
  return names
    .filter((name) => name.startsWith(`${database}-`) && /^\d{8}T\d{9}Z\.dump$/.test(name.slice(database.length + 1)))
    .toSorted()
    .toReversed()
    .map((name) => join(folder, name));
};

export type CheckedDump = { readonly bytes: number; readonly ageMs: number };

/** Why a dump may not be relied on, or its size and age. It is read to its end: a table of contents alone proves nothing. */
export const checkDump = async (
  path: string,
  pgRestore: string,
  maxAgeMs: number | null,
  context: ActionContext,
): Promise<CheckedDump | string> => {
  const stat = await lstat(path).catch((error: NodeJS.ErrnoException) => error.code ?? 'unknown');
  if (typeof stat === 'string') return stat === 'ENOENT' ? 'is not there' : `cannot be looked at (${stat})`;
  if (!stat.isFile()) return 'is not a plain file';
  if (stat.size === 0) return 'is empty (0 bytes)';
  const ageMs = Math.max(0, context.clock.now() - stat.mtimeMs);
  if (maxAgeMs !== null && ageMs > maxAgeMs) return `is ${Math.round(ageMs / 1_000)} s old`;
  try {
    await runTool(pgRestore, ['--file=/dev/null', path], null, context);
  } catch (error) {
    if (
      error instanceof ActionError &&
      error.kind === 'permanent' &&
      !error.message.includes('was not started') &&
      !error.message.includes('is not allowed')
    )
      return error.message;
    if (error instanceof ActionError && error.message.includes('ended with')) return error.message;
    throw error;
  }
  return { bytes: stat.size, ageMs };
};
