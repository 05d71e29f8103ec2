// The event stream on a real store and a real port: what an application and a console read.
import { request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { afterEach, describe, expect, it } from '@jest/globals';
import { systemClock } from '../../../src/base/clock.ts';
import { createLog } from '../../../src/base/log.ts';
import { createRedactor } from '../../../src/base/secret.ts';
import { createChanges } from '../../../src/http/changes.ts';
import type { Batch, Changes } from '../../../src/http/changes.ts';
import type { HttpOptions } from '../../../src/http/server.ts';
import { StoreUnavailable } from '../../../src/port/store.ts';
import type { Store } from '../../../src/port/store.ts';
import { until } from '../../support/servers.ts';
import { JSON_TYPE, TOKENS, WEB, delivery, start } from './given.ts';
import type { Given } from './given.ts';

type Told = { readonly event: string; readonly id: string | null; readonly data: Record<string, unknown> };
type Listening = {
  readonly response: IncomingMessage;
  text(): string;
  told(): readonly Told[];
  ended(): boolean;
  close(): void;
};

let given: Given;
const listening: Listening[] = [];
const begin = async (over: Partial<HttpOptions> = {}): Promise<void> => {
  given = await start(WEB, { requestsPerMinute: 100_000, ...over });
};
afterEach(async () => {
  for (const each of listening.splice(0)) each.close();
  await given.close();
});

const parse = (text: string): readonly Told[] =>
  text
    .split('\n\n')
    .filter((block) => block.includes('data: '))
    .map((block) => {
      const field = (name: string): string | undefined =>
        block
          .split('\n')
          .find((line) => line.startsWith(`${name}: `))
          ?.slice(name.length + 2);
      return {
        event: field('event') ?? '',
        id: field('id') ?? null,
        data: JSON.parse(field('data') ?? 'null') as Record<string, unknown>,
      };
    });

const listen = (query = '', headers: Record<string, string> = {}, token = TOKENS.viewer): Promise<Listening> =>
  new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: '127.0.0.1',
        port: given.port,
        path: `/api/v1/events/stream${query}`,
        agent: false,
        headers: { authorization: `Bearer ${token}`, ...headers },
      },
      (response) => {
        let [text, ended] = ['', false];
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (text += chunk));
        response.on('close', () => (ended = true));
        response.on('error', () => (ended = true));
        const made: Listening = {
          response,
          text: () => text,
          told: () => parse(text),
          ended: () => ended,
          close: () => outgoing.destroy(),
        };
        listening.push(made);
        resolve(made);
      },
    );
    outgoing.on('error', reject);
    outgoing.end();
  });

const alert = async (instance = 'a'): Promise<void> => {
  const body = delivery({ alertname: 'CacheDown', job: 'redis-cache', instance });
  const answered = await given.ask('/webhook/alertmanager', { method: 'POST', headers: JSON_TYPE, as: 'sender', body });
  expect(answered.status).toBe(202);
  await given.engine.settle();
};
const changed = ({ event, data }: Told): string =>
  event === 'run'
    ? `run ${(data['run'] as { state: string }).state}: ${(data['change'] as { type: string }).type}`
    : event === 'degraded'
      ? `degraded ${String(data['mode'])}: ${String(data['on'])}`
      : `${event} ${String(data['change'] ?? data['action'])}`;
const story = (all: readonly Told[]): readonly string[] =>
  all.filter(({ event }) => !['degraded_modes', 'audit'].includes(event)).map(changed);
const modes = (all: readonly Told[]): ReadonlyArray<boolean | undefined> =>
  all
    .filter(({ event }) => event === 'degraded_modes')
    .map(({ data }) => (data as unknown as ReadonlyArray<{ active: boolean }>)[0]?.active);

