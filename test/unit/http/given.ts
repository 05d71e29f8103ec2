// A whole amends behind its port, on a real store in a folder of its own: only the world it would act on is left out.
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Registry } from 'prom-client';
import { systemClock } from '../../../src/base/clock.ts';
import { formatProblem, ok } from '../../../src/base/failure.ts';
import type { Result } from '../../../src/base/failure.ts';
import { createIds } from '../../../src/base/ids.ts';
import { sha256 } from '../../../src/base/json.ts';
import { createLog } from '../../../src/base/log.ts';
import { createRedactor } from '../../../src/base/secret.ts';
import { loadCatalog } from '../../../src/catalog.ts';
import { loadConfig } from '../../../src/config.ts';
import type { Role, WebConfig } from '../../../src/config-web.ts';
import type { Loaded } from '../../../src/engine/context.ts';
import { createSources } from '../../../src/sources/sources.ts';
import { createEmergencyJournal } from '../../../src/engine/emergency.ts';
import { createEngine } from '../../../src/engine/engine.ts';
import type { Engine } from '../../../src/engine/engine.ts';
import { createHaltFile } from '../../../src/engine/halt-file.ts';
import { createChanges } from '../../../src/http/changes.ts';
import { createCollector, vocabularyOf } from '../../../src/http/figures.ts';
import { createRunLog } from '../../../src/http/run-log.ts';
import { createServer } from '../../../src/http/server.ts';
import type { HttpOptions, HttpServer } from '../../../src/http/server.ts';
import { createMetrics } from '../../../src/metrics.ts';
import type { Metrics } from '../../../src/metrics.ts';
import type { Action, Spawner } from '../../../src/port/action.ts';
import type { Fact } from '../../../src/port/fact.ts';
import { loadByName } from '../../../src/port/loader.ts';
import type { Notifier } from '../../../src/port/notifier.ts';
import type { Rows } from '../../../src/port/record.ts';
import type { Store } from '../../../src/port/store.ts';
import { openSqliteStore } from '../../../src/store/sqlite.ts';

const CONFIG = `
recovery: { mode: approve }
components:
  cache: { match: ['job="redis-cache"'], inventory: { static: [a, b] }, allow: { actions: ["degrade.*", "sqlite.*"] } }
degraded_modes: { slow: { available: [reads], unavailable: [writes], impact: "slower" } }
`;
const RUNBOOK = `
version: 1
summary: Says that it is slow.
severity: SEV3
steps:
  - { id: say, uses: degrade.set, with: { mode: slow }, idempotent: true }
verify:
  - { uses: sqlite.check, with: { path: /nowhere.db } }
guide: Look at it.
`;
const RULE = {
  name: 'cache-down',
  description: 'A cache that is down is said to be slow.',
  priority: 10,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'CacheDown' }] },
  event: { type: 'remediate', params: { runbook: 'cache/slow', mode: 'approve' } },
};

export const TOKENS: Readonly<Record<Role | 'sender', string>> = {
  viewer: 'viewer-token-0123456789',
  operator: 'operator-token-0123456789',
  approver: 'approver-token-0123456789',
  admin: 'admin-token-0123456789',
  sender: 'sender-token-0123456789',
};
export const WEB: WebConfig = {
  tokens: Object.entries(TOKENS).map(([name, token]) => ({
    name,
    source: 'alertmanager',
    role: name === 'sender' ? 'viewer' : (name as Role),
    sha256: sha256(token),
    webhook: name !== 'viewer',
  })),
  basicAuthUsers: new Map(),
  tls: null,
};

const nobody: Spawner = {
  run: () => Promise.reject(new Error('no command runs here')),
  sweep: () => Promise.resolve(0),
  stop: () => Promise.resolve(),
};

export type Answered = {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly json: Record<string, unknown>;
};
export type Asked = {
  readonly method?: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: string | Buffer;
  readonly as?: Role | 'sender' | null;
};

export type Given = {
  readonly folder: string;
  readonly url: string;
  readonly port: number;
  readonly store: Store;
  readonly engine: Engine;
  readonly server: HttpServer;
  readonly metrics: Metrics;
  readonly registry: Registry;
  readonly logged: string[];
  readonly web: { value: WebConfig | null };
  /** The path goes out as it is written, which a URL would not leave it. */
  ask(path: string, asked?: Asked): Promise<Answered>;
  rows<K extends keyof Rows>(kind: K): Promise<readonly Rows[K][]>;
  close(): Promise<void>;
};

