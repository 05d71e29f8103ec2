// The Store on SQLite: one file, one writing connection whose every write is in a transaction that began immediately,
// one connection that only reads.
import { existsSync } from 'node:fs';
import type { Clock } from '../base/clock.ts';
import type { Ids } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import { StoreUnavailable } from '../port/store.ts';
import type { Store } from '../port/store.ts';
import type { AuditHead } from './audit.ts';
import { appendAudit, auditHead } from './audit.ts';
import { archiveFolder } from './audit-archive.ts';
import { createSealing } from './audit-sealing.ts';
import { verifyAudit } from './audit-verify.ts';
import type { AuditVerdict, NotedHead } from './audit-verify.ts';
import { keepConfiguration, readConfiguration, readConfigurations, readConfigurationTexts } from './configurations.ts';
import type { Connection } from './connection.ts';
import { asPortError, isFatal, openConnection, openInMemory, sqliteCode } from './connection.ts';
import { advanceNow, effectiveNow, readControls } from './controls.ts';
import { decideAll } from './decide.ts';
import type { OnCommit } from './driver.ts';
import { dueEpisodes, readEpisodes, sweepEpisodes } from './episodes.ts';
import { bytesOf, makeFolder, markCreated, mustCreate, ownFolder, pathsIn, setRemainsAside } from './folder.ts';
import type { Paths } from './folder.ts';
import { createBreakerReader, readAttempts, readSnapshot, readStorm } from './history.ts';
import { countRows, listRows } from './lists.ts';
import { MIGRATIONS, migrate } from './migrate.ts';
import { readUndecided, receiveAll } from './receive.ts';
import { StoreRefused } from './refused.ts';
import { toAlertRow, toDecisionRow, toInboxRow } from './rows.ts';
import {
  changeRun,
  claimRun,
  endSettling,
  extendRun,
  hasWork,
  readActiveRuns,
  readRun,
  readSettledRuns,
  readSettlingRuns,
  renewLease,
} from './runs.ts';
import type { Queries } from './tables.ts';
import { outboxDone, outboxDue, prune, readFigures } from './upkeep.ts';
import { applyWrites } from './writes.ts';

export type SqliteOptions = {
  readonly folder: string;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Log;
  /** Who holds the folder, for whoever is refused because of it. */
  readonly owner: string;
  /** Starts anew although the marker says that a database was lost; for a day nothing is admitted without a human. */
  readonly acceptEmptyHistory: boolean;
  /** False lets several processes share the file; the caps hold, but there is no need for it outside a test. */
  readonly lock?: boolean;
  /** A quota in pages of 4 KiB; beyond it the store is as full as a full disk. */
  readonly maxPages?: number;
  /** Called once when the file can no longer be trusted: end the process, and let the next start check it. */
  readonly onFatal?: (error: Error) => void;
  /** Hears how long each commit took, in milliseconds. */
  readonly onCommit?: OnCommit;
};

export type SqliteStore = Store & {
  /** To be told to the outside regularly: only against a noted head does a cut tail show. */
  auditHead(): Promise<AuditHead>;
  verifyAudit(noted?: NotedHead): Promise<AuditVerdict>;
};

/** The longest window that attempts are counted in by default. */
const EMPTY_HISTORY_MS = 86_400_000;

export const openSqliteStore = async (options: SqliteOptions): Promise<SqliteStore> => {
  const paths = pathsIn(options.folder);
  makeFolder(paths);
  const owned = options.lock === false ? null : ownFolder(paths, options.owner, options.clock.now());
  let writer: Connection | null = null;
  try {
    const created = mustCreate(paths, options.acceptEmptyHistory, MIGRATIONS);
    if (created) setRemainsAside(paths, options.clock.now());
    writer = openWriter(paths, options);
    await prepare(writer, paths, options, created);
    const reader = openConnection(paths.database, options.clock, { writes: false, maxPages: null });
    return createStore(
      () => bytesOf(paths),
      options,
      writer,
      reader,
      () => owned?.release(),
    );
  } catch (error) {
    writer?.database.close();
    owned?.release();
    throw asPortError(error);
  }
};

/** An empty store in memory alone, for what is decided again and thrown away: one connection reads and writes. */
export const openMemoryStore = (options: Pick<SqliteOptions, 'clock' | 'ids' | 'log'>): SqliteStore => {
  const connection = openInMemory(options.clock);
  migrate(connection.database, ':memory:', options.clock.now());
  const store = createStore(
    () => 0,
    { ...options, folder: '' },
    connection,
    connection,
    () => undefined,
  );
  // Nobody reads the audit of it.
  return { ...store, archiveAudit: async () => ({ did: 'nothing' }) };
};