describe('P7 the event stream', () => {
  it('P7 R18 C13 tells of episodes, runs, the inbox and degraded modes as they change, and a lost connection goes on where it was', async () => {
    await begin();
    const first = await listen();
    expect(first.response.headers['content-type']).toBe('text/event-stream');
    await until('the first word', () => first.text().includes('degraded_modes'));
    await alert();
    await until('the approval', () => story(first.told()).includes('inbox opened'));
    expect(story(first.told())).toEqual(
      [
        'episode opened',
        'run awaiting_approval: admitted',
        'run awaiting_approval: approval_requested',
        'inbox opened',
      ].toSorted((left, right) => story(first.told()).indexOf(left) - story(first.told()).indexOf(right)),
    );
    first.close();

    // What happens now is missed, and told when it comes again.
    const [run] = await given.rows('runs');
    const approved = await given.ask(`/api/v1/runs/${run?.id}/approve`, {
      method: 'POST',
      as: 'approver',
      headers: JSON_TYPE,
      body: '{}',
    });
    expect(approved.status).toBe(200);
    await given.engine.settle();
    const seen = new Set(first.told().map(({ id }) => id));
    const second = await listen('', { 'last-event-id': first.told().findLast(({ id }) => id !== null)?.id ?? '' });
    await until('the end of the run', () => story(second.told()).some((line) => line === 'run done: done'));
    const missed = second.told().filter(({ id }) => id === null || !seen.has(id));
    expect(story(missed)).toEqual(
      expect.arrayContaining(['run queued: approved', 'inbox closed', 'degraded slow: true', 'run done: done']),
    );
    expect(modes(first.told())).toEqual([false]);
    expect(modes(second.told()).at(-1)).toBe(true);
    const ids = second.told().flatMap(({ id }) => id ?? []);
    expect(new Set(ids).size).toBe(ids.length);

    // Off at success: the application that listens knows without asking.
    const off = { type: 'degraded', mode: 'slow', on: false, component: 'cache', target: 'a', runId: null } as const;
    await given.store.write([off], systemClock.now());
    await until('the mode is off', () => modes(second.told()).at(-1) === false);
    expect(story(second.told()).at(-1)).toBe('degraded slow: false');
  });

  it('P7 replay_last tells the last N on record in order, follow=false ends then, only chooses', async () => {
    await begin();
    await alert('a');
    await alert('b');
    const all = parse((await given.ask('/api/v1/events/stream?replay_last=500&follow=false', { as: 'viewer' })).text);
    expect(story(all).filter((line) => line === 'episode opened')).toHaveLength(2);
    const times = all.flatMap(({ id }) => (id === null ? [] : [Number(id.slice(0, 13))]));
    expect(times).toEqual(times.toSorted((left, right) => left - right));
    const two = parse((await given.ask('/api/v1/events/stream?replay_last=2&follow=false', { as: 'viewer' })).text);
    expect(two.filter(({ id }) => id !== null)).toEqual(all.filter(({ id }) => id !== null).slice(-2));
    const inbox = await given.ask('/api/v1/events/stream?replay_last=500&follow=false&only=inbox', { as: 'viewer' });
    expect(new Set(parse(inbox.text).map(({ event }) => event))).toEqual(new Set(['inbox']));
    for (const query of ['replay_last=501', 'replay_last=-1', 'only=secrets', 'last=3']) {
      expect((await given.ask(`/api/v1/events/stream?${query}`, { as: 'viewer' })).status).toBe(400);
    }
    expect((await given.ask('/api/v1/events/stream')).status).toBe(401);
  });

  it('P7 nothing is told twice or left out when changes come while the record is read', async () => {
    await begin();
    const streams = await Promise.all([0, 1, 2, 3].map(() => listen('?replay_last=500')));
    for (const instance of ['a', 'b']) await alert(instance);
    for (const stream of streams) {
      await until('both', () => story(stream.told()).filter((line) => line === 'inbox opened').length === 2);
      const ids = stream.told().flatMap(({ id }) => id ?? []);
      expect(new Set(ids).size).toBe(ids.length);
      expect(new Set(ids)).toEqual(new Set(streams[0]?.told().flatMap(({ id }) => id ?? [])));
    }
  });

  it('P7 a reader that does not read is dropped, and the others are told on', async () => {
    const listeners = new Set<(batch: Batch) => void>();
    const changes: Changes = {
      watched: (store) => store,
      listen(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      replay: () => Promise.resolve({ changes: [], cut: false }),
    };
    await begin({ changes });
    const [slow, fast] = [await listen(), await listen()];
    await until('both listen', () => listeners.size === 2);
    slow.response.pause();
    let told = 0;
    const tell = (): void => {
      told += 1;
      const at = systemClock.now();
      const data = { text: 'x'.repeat(64_000) };
      for (const listener of listeners)
        listener({ changes: [{ id: `${at}-audit-${told}`, at, event: 'audit', data }], missed: 0 });
    };
    await until(
      'the slow one is dropped',
      () => {
        for (let many = 0; many < 4; many += 1) tell();
        return listeners.size === 1;
      },
      20_000,
      5,
    );
    const before = told;
    tell();
    await until('the other one is told on', () => fast.text().includes(`-audit-${before + 1}\n`));
    expect(fast.ended()).toBe(false);
  });

  it('P7 so many streams are open at once and no more, and ending ends them at once', async () => {
    await begin();
    for (let count = 0; count < 64; count += 1) await listen();
    const refused = await given.ask('/api/v1/events/stream', { as: 'viewer' });
    expect([refused.status, refused.headers['retry-after']]).toEqual([503, '5']);
    listening[0]?.close();
    await until('there is room again', async () => {
      const again = await given.ask('/api/v1/events/stream?follow=false', { as: 'viewer' });
      return again.status === 200;
    });
    const began = systemClock.monotonic();
    await given.server.stop(5_000);
    expect(systemClock.monotonic() - began).toBeLessThan(2_000);
    await until('all have ended', () => listening.every((each) => each.ended()));
  });

  it('P7 C13 sends a sign of life, and a credential that was taken away ends its streams', async () => {
    await begin({ heartbeatMs: 20 });
    const stream = await listen();
    await until('a sign of life', () => /\n: \d{4}-/.test(stream.text()));
    expect(stream.ended()).toBe(false);
    given.web.value = { ...WEB, tokens: WEB.tokens.filter(({ name }) => name !== 'viewer') };
    await until('it was ended', () => stream.ended());
  });
});

describe('P7 the feed behind it', () => {
  it('P7 says that changes were missed while the store could not be read, and tells the next ones', async () => {
    await begin();
    const changes = createChanges({ clock: systemClock, log: createLog('silent', createRedactor()) });
    let broken = true;
    const store = changes.watched(
      Object.assign(Object.create(given.store) as Store, {
        list: (async (kind, query) => {
          if (broken) throw new StoreUnavailable('gone for a moment');
          return given.store.list(kind, query);
        }) satisfies Store['list'],
      }),
    );
    const heard: Batch[] = [];
    const stop = changes.listen((batch) => heard.push(batch));
    const audit = (action: string): Promise<void> =>
      store.write([{ type: 'audit', actor: 'ann', action, subject: 'x', detail: {} }], systemClock.now());
    await audit('one');
    await until('it is said', () => heard.some(({ missed }) => missed === 1));
    broken = false;
    await audit('two');
    await until('the next is told', () =>
      heard.some((batch) => batch.changes.some(({ data }) => data['action'] === 'two')),
    );
    stop();
  });
});