const must = <T>(result: Result<T>): T => {
  if (!result.ok) throw new Error(result.problems.map(formatProblem).join('\n'));
  return result.value;
};

export const start = async (web: WebConfig | null, over: Partial<HttpOptions> = {}): Promise<Given> => {
  const folder = mkdtempSync(join(tmpdir(), 'amends-http-'));
  const write = (name: string, text: string): void => {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  };
  write('amends.yaml', CONFIG);
  write('runbooks/cache/slow.yaml', RUNBOOK);
  write('rules/cache/cache-down.json', JSON.stringify(RULE));
  const src = new URL('../../../src/', import.meta.url);
  const [actions, facts, notifiers] = await Promise.all([
    loadByName<Action>(new URL('actions/', src), true),
    loadByName<Fact>(new URL('facts/', src), false),
    loadByName<Notifier>(new URL('notifiers/', src), false),
  ]);
  const load = async (): Promise<Loaded> => {
    const config = must(await loadConfig(join(folder, 'amends.yaml')));
    return { config, catalog: must(await loadCatalog({ config, actions, facts })) };
  };
  let loaded = await load();
  const logged: string[] = [];
  const clock = systemClock;
  const ids = createIds(clock);
  const redactor = createRedactor();
  const runLog = createRunLog(clock, redactor);
  const log = runLog.around(createLog('debug', redactor, { write: (line) => void logged.push(line) }));
  const changes = createChanges({ clock, log });
  const halt = createHaltFile(join(folder, 'halt'));
  const store = changes.watched(
    await openSqliteStore({ folder: join(folder, 'data'), clock, ids, log, owner: 'test', acceptEmptyHistory: false }),
  );
  const registry = new Registry();
  const metrics = createMetrics({
    registry,
    clock,
    version: '1.2.3',
    collect: createCollector({ store, clock, halt, loaded: () => loaded }),
  });
  metrics.initialise(vocabularyOf(loaded));
  const engine = createEngine({
    store,
    clock,
    ids,
    log,
    redactor,
    actions,
    facts,
    notifiers,
    spawner: nobody,
    sources: createSources(() => ({ alertmanagers: [], prometheus: null, ignoreLabels: new Set() }), {
      clock,
      redactor,
    }),
    telemetry: metrics.telemetry,
    emergency: createEmergencyJournal(join(folder, 'emergency.ndjson')),
    storeHealth: { trouble: () => null },
    halt,
    owner: 'test',
    loaded: () => loaded,
  });
  const held = { value: web };
  const server: HttpServer = createServer({
    listen: { host: '127.0.0.1', port: 0 },
    web: () => held.value,
    store,
    clock,
    log,
    halt,
    metrics,
    version: '1.2.3',
    loaded: () => loaded,
    intake: engine.intake,
    desk: engine.desk,
    working: () => true,
    changes,
    runLog,
    reload: async () => {
      loaded = await load();
      return ok(null);
    },
    ...over,
  });
  const { url, port } = await server.start();
  return {
    folder,
    url,
    port,
    store,
    engine,
    server,
    metrics,
    registry,
    logged,
    web: held,
    ask: (path, asked = {}) => ask(port, path, asked),
    rows: async (kind) => (await store.list(kind, { limit: 500, cursor: null, filters: {}, since: null })).items,
    async close() {
      await server.stop(100);
      await engine.stop(100);
      await store.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
};

const ask = (port: number, path: string, { method = 'GET', headers = {}, body, as = null }: Asked): Promise<Answered> =>
  new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: '127.0.0.1',
        port,
        path,
        method,
        agent: false,
        headers: {
          ...(as === null ? {} : { authorization: `Bearer ${TOKENS[as]}` }),
          ...(body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }),
          ...headers,
        },
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          const isJson = /json/.test(response.headers['content-type'] ?? '') && text !== '';
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text,
            json: isJson ? (JSON.parse(text) as Record<string, unknown>) : {},
          });
        });
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });

export const JSON_TYPE = { 'content-type': 'application/json' };

export const delivery = (
  labels: Record<string, string> = { alertname: 'CacheDown', job: 'redis-cache', instance: 'a' },
): string =>
  JSON.stringify({
    version: '4',
    receiver: 'amends',
    groupKey: '{}',
    alerts: [
      {
        status: 'firing',
        labels,
        annotations: {},
        startsAt: new Date(systemClock.now()).toISOString(),
        endsAt: '0001-01-01T00:00:00Z',
      },
    ],
  });
