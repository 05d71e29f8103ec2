// What a case has shown to others while it went on: its log, its metrics, its notifications and every answer of its API,
// so that I13 can be asked of all of them and not of the stored bytes alone.
import { request } from 'node:http';
import { Registry } from 'prom-client';
import { z } from 'zod';
import type { Clock } from '../src/base/clock.ts';
import type { Log } from '../src/base/log.ts';
import { createLog } from '../src/base/log.ts';
import type { Redactor } from '../src/base/secret.ts';
import type { EngineContext } from '../src/engine/context.ts';
import type { Engine } from '../src/engine/engine.ts';
import { createOutbox } from '../src/engine/outbox.ts';
import { createChanges } from '../src/http/changes.ts';
import { createCollector } from '../src/http/figures.ts';
import { ROUTES } from '../src/http/routes.ts';
import { createRunLog } from '../src/http/run-log.ts';
import { createServer } from '../src/http/server.ts';
import { createMetrics } from '../src/metrics.ts';
import type { Notifier } from '../src/port/notifier.ts';
import type { Telemetry } from '../src/port/telemetry.ts';

/** A text that left the process, and where it went. */
export type Emitted = { readonly where: string; readonly text: string };

export type Emissions = {
  readonly log: Log;
  readonly telemetry: Telemetry;
  /** Takes the place of `log`, which is told where no receiver is configured. */
  readonly notifier: Notifier;
  /** All of it so far; asks the API as whoever may view does. */
  of(context: EngineContext, engine: Engine): Promise<readonly Emitted[]>;
};

type Items = { readonly items: ReadonlyArray<{ readonly id: string; readonly decisionId?: string | null }> };

/** Lists, pages and descriptions. The stream does not end. */
const PATHS = ROUTES.filter(
  ({ method, path, id }) => method === 'GET' && !path.includes(':') && id !== 'events-stream' && id !== 'logs',
).map(({ path }) => path);

/** Every answer that a viewer can get about what is on record; `get` resolves to the text of one. */
export const answersOf = async (get: (path: string) => Promise<string>): Promise<readonly Emitted[]> => {
  const found: Emitted[] = [];
  const ask = async (path: string): Promise<string> => {
    const text = await get(path);
    found.push({ where: `the answer to ${path}`, text });
    return text;
  };
  for (const path of PATHS) await ask(path);
  await ask('/api/v1/events/stream?replay_last=100&follow=false');
  const { items: runs } = JSON.parse(await ask('/api/v1/runs?limit=20')) as Items;
  for (const { id, decisionId } of runs) {
    await ask(`/api/v1/runs/${id}`);
    await ask(`/api/v1/postmortems/${id}`);
    await ask(`/api/v1/logs?run_id=${id}`);
    if (typeof decisionId === 'string') await ask(`/api/v1/decisions/${decisionId}/explain`);
  }
  return found;
};

/** Not by fetch, which keeps a pool for every port that it ever asked. */
export const textAt = (url: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const sent = request(url, { agent: false }, (response) => {
      response.setEncoding('utf8');
      let text = '';
      response.on('data', (part: string) => void (text += part)).on('end', () => resolve(text));
    });
    sent.on('error', reject).end();
  });

export const createEmissions = (clock: Clock, redactor: Redactor): Emissions => {
  const lines: string[] = [];
  const told: string[] = [];
  const runLog = createRunLog(clock, redactor);
  const log = runLog.around(createLog('debug', redactor, { write: (line) => void lines.push(line) }));
  let collect: ReturnType<typeof createCollector> | null = null;
  const metrics = createMetrics({
    registry: new Registry(),
    clock,
    version: '0',
    collect: () => {
      if (collect === null) throw new Error('nothing to collect yet');
      return collect();
    },
  });
  return {
    log,
    telemetry: metrics.telemetry,
    notifier: {
      summary: 'Keeps what it is told.',
      settings: z.strictObject({}),
      send: async (_settings, notification) => void told.push(JSON.stringify(notification)),
    },
    async of(context, engine) {
      const { store, halt } = context;
      const figures = { store, clock, halt, loaded: () => context.loaded() };
      collect = createCollector(figures);
      await createOutbox(context).tick();
      const changes = createChanges({ clock, log });
      changes.watched(store);
      const server = createServer({
        ...figures,
        desk: engine.desk,
        version: '0',
        reload: async () => ({ ok: true, value: null }),
        working: () => true,
        listen: { host: '127.0.0.1', port: 0 },
        web: () => null,
        intake: engine.intake,
        metrics,
        log,
        changes,
        runLog,
        requestsPerMinute: 100_000,
      });
      const { url } = await server.start();
      try {
        const answers = await answersOf((path) => textAt(`${url}${path}`));
        const named = (where: string, texts: readonly string[]): readonly Emitted[] =>
          texts.map((text) => ({ where, text }));
        return [...answers, ...named('the log', lines), ...named('a notification', told)];
      } finally {
        await server.stop();
      }
    },
  };
};
