// The whole, tied together: the only file that names an adapter. Each resource registers its clean-up where it is made.
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { Registry } from 'prom-client';
import { createSpawner } from './actions/spawner.ts';
import type { Clock } from './base/clock.ts';
import { createSteadyClock, systemClock } from './base/clock.ts';
import type { Problem, Result } from './base/failure.ts';
import { formatProblem, ok, refused } from './base/failure.ts';
import type { Ids } from './base/ids.ts';
import { createIds } from './base/ids.ts';
import type { Log } from './base/log.ts';
import { createLog } from './base/log.ts';
import { createRedactor } from './base/secret.ts';
import { buildCatalog, readCatalogFiles } from './catalog.ts';
import type { CatalogFiles } from './catalog.ts';
import { recordOf } from './config-record.ts';
import { registerSecrets } from './config-secrets.ts';
import { revisionOf } from './config-revision.ts';
import type { Settings } from './config.ts';
import type { WebConfig } from './config-web.ts';
import { builtInConfig, diskReaders, loadConfig } from './config.ts';
import { loadWebConfig } from './config-web.ts';
import type { EngineContext, Loaded } from './engine/context.ts';
import { createAuditHead } from './engine/audit-head.ts';
import { createEngine } from './engine/engine.ts';
import { createEmergencyJournal } from './engine/emergency.ts';
import { createHaltFile } from './engine/halt-file.ts';
import { createStoreHealth } from './engine/store-watch.ts';
import { checkExposure } from './http/auth.ts';
import { createChanges } from './http/changes.ts';
import { createCollector, vocabularyOf } from './http/figures.ts';
import { createRunLog } from './http/run-log.ts';
import { createServer } from './http/server.ts';
import { createMetrics } from './metrics.ts';
import type { Action, Actions } from './port/action.ts';
import type { Fact, Facts } from './port/fact.ts';
import { loadByName } from './port/loader.ts';
import type { Notifier, Notifiers } from './port/notifier.ts';
import type { Store } from './port/store.ts';
import { authorizationOf } from './sources/http-json.ts';
import { createSources } from './sources/sources.ts';
import { StoreRefused } from './store/refused.ts';
import { openMemoryStore, openSqliteStore } from './store/sqlite.ts';

/** For the command line, which asks the same Prometheus and may name no adapter. */
export { authorizationOf };

export type App = {
  /** Resolves once it listens and works. */
  start(): Promise<{ readonly url: string }>;
  /** Reads configuration, rules and runbooks anew; what is refused leaves the last good ones in place. */
  reload(): Promise<Result<Loaded>>;
  /** No new admissions; running steps get `graceMs`, then they are ended. Safe to call twice. */
  stop(graceMs: number): Promise<void>;
  readonly loaded: () => Loaded;
};

/** What a test or another front may put in the place of the real thing. */
export type Overrides = {
  readonly clock?: Clock;
  readonly log?: Log;
  /** Laid around the store, for whoever has to see or break its calls. */
  readonly aroundStore?: (store: Store) => Store;
};

/** Why it did not start. `exitCode` is 78 (EX_CONFIG) where a human has to decide before it may. */
export type Startup = Result<App> & { readonly exitCode?: number };

const readVersion = (): string =>
  (JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }).version;

/** Everything that is found by the name of its file. */
export const loadParts = async (): Promise<{ actions: Actions; facts: Facts; notifiers: Notifiers }> => ({
  actions: await loadByName<Action>(new URL('actions/', import.meta.url), true),
  facts: await loadByName<Fact>(new URL('facts/', import.meta.url), false),
  notifiers: await loadByName<Notifier>(new URL('notifiers/', import.meta.url), false),
});

type LoadedFiles = { readonly loaded: Loaded; readonly files: CatalogFiles };

/** Configuration, rules and runbooks, all of them or every reason why not. */
const load = async (settings: Settings, parts: { actions: Actions; facts: Facts }): Promise<Result<LoadedFiles>> => {
  const missing = !settings.configFileGiven && (await diskReaders.glob(resolve('.'), settings.configFile)).length === 0;
  const config = missing
    ? ok(builtInConfig('.', settings.recoveryMode))
    : await loadConfig(settings.configFile, diskReaders, settings.recoveryMode);
  if (!config.ok) return config;
  const files = await readCatalogFiles(config.value);
  if (!files.ok) return files;
  const catalog = buildCatalog(files.value, { config: config.value, ...parts });
  if (!catalog.ok) return catalog;
  const revision = await revisionOf(config.value.folder);
  return ok({ loaded: { config: config.value, catalog: catalog.value, revision }, files: files.value });
};

