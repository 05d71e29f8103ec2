// The actions that ask a real Prometheus and a real Alertmanager.
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import query from '../../../src/actions/prometheus/query.ts';
import waitUntil from '../../../src/actions/prometheus/wait-until.ts';
import silence from '../../../src/actions/alertmanager/silence.ts';
import unsilence from '../../../src/actions/alertmanager/unsilence.ts';
import waitResolved from '../../../src/actions/alertmanager/wait-resolved.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import { createContexts, failureOf, perform, textOf } from '../../support/action-context.ts';
import type { TestContext } from '../../support/action-context.ts';
import { fire, quietConfig, resolve, silence as silenceByHand } from '../../support/alertmanager.ts';
import { startJsonServer } from '../../support/json-server.ts';
import type { JsonServer } from '../../support/json-server.ts';
import { binaryOf, itWith } from '../../support/requires.ts';
import { getJson, startedHere, until } from '../../support/servers.ts';
import type { Running } from '../../support/servers.ts';

const contexts = createContexts();
const servers = startedHere();
let prometheus: Running;
let alertmanager: Running;
let shop: JsonServer;
let errors = 0.01;
const hostOf = ({ url }: { url: string }): string => new URL(url).host;
const make = (timeout = 10_000): TestContext =>
  contexts.make({
    allow: { hosts: [prometheus, alertmanager].flatMap((server) => (server === undefined ? [] : [hostOf(server)])) },
    timeout,
  });

beforeAll(async () => {
  shop = await startJsonServer(() => ({
    text: `shop_error_rate{stage="staging"} ${errors}\nshop_queue{q="a/b\\\\c"} 1\nshop_queue{q="b"} 2\nshop_nan NaN\n`,
  }));
  if (binaryOf('prometheus') !== undefined) {
    prometheus = await servers.prometheus({
      config: {
        scrape_configs: [
          {
            job_name: 'shop',
            scrape_interval: '200ms',
            scrape_timeout: '200ms',
            static_configs: [{ targets: [shop.host] }],
          },
        ],
      },
    });
    await until('the shop is scraped', async () => {
      const { data } = await getJson<{ data: { result: unknown[] } }>(
        `${prometheus.url}/api/v1/query?query=shop_error_rate`,
      );
      return data.result.length === 1;
    });
  }
  if (binaryOf('alertmanager') !== undefined) alertmanager = await servers.alertmanager({ config: quietConfig });
}, 60_000);
afterAll(async () => {
  await servers.stopAll();
  await shop.close();
  await contexts.stop();
});

const question = (more: JsonObject = {}): JsonObject => ({ url: prometheus.url, query: 'shop_error_rate', ...more });
const wait = (more: JsonObject = {}): JsonObject => ({
  ...question(),
  below: 0.05,
  every: '100ms',
  within: '3s',
  ...more,
});

describe('prometheus.query', () => {
  itWith('prometheus')('gives the samples with their labels, and the value of a single one', async () => {
    const outputs = await perform(query, question(), make());
    expect(outputs).toMatchObject({
      count: 1,
      value: 0.01,
      samples: [{ labels: { stage: 'staging', job: 'shop' }, value: 0.01 }],
    });
    expect(await perform(query, question({ query: 'shop_queue' }), make())).toMatchObject({ count: 2, value: null });
    expect(await perform(query, question({ query: 'shop_nan' }), make())).toMatchObject({
      value: null,
      samples: [{ value: 'NaN' }],
    });
    expect(await perform(query, question({ query: 'scalar(shop_error_rate) / 2' }), make())).toMatchObject({
      value: 0.005,
    });
  });

  itWith('prometheus')('F31: no sample, and more than expected, are permanent', async () => {
    expect(await failureOf(perform(query, question({ query: 'no_such_metric' }), make()))).toMatchObject({
      kind: 'permanent',
    });
    expect(
      (await failureOf(perform(query, question({ query: 'shop_queue', max_samples: 1 }), make()))).message,
    ).toContain('2 samples, and 1 at most');
    expect(await perform(query, question({ query: 'no_such_metric', allow_empty: true }), make())).toMatchObject({
      count: 0,
      value: null,
      samples: [],
    });
  });

  itWith('prometheus')(
    'C4: a value from outside is a quoted string in the place of a matcher, whatever is in it',
    async () => {
      const by = (q: string): Promise<JsonObject> =>
        perform(query, question({ query: 'shop_queue{q={{ q }}}', values: { q }, allow_empty: true }), make());
      expect(await by('b')).toMatchObject({ count: 1, value: 2 });
      expect(await by('a/b\\c')).toMatchObject({ count: 1, value: 1 });
      for (const evil of ['b"} or shop_queue{q=~".*', '"} or vector(1) #', '{{ q }}', '\n', '.*'])
        expect([evil, (await by(evil))['count']]).toEqual([evil, 0]);
      for (const misplaced of [
        '{{ q }}',
        'shop_queue{q=~{{ q }}}',
        'shop_queue > {{ q }}',
        'shop_queue == {{ q }}',
        'shop_queue{q="a={{ q }}"}',
        "shop_queue{q='={{ q }}'}",
        'shop_queue{q=`={{ q }}`}',
        '1 # q={{ q }}',
      ])
        expect([
          misplaced,
          (await failureOf(perform(query, question({ query: misplaced, values: { q: 'b' } }), make()))).kind,
        ]).toEqual([misplaced, 'permanent']);
      expect(
        (await failureOf(perform(query, question({ query: 'shop_queue{q={{ other }}}' }), make()))).message,
      ).toContain('values has no other');
    },
  );

  itWith('prometheus')('a query that Prometheus does not take is permanent, with its words', async () => {
    expect((await failureOf(perform(query, question({ query: 'sum(' }), make()))).message).toMatch(
      /answered 400: .*parse error/,
    );
  });
});