const openWriter = (paths: Paths, options: SqliteOptions): Connection => {
  try {
    return openConnection(paths.database, options.clock, {
      writes: true,
      maxPages: options.maxPages ?? null,
      ...(options.onCommit === undefined ? {} : { onCommit: options.onCommit }),
    });
  } catch (error) {
    const code = sqliteCode(error);
    if (code === null || !/^SQLITE_(READONLY|CANTOPEN|PERM)/.test(code)) throw error;
    throw new StoreRefused(
      `${paths.database} cannot be written: ${(error as Error).message}`,
      'give the user that runs amends the right to write to the folder and its files',
      {
        cause: error,
      },
    );
  }
};

const prepare = async (writer: Connection, paths: Paths, options: SqliteOptions, created: boolean): Promise<void> => {
  const lost = created && options.acceptEmptyHistory && !isFirst(paths);
  const now = options.clock.now();
  const until = now + EMPTY_HISTORY_MS;
  const copy = migrate(writer.database, paths.database, now, MIGRATIONS, () => {
    if (lost) writer.database.prepare('update controls set empty_history_until = ?').run(until);
  });
  if (copy !== null) options.log.info({ copy }, 'the database was upgraded; the copy is of before');
  if (lost) {
    options.log.warn({ until }, 'starting with an empty history: until then nothing is recovered without a human');
    await writer.queries.transaction().execute((queries) =>
      appendAudit(
        queries,
        {
          type: 'audit',
          actor: 'amends',
          action: 'store.empty_history_accepted',
          subject: paths.database,
          detail: { until },
        },
        now,
      ),
    );
  }
  // The folder is ours alone, so whoever held a lease is dead: nobody has to wait for its end.
  if (options.lock !== false)
    writer.database.prepare('update runs set lease_until = 0 where lease_until is not null').run();
  markCreated(paths, now);
};

const isFirst = (paths: Paths): boolean => !existsSync(paths.marker);

type Opened = Pick<SqliteOptions, 'folder' | 'clock' | 'ids' | 'log' | 'onFatal'>;

/** Both ways into the database; after a fatal error neither opens again. */
const createGates = (options: Opened, writer: Connection, reader: Connection) => {
  let closedBy: Error | null = null;
  const guarded = async <T>(work: () => Promise<T>): Promise<T> => {
    if (closedBy !== null) throw new StoreUnavailable('the store is closed', { cause: closedBy });
    try {
      return await work();
    } catch (error) {
      const code = sqliteCode(error);
      if (code !== null && isFatal(code) && closedBy === null) {
        closedBy = error as Error;
        options.log.error({ error, code }, 'the store can no longer be trusted; amends has to end and check it');
        options.onFatal?.(closedBy);
      }
      throw asPortError(error);
    }
  };
  return {
    reading: <T>(work: (queries: Queries) => Promise<T>): Promise<T> => guarded(() => work(reader.queries)),
    /** Several reads of one moment. */
    readingAtOnce: <T>(work: (queries: Queries) => Promise<T>): Promise<T> =>
      guarded(() => reader.queries.transaction().execute(work)),
    writing: <T>(work: (queries: Queries) => Promise<T>): Promise<T> =>
      guarded(() => writer.queries.transaction().execute(work)),
    /** Lets what is under way end, and nothing else begin. */
    close: async (): Promise<void> => {
      const first = closedBy === null;
      closedBy ??= new Error('close() was called');
      if (!first && !writer.database.open) return;
      await reader.queries.connection().execute(async () => reader.database.close());
      await writer.queries.connection().execute(async () => writer.database.close());
    },
  };
};

