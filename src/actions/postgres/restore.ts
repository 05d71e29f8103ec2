// Brings a database back from a dump without touching the present one until the new one is whole: the dump is restored
// into a database beside it, and in one transaction the two change names. The replaced one is kept.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { ActionContext } from '../../port/action.ts';
import { defineAction } from '../../port/action.ts';
import { allowedCommand, allowedPath } from '../allowed.ts';
import { absolutePath, duration } from '../inputs.ts';
import { stamp } from '../sqlite/backups.ts';
import type { Endpoint, Session } from './client.ts';
import { endpointOf, identifier, nameOf, postgresInput, quoted, withSession } from './client.ts';
import { checkDump, listDumps, runTool } from './tools.ts';

/** On a database that is being restored: a rest of a killed run can be told from somebody's own. */
const MARK = 'amends: being restored';
const GONE_MS = 5_000;
const LOOK_EVERY_MS = 50;
const LONGEST_NAME = 63;

type Present = {
  readonly owner: string;
  readonly encoding: string;
  readonly collate: string;
  readonly ctype: string;
  readonly settings: string;
};

const PRESENT = `
  SELECT pg_get_userbyid(d.datdba) AS owner, pg_encoding_to_char(d.encoding) AS encoding, d.datcollate AS collate, d.datctype AS ctype,
    concat_ws('; ', (SELECT string_agg(array_to_string(s.setconfig, ', '), ', ') FROM pg_db_role_setting s WHERE s.setdatabase = d.oid),
      CASE WHEN d.datacl IS NULL THEN NULL ELSE 'grants ' || d.datacl::text END) AS settings
  FROM pg_database d WHERE d.datname = $1`;

const named = (database: string, suffix: string): string =>
  `${database.slice(0, LONGEST_NAME - suffix.length)}${suffix}`;

type Chosen = {
  readonly path: string;
  readonly skipped: ReadonlyArray<{ readonly path: string; readonly reason: string }>;
};

const choose = async (
  candidates: readonly string[],
  pgRestore: string,
  maxAgeMs: number | null,
  context: ActionContext,
): Promise<Chosen> => {
  const skipped: Array<{ path: string; reason: string }> = [];
  for (const path of candidates) {
    const checked = await checkDump(path, pgRestore, maxAgeMs, context);
    if (typeof checked !== 'string') return { path, skipped };
    skipped.push({ path, reason: checked });
  }
  const tried =
    skipped.length === 0
      ? 'none is there'
      : `none of ${skipped.length} passes: ${skipped[0]?.path} ${skipped[0]?.reason}`;
  throw new ActionError('permanent', `there is no backup to restore: ${tried}; nothing was touched`, {
    outputs: { skipped_backups: skipped.slice(0, 50) },
  });
};

/** The present state must be safe before it is replaced: there, not empty, fresh, and readable to its end. */
const demandSafety = async (
  safety: string | null,
  pgRestore: string,
  freshMs: number,
  context: ActionContext,
): Promise<void> => {
  const reason = safety === null ? 'was not named' : await checkDump(safety, pgRestore, freshMs, context);
  if (typeof reason !== 'string') return;
  throw new ActionError(
    'permanent',
    `the backup of the present state ${safety === null ? '' : `(${safety}) `}${reason}; nothing was touched; mend: postgres.backup first, or say \`unsaved_ok: true\` where it cannot be dumped any more`,
  );
};

const clearRest = async (session: Session, name: string): Promise<void> => {
  const [rest] = await session.query<{ mark: string | null }>(
    `SELECT shobj_description(oid, 'pg_database') AS mark FROM pg_database WHERE datname = $1`,
    [name],
  );
  if (rest === undefined) return;
  if (rest.mark !== MARK)
    throw new ActionError('permanent', `there is a database ${name} that amends did not make; mend: rename it`);
  await session.change(`DROP DATABASE ${quoted(name)} WITH (FORCE)`);
};

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

const create = async (session: Session, name: string, present: Present | null): Promise<void> => {
  await clearRest(session, name);
  const like =
    present === null
      ? ''
      : ` OWNER ${quoted(present.owner)} ENCODING ${literal(present.encoding)} LC_COLLATE ${literal(present.collate)} LC_CTYPE ${literal(present.ctype)}`;
  await session.change(`CREATE DATABASE ${quoted(name)} TEMPLATE template0${like}`);
  await session.change(`COMMENT ON DATABASE ${quoted(name)} IS ${literal(MARK)}`);
};

const disconnectAll = async (session: Session, database: string, { clock, signal }: ActionContext): Promise<number> => {
  const [found] = await session.query<{ ended: string }>(
    'SELECT count(pg_terminate_backend(pid)) AS ended FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()',
    [database],
  );
  const until = clock.monotonic() + GONE_MS;
  while ((await session.query('SELECT pid FROM pg_stat_activity WHERE datname = $1', [database])).length > 0) {
    if (clock.monotonic() > until) throw new ActionError('permanent', `sessions of ${database} do not end`);
    await clock.sleep(LOOK_EVERY_MS, signal);
  }
  return Number(found?.ended ?? 0);
};