describe('prometheus.wait-until', () => {
  itWith('prometheus')('O3: waits until a figure is good, and watches that it stays so', async () => {
    errors = 0.2;
    await until('it is bad', async () => (await perform(query, question(), make()))['value'] === 0.2);
    const waiting = perform(waitUntil, wait({ hold: '400ms', within: '8s' }), make());
    errors = 0.01;
    const outputs = await waiting;
    expect(outputs).toMatchObject({ value: 0.01 });
    expect(outputs['held_seconds']).toBeGreaterThanOrEqual(0.4);
  });

  itWith('prometheus')('O3: the first look at which it is bad again ends it, with how long it had held', async () => {
    const waiting = failureOf(perform(waitUntil, wait({ hold: '20s' }), make()));
    await contexts.make().clock.sleep(300);
    errors = 0.11;
    const error = await waiting;
    errors = 0.01;
    expect(error).toMatchObject({ kind: 'permanent', outputs: { value: 0.11 } });
    expect(error.message).toMatch(/was below 0.05 for [\d.]+ s, and then 0.11/);
  });

  itWith('prometheus')('no data, several samples and NaN are never good; the deadline holds', async () => {
    for (const [bad, said] of [
      ['no_such_metric', '0 samples'],
      ['shop_queue', '2 samples'],
      ['shop_nan', 'NaN'],
    ]) {
      const start = performance.now();
      const error = await failureOf(perform(waitUntil, wait({ query: bad ?? '', within: '300ms' }), make()));
      expect(error).toMatchObject({ kind: 'retryable' });
      expect(error.message).toContain(said);
      expect(performance.now() - start).toBeLessThan(1_300);
    }
    expect(waitUntil.input.safeParse(question()).success).toBe(false);
  });

  itWith('prometheus')(
    'F54: a Prometheus that freezes while it is watched ends the watch, since nobody knows',
    async () => {
      const waiting = failureOf(perform(waitUntil, wait({ hold: '1m', unanswered: 0 }), make(20_000)));
      await contexts.make().clock.sleep(300);
      process.kill(prometheus.pid, 'SIGSTOP');
      const error = await waiting;
      process.kill(prometheus.pid, 'SIGCONT');
      expect(error).toMatchObject({ kind: 'retryable' });
      expect(error.message).toContain('could not be watched');
    },
    30_000,
  );
});