const createStore = (
  bytes: () => number,
  options: Opened,
  writer: Connection,
  reader: Connection,
  release: () => void,
): SqliteStore => {
  const { reading, readingAtOnce, writing, close } = createGates(options, writer, reader);
  const breakersOf = createBreakerReader();
  const sealing = createSealing({ storage: options.folder, reading, writing });
  return {
    receive: async (deliveries) =>
      deliveries.length === 0 ? [] : writing(() => receiveAll(writer.statements, options.ids, deliveries)),
    undecided: (limit) => readingAtOnce(async () => readUndecided(reader.statements, limit)),
    episode: async (id) => (await reading((queries) => readEpisodes(queries, [id]))).get(id) ?? null,
    episodesById: (ids) => reading((queries) => readEpisodes(queries, ids)),
    dueEpisodes: (now, limit) =>
      readingAtOnce(async (queries) => dueEpisodes(queries, await effectiveNow(queries, now), limit)),
    snapshot: (query) => readingAtOnce((queries) => readSnapshot(queries, query)),
    decide: (requests, now, admit, taker) =>
      writing(async (queries) =>
        decideAll(queries, writer.statements, requests, await advanceNow(queries, now), admit, taker),
      ),

    async claim(owner, now, leaseMs) {
      // Most polls find nothing: then nothing is written either.
      if (!(await readingAtOnce((queries) => hasWork(queries, now)))) return null;
      return writing(async (queries) => claimRun(queries, owner, await advanceNow(queries, now), leaseMs));
    },
    renew: (runId, lease, now, leaseMs) =>
      writing(async (queries) => renewLease(queries, runId, lease, await effectiveNow(queries, now), leaseMs)),
    changeRun: (runId, lease, now, change) =>
      writing(async (queries) => changeRun(queries, runId, lease, await advanceNow(queries, now), change)),
    extendRun: (runId, lease, now, change) =>
      writing(async (queries) => extendRun(queries, runId, lease, await advanceNow(queries, now), change)),
    run: (id) => readingAtOnce((queries) => readRun(queries, id)),
    activeRuns: () => reading(readActiveRuns),
    settlingRuns: (near) => reading((queries) => readSettlingRuns(queries, near)),
    settledRuns: (now) => readingAtOnce(async (queries) => readSettledRuns(queries, await effectiveNow(queries, now))),
    endSettling: (runId) =>
      writing(async (queries) => endSettling(queries, runId, await effectiveNow(queries, options.clock.now()))),
    breakerAttempts: (breakers) => readingAtOnce((queries) => breakersOf(queries, breakers)),
    storm: (query, now) =>
      readingAtOnce(async (queries) => readStorm(queries, query, await effectiveNow(queries, now))),
    attempts: (query) => reading((queries) => readAttempts(queries, query)),

    sweepEpisodes: (now, holdOf, ttlOf) =>
      writing(async (queries) =>
        sweepEpisodes(queries, writer.statements, await effectiveNow(queries, now), holdOf, ttlOf),
      ),
    write: (writes, now) => writing(async (queries) => applyWrites(queries, writes, await effectiveNow(queries, now))),
    controls: () => readingAtOnce((queries) => readControls(queries, options.clock.now())),
    list: (kind, query) => reading((queries) => listRows(queries, kind, query)),
    count: (kind, from, to) => reading((queries) => countRows(queries, kind, from, to)),
    decision: async (id) =>
      optional(
        await reading((queries) => queries.selectFrom('decisions').selectAll().where('id', '=', id).executeTakeFirst()),
        toDecisionRow,
      ),
    alert: async (id) =>
      optional(
        await reading((queries) => queries.selectFrom('alerts').selectAll().where('id', '=', id).executeTakeFirst()),
        toAlertRow,
      ),
    delivery: async (id) =>
      optional(
        await reading((queries) =>
          queries.selectFrom('deliveries').selectAll().where('id', '=', id).executeTakeFirst(),
        ),
        (row) => ({
          id: row.id,
          at: row.at,
          source: row.source,
          body: row.body,
          groupSize: row.group_size,
          traceparent: row.traceparent,
        }),
      ),
    traceOf: async (episodeId) =>
      (
        await reading((queries) =>
          queries
            .selectFrom('alerts')
            .innerJoin('deliveries', 'deliveries.id', 'alerts.delivery_id')
            .select('deliveries.traceparent')
            .where('alerts.episode_id', '=', episodeId)
            .orderBy('alerts.seq', 'desc')
            .limit(1)
            .executeTakeFirst(),
        )
      )?.traceparent ?? null,
    inbox: async (id) =>
      optional(
        await reading((queries) => queries.selectFrom('inbox').selectAll().where('id', '=', id).executeTakeFirst()),
        toInboxRow,
      ),
    degraded: async () =>
      (
        await reading((queries) =>
          queries.selectFrom('degraded').selectAll().orderBy('since').orderBy('mode').execute(),
        )
      ).map((row) => ({
        mode: row.mode,
        component: row.component,
        target: row.target,
        runId: row.run_id,
        since: row.since,
      })),
    outboxDue: (now, limit) => reading((queries) => outboxDue(queries, now, limit)),
    outboxDone: (id, _now, result) => writing((queries) => outboxDone(queries, id, result)),
    figures: () => readingAtOnce((queries) => readFigures(queries, bytes())),
    keepConfiguration: (given, textOf) =>
      writing(async (queries) =>
        keepConfiguration(queries, { ...given, at: await effectiveNow(queries, given.at) }, textOf),
      ),
    configurations: (since) => readingAtOnce((queries) => readConfigurations(queries, since)),
    configuration: (id) => readingAtOnce((queries) => readConfiguration(queries, id)),
    configurationTexts: (digests) => reading((queries) => readConfigurationTexts(queries, digests)),
    prune: (before, limit) => writing((queries) => prune(queries, before, limit)),
    auditHead: () => reading(auditHead),
    archiveAudit: (given, now) => sealing.archive(given, now),
    verifyAudit: (noted) =>
      readingAtOnce((queries) =>
        verifyAudit(queries, { archives: archiveFolder(options.folder), ...(noted === undefined ? {} : { noted }) }),
      ),
    async close() {
      await close();
      release();
    },
  };
};

const optional = <From, To>(value: From | undefined, convert: (value: From) => To): To | null =>
  value === undefined ? null : convert(value);