/** What is loaded, by digest and commit: the same in the log, the audit and the metrics. */
const provenanceOf = ({ config, catalog, revision = null }: Loaded) => ({
  config: config.digest,
  catalog: catalog.digest,
  revision,
});

const loadWeb = async (settings: Settings): Promise<Result<WebConfig | null>> =>
  settings.webConfigFile === null ? ok(null) : loadWebConfig(settings.webConfigFile);

/** An empty store that is gone once it is closed, for what is decided again. */
export const openScratchStore = (clock: Clock, ids: Ids, log: Log): Store => openMemoryStore({ clock, ids, log });

const GRACE_FOR_ANSWERS_MS = 2_000;
const RESERVE_AFTER_MS = 60_000;
/** A password that is an ordinary word would take that word out of every text. */
const SHORTEST_KNOWN = 8;

export const createApp = async (settings: Settings, overrides: Overrides = {}): Promise<Startup> => {
  const clock = createSteadyClock(overrides.clock ?? systemClock);
  const redactor = createRedactor();
  const runLog = createRunLog(clock, redactor);
  const log = runLog.around(overrides.log ?? createLog(settings.logLevel, redactor, undefined, settings.logFormat));
  const ids = createIds(clock);
  const cleanUps: Array<() => Promise<void>> = [];
  const cleanUp = async (): Promise<void> => {
    for (const clean of cleanUps.splice(0).toReversed()) await clean();
  };
  const refuse = async (problems: readonly Problem[], exitCode = 1): Promise<Startup> => {
    await cleanUp();
    return { ...refused(problems), exitCode };
  };

  if (settings.storageUrl !== null) {
    return refuse([
      {
        code: 'no-such-storage',
        message: `--storage.url=${new URL(settings.storageUrl).protocol}//...: this version keeps its record in SQLite alone`,
        mend: 'leave --storage.url out and set --storage.path',
      },
    ]);
  }
  const parts = await loadParts();
  const first = await load(settings, parts);
  const firstWeb = await loadWeb(settings);
  if (!first.ok || !firstWeb.ok)
    return refuse([...(first.ok ? [] : first.problems), ...(firstWeb.ok ? [] : firstWeb.problems)]);
  let { loaded } = first.value;
  let web = firstWeb.value;
  const exposed = checkExposure(settings.listen.host, web);
  if (exposed.length > 0) return refuse(exposed);
  await registerSecrets(redactor, loaded.config, web);

  const version = readVersion();
  const metrics = createMetrics({ registry: new Registry(), clock, version, collect: () => collect() });
  const owner = `${hostname()}:${process.pid}`;
  let store;
  try {
    store = await openSqliteStore({
      folder: settings.storagePath,
      clock,
      ids,
      log,
      owner,
      acceptEmptyHistory: settings.acceptEmptyHistory,
      // A file that failed a sync is never trusted again by this process: the next start checks it.
      onFatal: () => process.exit(1),
      onCommit: (ms) => metrics.committed(ms),
    });
    // A wall clock that was set back while nobody ran must not stop time until it has caught up.
    clock.resumeFrom((await store.controls()).now);
  } catch (error) {
    if (!(error instanceof StoreRefused)) throw error;
    return refuse([{ code: 'store-refused', message: error.message, mend: error.mend }], error.exitCode);
  }
  const health = createStoreHealth();
  const changes = createChanges({ clock, log });
  const opened = changes.watched(health.watched((overrides.aroundStore ?? ((same: Store) => same))(store)));
  cleanUps.push(() => opened.close());
  const spawner = createSpawner({ log, clock });
  cleanUps.push(() => spawner.stop());
  cleanUps.push(async () => {
    for (const action of parts.actions.values()) action.release?.();
  });

  const halt = createHaltFile(settings.haltFile);
  const emergency = createEmergencyJournal(join(settings.storagePath, 'emergency.ndjson'));
  const figures = { store: opened, clock, halt, loaded: () => loaded };
  const collect = createCollector(figures);
  const auditHead = createAuditHead({
    clock,
    log,
    ids,
    store: opened,
    head: () => store.auditHead(),
    show: (head) => metrics.auditHead(head),
    receiver: () => loaded.config.auditHeadReceiver,
  });
  const context: EngineContext = {
    ...parts,
    store: opened,
    clock,
    jumps: clock,
    ids,
    log,
    redactor,
    spawner,
    sources: createSources(() => loaded.config, { clock, redactor }),
    telemetry: metrics.telemetry,
    halt,
    emergency,
    storeHealth: health,
    auditHead: () => auditHead.last(),
    owner,
    loaded: () => loaded,
  };
  const engine = createEngine(context);
  let working = false;

  const showLoaded = (): void => {
    metrics.initialise(vocabularyOf(loaded));
    metrics.reloaded(true);
    metrics.loaded(provenanceOf(loaded));
  };
  /** What counts from `since` on: its digests in the audit, its texts for the journal. */
  const recordLoaded = async (active: LoadedFiles, since: number, at: 'start' | 'reload'): Promise<void> => {
    await opened.write(
      [
        {
          type: 'audit',
          actor: 'amends',
          action: 'config.loaded',
          subject: settings.configFile,
          detail: { ...provenanceOf(active.loaded), at },
        },
      ],
      since,
    );
    const { about, textOf } = recordOf(active.loaded, active.files, redactor);
    await opened.keepConfiguration({ ...about, at: since }, textOf);
  };
  const reload = async (): Promise<Result<Loaded>> => {
    const [next, nextWeb] = [await load(settings, parts), await loadWeb(settings)];
    if (!next.ok || !nextWeb.ok) {
      const problems = [...(next.ok ? [] : next.problems), ...(nextWeb.ok ? [] : nextWeb.problems)];
      metrics.reloaded(false);
      log.error(
        { problems: problems.map((problem) => formatProblem(problem).replace('\n  ', '; ')) },
        'the reload was refused; the last good configuration stays',
      );
      await opened.write(
        [
          {
            type: 'audit',
            actor: 'amends',
            action: 'config.refused',
            subject: settings.configFile,
            detail: { problems: problems.length },
          },
          {
            type: 'notify',
            id: ids.next(),
            topic: 'reload_failed',
            receiver: null,
            severity: 'SEV3',
            component: null,
            target: null,
            runId: null,
            title: 'amends refused its new configuration',
            body: problems
              .map((problem) => problem.message)
              .join('\n')
              .slice(0, 4_000),
          },
        ],
        clock.now(),
      );
      return refused(problems);
    }
    await registerSecrets(redactor, next.value.loaded.config, nextWeb.value);
    loaded = next.value.loaded;
    web = nextWeb.value;
    const since = clock.now();
    showLoaded();
    server.reloadTls();
    log.info(provenanceOf(loaded), 'configuration loaded');
    await recordLoaded(next.value, since, 'reload');
    return ok(loaded);
  };
  const server = createServer({
    ...figures,
    desk: engine.desk,
    version,
    reload,
    working: () => working && health.trouble() === null,
    listen: settings.listen,
    web: () => web,
    externalUrl: settings.externalUrl,
    sessionFile: join(settings.storagePath, 'sessions.json'),
    known: (secret) => void (secret.length >= SHORTEST_KNOWN && redactor.register(secret)),
    intake: engine.intake,
    metrics,
    log,
    changes,
    runLog,
  });

  return ok({
    loaded: () => loaded,
    reload,
    async start() {
      showLoaded();
      const since = clock.now();
      const { url } = await server.start();
      cleanUps.push(() => server.stop(GRACE_FOR_ANSWERS_MS));
      const recovered = await engine.recover();
      if (recovered > 0) log.warn({ recovered }, 'results of steps were found in the emergency journal');
      engine.start();
      auditHead.start();
      cleanUps.push(async () => {
        await auditHead.stop();
        await auditHead.tick().catch((error: unknown) => log.warn({ error }, 'the audit head is not known'));
      });
      working = true;
      // Nobody waits for it, and a full disk does not keep amends from starting.
      const recorded = recordLoaded(first.value, since, 'start').catch((error: unknown) =>
        log.warn({ error }, 'the audit does not know what was loaded'),
      );
      cleanUps.push(() => recorded);
      // In a while, and in pieces: 64 MiB are written.
      clock.after(
        RESERVE_AFTER_MS,
        () =>
          void emergency
            .reserve()
            .catch((error: unknown) => log.error({ error }, 'no room could be set aside for an emergency')),
      );
      const { config, catalog } = loaded;
      log.info(
        {
          url,
          mode: config.recovery.mode,
          rules: catalog.rules.rules.length,
          runbooks: catalog.runbooks.size,
          components: config.components.size,
          halted: halt.reason(),
          ...provenanceOf(loaded),
        },
        'amends is ready',
      );
      return { url };
    },
    async stop(graceMs) {
      working = false;
      await engine.stop(graceMs);
      await cleanUp();
    },
  });
};