describe('alertmanager.silence, unsilence and wait-resolved', () => {
  const alert = { alertname: 'RedisDown', instance: '10.0.0.7:9121', path: '/var/lib/a b"\\c' };
  const input = (more: JsonObject = {}): JsonObject => ({
    url: alertmanager.url,
    matchers: { alertname: 'RedisDown' },
    duration: '10m',
    reason: 'restarted on purpose',
    ...more,
  });
  const silences = async (): Promise<
    ReadonlyArray<{ id: string; status: { state: string }; comment: string; endsAt: string }>
  > => getJson(`${alertmanager.url}/api/v2/silences`);
  const active = async (): Promise<number> =>
    (await silences()).filter(({ status }) => status.state === 'active').length;

  itWith('alertmanager')('silences exactly these alerts, once, and its undo ends it', async () => {
    await fire(alertmanager, alert, { alertname: 'Other', instance: 'x' });
    const matchers = { alertname: 'RedisDown', path: alert.path };
    const first = await silence.run(silence.input.parse(input({ matchers })), make());
    expect(first.outputs).toMatchObject({ alerts: 1, created: true });
    expect(first.undo).toEqual({ silence_id: first.outputs['silence_id'] });
    expect(await active()).toBe(1);
    const state = async (name: string): Promise<string | undefined> =>
      (
        await getJson<ReadonlyArray<{ labels: { alertname: string }; status: { state: string } }>>(
          `${alertmanager.url}/api/v2/alerts`,
        )
      ).find(({ labels }) => labels.alertname === name)?.status.state;
    await until('it is suppressed', async () => (await state('RedisDown')) === 'suppressed');
    expect(await state('Other')).not.toBe('suppressed');
    expect(await perform(silence, input({ matchers }), make())).toMatchObject({
      silence_id: textOf(first.outputs, 'silence_id'),
      created: false,
    });
    expect(await active()).toBe(1);
    const id = textOf(first.outputs, 'silence_id');
    expect(await perform(unsilence, { url: alertmanager.url, silence_id: id }, make())).toEqual({
      expired: true,
      already: false,
    });
    expect(await active()).toBe(0);
    expect(await perform(unsilence, { url: alertmanager.url, silence_id: id }, make())).toEqual({
      expired: true,
      already: true,
    });
  });

  itWith('alertmanager')('F31: an empty or too wide selection silences nothing', async () => {
    const context = make();
    expect(
      (await failureOf(perform(silence, input({ matchers: { alertname: 'Nobody' } }), context))).message,
    ).toContain('no alert has {alertname="Nobody"}');
    await fire(alertmanager, { ...alert, alertname: 'Second' });
    const wide = input({ matchers: { instance: '10.0.0.7:9121' }, max_alerts: 1 });
    expect((await failureOf(perform(silence, wide, context))).message).toContain('2 alerts have');
    expect(await active()).toBe(0);
    expect(context.beganCount()).toBe(0);
    for (const bad of [
      { matchers: {} },
      { matchers: { alertname: '' } },
      { matchers: { 'a-b': 'x' } },
      { duration: '48h' },
      { duration: '0s' },
    ])
      expect([bad, silence.input.safeParse(input(bad)).success]).toEqual([bad, false]);
  });

  itWith('alertmanager')('a silence that a human has made is left as it is', async () => {
    const id = await silenceByHand(alertmanager, { alertname: 'Other' });
    const error = await failureOf(perform(unsilence, { url: alertmanager.url, silence_id: id }, make()));
    expect(error.message).toContain('was made by "ann", not by amends');
    expect((await silences()).find((one) => one.id === id)?.status.state).toBe('active');
    expect(
      (
        await failureOf(
          perform(unsilence, { url: alertmanager.url, silence_id: '00000000-0000-0000-0000-000000000000' }, make()),
        )
      ).message,
    ).toContain('has no silence');
  });

  itWith('alertmanager')('waits until an alert is resolved; silenced is not resolved', async () => {
    const still = { url: alertmanager.url, matchers: { alertname: 'Other' }, every: '50ms', within: '200ms' };
    expect((await failureOf(perform(waitResolved, still, make()))).message).toContain('1 alerts');
    const waiting = perform(waitResolved, { ...still, matchers: { alertname: 'RedisDown' }, within: '8s' }, make());
    await resolve(alertmanager, alert);
    expect(await waiting).toMatchObject({ resolved: true });
  });

  itWith('alertmanager')('F54: an Alertmanager that freezes is not taken for a quiet one', async () => {
    process.kill(alertmanager.pid, 'SIGSTOP');
    const gone = { url: alertmanager.url, matchers: { alertname: 'RedisDown' }, every: '50ms', within: '1m' };
    const context = make(700);
    const start = performance.now();
    const error = await failureOf(perform(waitResolved, gone, context));
    process.kill(alertmanager.pid, 'SIGCONT');
    expect(error.kind).not.toBe('permanent');
    expect(performance.now() - start).toBeLessThan(1_700);
  });
});