/** Both renames or none. */
const swap = async (
  session: Session,
  endpoint: Endpoint,
  fresh: string,
  replaced: string | null,
  context: ActionContext,
): Promise<number> => {
  const { database } = endpoint;
  if (replaced === null) {
    await session.change(`ALTER DATABASE ${quoted(fresh)} RENAME TO ${quoted(database)}`);
    return 0;
  }
  await session.change(`ALTER DATABASE ${quoted(database)} ALLOW_CONNECTIONS false`);
  try {
    const ended = await disconnectAll(session, database, context);
    await session.change('BEGIN');
    await session.change(`ALTER DATABASE ${quoted(database)} RENAME TO ${quoted(replaced)}`);
    await session.change(`ALTER DATABASE ${quoted(fresh)} RENAME TO ${quoted(database)}`);
    await session.change(`COMMENT ON DATABASE ${quoted(database)} IS NULL`);
    await session.change(`ALTER DATABASE ${quoted(replaced)} ALLOW_CONNECTIONS true`);
    await session.change('COMMIT');
    return ended;
  } catch (error) {
    await session.query('ROLLBACK').catch(() => undefined);
    await session.query(`ALTER DATABASE ${quoted(database)} ALLOW_CONNECTIONS true`).catch(() => undefined);
    throw error;
  }
};

export default defineAction({
  summary:
    'Restores a PostgreSQL database from a dump that passes its check, beside the present one, which is kept under another name.',
  effect: 'destroy',
  keeps: true,
  input: z.strictObject({
    ...postgresInput,
    backups: absolutePath,
    /** This one; without it the newest that passes its check. */
    backup: absolutePath.optional(),
    max_age: duration.optional(),
    /** The backup of the present state, from the step before; it is never the one that is restored. */
    safety: absolutePath.optional(),
    fresh: duration.default(3_600_000),
    unsaved_ok: z.boolean().default(false),
    maintenance_database: identifier.default('postgres'),
    pg_restore: absolutePath.default('/usr/bin/pg_restore'),
  }),
  outputs: {
    restored_from: 'the backup',
    replaced_to: 'the name that the replaced database has now, or empty when there was none',
    tables: 'tables in the restored database',
    disconnected: 'sessions that were ended for it',
    not_carried_over: 'settings and grants of the replaced database itself, which a dump does not hold, or empty',
    skipped_backups: 'newer ones that did not pass their check: path, reason',
  },
  undo: 'by hand: let the two databases change their names again; nothing of the replaced one is lost',
  defaultTimeout: 3_600_000,
  async run(input, context) {
    const { allow, clock, signal } = context;
    const backups = await allowedPath(input.backups, allow, 'the folder of backups');
    allowedCommand(input.pg_restore, context.allow);
    const backup = input.backup === undefined ? null : await allowedPath(input.backup, allow, 'the backup');
    const safety =
      input.safety === undefined ? null : await allowedPath(input.safety, allow, 'the backup of the present state');
    const endpoint = await endpointOf(input, context);
    const { database } = endpoint;
    if (database === input.maintenance_database)
      throw new ActionError(
        'permanent',
        `${database} is the maintenance database itself; mend: name another one to connect to meanwhile`,
      );
    const inMaintenance = <T>(work: (session: Session) => Promise<T>): Promise<T> =>
      withSession(endpoint, context, work, input.maintenance_database);
    const present = await inMaintenance(async ({ query }) => (await query<Present>(PRESENT, [database]))[0] ?? null);
    if (present !== null && !input.unsaved_ok) await demandSafety(safety, input.pg_restore, input.fresh, context);
    const candidates = (backup === null ? await listDumps(backups, database) : [backup]).filter(
      (path) => path !== safety,
    );
    const { path, skipped } = await choose(candidates, input.pg_restore, input.max_age ?? null, context);

    const fresh = named(database, '_restoring');
    const replaced = present === null ? null : named(database, `_replaced_${stamp(clock.now())}`);
    signal.throwIfAborted();
    context.began();
    await inMaintenance((session) => create(session, fresh, present));
    try {
      await runTool(
        input.pg_restore,
        ['--no-password', '--single-transaction', `--dbname=${fresh}`, path],
        { ...endpoint, into: fresh },
        context,
      );
      const tables = await withSession(
        endpoint,
        context,
        async (session) => {
          await session.change('ANALYZE');
          const [row] = await session.query<{ tables: string }>(
            `SELECT count(*) AS tables FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^(pg_|information_schema$)'`,
          );
          return Number(row?.tables ?? 0);
        },
        fresh,
      );
      if (tables === 0)
        throw new ActionError(
          'permanent',
          `${path} holds no table: an empty database is not put in place of ${nameOf(endpoint)}`,
        );
      const disconnected = await inMaintenance(async (session) => {
        await disconnectAll(session, fresh, context);
        return swap(session, endpoint, fresh, replaced, context);
      });
      return {
        outputs: {
          restored_from: path,
          replaced_to: replaced ?? '',
          tables,
          disconnected,
          not_carried_over: (present?.settings ?? '').slice(0, 2_000),
          skipped_backups: skipped.slice(0, 50),
        },
      };
    } catch (error) {
      if (!signal.aborted) await inMaintenance((session) => clearRest(session, fresh)).catch(() => undefined);
      throw error;
    }
  },
});
