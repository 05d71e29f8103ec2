// The webhook's port: who may post, what is read, and what a hostile body costs.
import { readFileSync, readdirSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { systemClock } from '../../../src/base/clock.ts';
import { sha256 } from '../../../src/base/json.ts';
import { StoreUnavailable } from '../../../src/port/store.ts';
import { JSON_TYPE, TOKENS, WEB, delivery, start } from './given.ts';
import type { Answered, Given } from './given.ts';

const HOOK = '/webhook/alertmanager';
const CAPTURES = new URL('../../captures/', import.meta.url);

const until = async (holds: () => boolean | Promise<boolean>, withinMs = 20_000): Promise<void> => {
  const deadline = systemClock.now() + withinMs;
  while (!(await holds())) {
    if (systemClock.now() > deadline) throw new Error('it never came about');
    await systemClock.sleep(10);
  }
};

describe('with credentials', () => {
  let given: Given;
  beforeAll(async () => {
    given = await start(WEB);
  });
  afterAll(() => given.close());
  const post = (body: string | Buffer = delivery(), headers: Record<string, string | string[]> = {}, path = HOOK) =>
    given.ask(path, { method: 'POST', as: 'sender', headers: { ...JSON_TYPE, ...headers }, body });

  it.each(readdirSync(CAPTURES).filter((name) => name.endsWith('.json')))(
    'accepts the capture %s and keeps it byte for byte',
    async (name) => {
      const body = readFileSync(new URL(name, CAPTURES));
      const { status, json } = await post(body, { 'user-agent': 'Alertmanager/0.25.0' });
      const { alerts } = JSON.parse(body.toString()) as { alerts: unknown[] };
      expect([status, json['alerts']]).toEqual([202, alerts.length]);
      const kept = await given.store.delivery(String(json['delivery']));
      expect(kept?.body.equals(body)).toBe(true);
    },
  );

  it.each([
    ['a trace', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', true],
    ['what is none', '00-x', false],
    ['none', undefined, false],
  ] as const)('keeps a delivery that came with %s', async (_what, traceparent, kept) => {
    const { status, json } = await post(delivery(), traceparent === undefined ? {} : { traceparent });
    expect(status).toBe(202);
    expect((await given.store.delivery(String(json['delivery'])))?.traceparent).toBe(kept ? traceparent : null);
  });

  describe('C2 forged posts', () => {
    const denied: ReadonlyArray<readonly [string, string, Record<string, string | string[]>]> = [
      ['no header', HOOK, {}],
      ['an empty one', HOOK, { authorization: '' }],
      ['no token', HOOK, { authorization: 'Bearer ' }],
      ['a short token', HOOK, { authorization: `Bearer ${TOKENS.sender.slice(0, -1)}` }],
      ['a wrong token', HOOK, { authorization: 'Bearer wrong-token-0123456789' }],
      ['a padded token', HOOK, { authorization: `Bearer ${TOKENS.sender}=` }],
      ['a token with two spaces', HOOK, { authorization: `Bearer  ${TOKENS.sender}` }],
      ['two tokens', HOOK, { authorization: `Bearer ${TOKENS.sender}, Bearer ${TOKENS.sender}` }],
      ['two headers', HOOK, { authorization: [`Bearer ${TOKENS.sender}`, `Bearer ${TOKENS.sender}`] }],
      ['another scheme', HOOK, { authorization: `Token ${TOKENS.sender}` }],
      ['a token in the query', `${HOOK}?token=${TOKENS.sender}&access_token=${TOKENS.sender}`, {}],
      [
        'basic without users',
        HOOK,
        { authorization: `Basic ${Buffer.from(`sender:${TOKENS.sender}`).toString('base64')}` },
      ],
      ['a doubled slash', '//webhook/alertmanager', {}],
      ['an escaped slash', '/webhook%2falertmanager', {}],
      ['a trailing dot', `${HOOK}.`, {}],
      ['a trailing slash', `${HOOK}/`, {}],
      ['upper case', '/WEBHOOK/ALERTMANAGER', {}],
      ['a path that is not there', '/nothing', {}],
      ['a path that climbs', '/api/../webhook/alertmanager', {}],
    ];

    it.each(denied)('C2 %s is 401 with the one body, and nothing is stored', async (_, path, headers) => {
      const before = (await given.rows('alerts')).length;
      const answered = await given.ask(path, {
        method: 'POST',
        headers: { ...JSON_TYPE, ...headers },
        body: delivery(),
      });
      const plain = await given.ask(HOOK, { method: 'POST', headers: JSON_TYPE, body: delivery() });
      expect(answered.status).toBe(401);
      expect(answered.text).toBe(plain.text);
      expect(answered.headers['www-authenticate']).toBe(plain.headers['www-authenticate']);
      expect(await given.rows('alerts')).toHaveLength(before);
    });

    it.each(['//webhook/alertmanager', '/webhook%2falertmanager', `${HOOK}.`, `${HOOK}/`, '/WEBHOOK/ALERTMANAGER'])(
      'C2 with a credential %s is 404',
      async (path) => {
        expect((await post(delivery(), {}, path)).status).toBe(404);
      },
    );

    it('C2 an old token is out as soon as it is taken away, and two are in meanwhile', async () => {
      const [first] = WEB.tokens;
      if (first === undefined) throw new Error('no token');
      const next = { ...first, webhook: true, sha256: sha256('next-token-0123456789') };
      given.web.value = { ...WEB, tokens: [...WEB.tokens, next] };
      const as = (token: string): Promise<Answered> =>
        given.ask(HOOK, {
          method: 'POST',
          headers: { ...JSON_TYPE, authorization: `Bearer ${token}` },
          body: delivery(),
        });
      expect([(await as('next-token-0123456789')).status, (await as(TOKENS.sender)).status]).toEqual([202, 202]);
      given.web.value = { ...WEB, tokens: [next] };
      expect([(await as('next-token-0123456789')).status, (await as(TOKENS.sender)).status]).toEqual([202, 401]);
      given.web.value = WEB;
    });

    it('C2 a credential that may only look may not post', async () => {
      expect(
        (await given.ask(HOOK, { method: 'POST', as: 'viewer', headers: JSON_TYPE, body: delivery() })).status,
      ).toBe(403);
    });

    it('C17 what is not known is counted and stored nowhere', async () => {
      const before = await given.store.figures();
      await Promise.all(
        Array.from({ length: 300 }, () => given.ask(HOOK, { method: 'POST', headers: JSON_TYPE, body: delivery() })),
      );
      expect((await given.store.figures()).bytes).toBe(before.bytes);
      expect(await given.metrics.text()).toMatch(/amends_deliveries_total\{result="unauthorized"\} [3-9]\d\d/);
    });
  });

  describe('C6 what is read', () => {
    it.each([
      ['text', { 'content-type': 'text/plain' }, 415],
      ['no type', { 'content-type': '' }, 415],
      ['a form', { 'content-type': 'application/x-www-form-urlencoded' }, 415],
      ['another JSON', { 'content-type': 'application/json-seq' }, 415],
      ['JSON with a character set', { 'content-type': 'application/json; charset=utf-8' }, 202],
      ['gzip', { 'content-encoding': 'gzip' }, 415],
      ['brotli', { 'content-encoding': 'br' }, 415],
      ['identity', { 'content-encoding': 'identity' }, 202],
    ])('C6 %s is answered %j %d', async (_, headers, status) => {
      expect((await post(delivery(), headers)).status).toBe(status);
    });

    it.each([
      ['half a body', delivery().slice(0, -5), 'not-json'],
      ['a million brackets', '['.repeat(1_000_000), 'too-deep'],
      ['no alerts', '{}', 'no-alerts'],
      ['nothing', '', 'not-json'],
      [
        '50,001 alerts',
        JSON.stringify({ version: '4', alerts: Array.from({ length: 50_001 }, () => 0) }),
        'too-many-alerts',
      ],
    ])('C6 %s is 400 with a problem document', async (_, body, code) => {
      const { status, headers, json } = await post(body);
      expect([status, headers['content-type']]).toEqual([400, 'application/problem+json']);
      expect(json).toMatchObject({ title: 'Bad request', status: 400, problems: [{ code }] });
    });

    it('C6 duplicate keys are read as any parser reads them', async () => {
      expect(
        (await post(`{"version":"4","alerts":[],"alerts":[${'{"a":1,"a":2},'.repeat(100)}{}]}`)).json['alerts'],
      ).toBe(101);
    });

    it('C6 one bad alert among a hundred is kept as invalid', async () => {
      const alerts = Array.from({ length: 100 }, (_, index) => ({
        status: 'firing',
        labels: index === 7 ? 5 : { alertname: 'X', n: String(index) },
      }));
      const { status, json } = await post(JSON.stringify({ version: '4', alerts }));
      expect([status, json['alerts']]).toEqual([202, 100]);
    });

    it('other methods are 405', async () => {
      for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS'])
        expect((await given.ask(HOOK, { method, as: 'sender' })).status).toBe(405);
    });

    it("the credential's source is the delivery's", async () => {
      const [first] = WEB.tokens;
      if (first === undefined) throw new Error('no token');
      given.web.value = { ...WEB, tokens: [{ ...first, source: 'eu', webhook: true }] };
      const { json } = await given.ask(HOOK, { method: 'POST', as: 'viewer', headers: JSON_TYPE, body: delivery() });
      given.web.value = WEB;
      expect((await given.store.delivery(String(json['delivery'])))?.source).toBe('eu');
    });
  });
});

describe('C6 bombs', () => {
  let given: Given;
  const sockets: Socket[] = [];
  beforeEach(async () => {
    given = await start(WEB);
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await given.close();
  });
  const open = (head: string): { socket: Socket; received: () => string; closed: () => boolean } => {
    const socket = connect(given.port, '127.0.0.1');
    let text = '';
    let closed = false;
    socket
      .on('data', (chunk) => (text += chunk.toString()))
      .on('close', () => (closed = true))
      .on('error', () => (closed = true));
    socket.write(head);
    sockets.push(socket);
    return { socket, received: () => text, closed: () => closed };
  };
  const head = (...lines: readonly string[]): string =>
    [
      `POST ${HOOK} HTTP/1.1`,
      'Host: 127.0.0.1',
      `Authorization: Bearer ${TOKENS.sender}`,
      'Content-Type: application/json',
      ...lines,
      '',
      '',
    ].join('\r\n');
  const healthy = async (): Promise<void> => {
    const started = performance.now();
    expect((await given.ask('/healthz')).status).toBe(200);
    // Under 200 ms where it has the machine to itself; here the sender and other tests share its core.
    expect(performance.now() - started).toBeLessThan(1_000);
  };

  it('C6 33 MiB are refused while they come, and the answer can be read', async () => {
    const answered = await given.ask(HOOK, {
      method: 'POST',
      as: 'sender',
      headers: JSON_TYPE,
      body: Buffer.alloc(33 * 1_024 * 1_024, 0x20),
    });
    expect([answered.status, answered.json['title'], answered.headers.connection]).toEqual([413, 'Too large', 'close']);
    await healthy();
  });

  it('C6 chunks without end are refused at 32 MiB and cut off', async () => {
    const { socket, received, closed } = open(head('Transfer-Encoding: chunked'));
    const chunk = Buffer.concat([Buffer.from('100000\r\n'), Buffer.alloc(0x10_0000, 0x5b), Buffer.from('\r\n')]);
    let pumping = true;
    const pump = (): void => {
      while (pumping && !socket.destroyed && socket.write(chunk));
    };
    socket.on('drain', pump);
    pump();
    await until(() => received().includes('413'));
    await healthy();
    await until(() => closed(), 10_000);
    pumping = false;
  });

  it('C6 gzip of 1000:1 is not unpacked', async () => {
    const body = gzipSync(Buffer.alloc(10 * 1_024 * 1_024));
    expect(
      (
        await given.ask(HOOK, {
          method: 'POST',
          as: 'sender',
          headers: { ...JSON_TYPE, 'content-encoding': 'gzip' },
          body,
        })
      ).status,
    ).toBe(415);
  });

  it('C6 headers beyond 16 KiB are refused', async () => {
    const { received } = open(head(`X: ${'x'.repeat(17_000)}`));
    await until(() => received().includes('431'));
  });

  it('C6 slow senders keep nobody else waiting and are cut off', async () => {
    const slow = Array.from({ length: 100 }, (_, index) =>
      open(index % 2 === 0 ? head('Content-Length: 1000000') : `POST ${HOOK} HTTP/1.1\r\nHost: x\r\nX-`),
    );
    const drip = systemClock.now();
    for (const { socket } of slow) socket.write('{');
    await until(() => slow.every(({ socket }) => !socket.connecting));
    await healthy();
    expect((await given.ask(HOOK, { method: 'POST', as: 'sender', headers: JSON_TYPE, body: delivery() })).status).toBe(
      202,
    );
    // 10 s for headers, 15 s for all, looked after every 2 s.
    await until(() => slow.every(({ closed }) => closed()), 25_000);
    expect(systemClock.now() - drip).toBeLessThan(20_000);
  }, 40_000);

  it('C6 a sender that goes away leaves nothing behind', async () => {
    const { socket } = open(head('Content-Length: 1000'));
    socket.write('{"version"');
    await systemClock.sleep(20);
    socket.destroy();
    await healthy();
    expect(await given.rows('alerts')).toHaveLength(0);
  });

  it('C6 bombs one after the other leave the loop quick and the memory small', async () => {
    const bombs = [
      '['.repeat(1_000_000),
      `{"alerts":[${'{},'.repeat(2_500_000)}{}]}`,
      `{"alerts":[${'0,'.repeat(60_000)}0]}`,
      '{"a":'.repeat(200_000),
      `{"alerts":[{"labels":{${Array.from({ length: 500_000 }, (_, index) => `"${index}":0`).join(',')}}}]}`,
    ].map((bomb) => Buffer.from(bomb));
    const loop = monitorEventLoopDelay({ resolution: 5 });
    // What other suites left in this worker is not counted.
    const before = process.memoryUsage().rss;
    loop.enable();
    for (const bomb of bombs) {
      expect((await given.ask(HOOK, { method: 'POST', as: 'sender', headers: JSON_TYPE, body: bomb })).status).toBe(
        400,
      );
      for (let times = 0; times < 20; times += 1) await healthy();
    }
    loop.disable();
    expect(loop.percentile(99) / 1e6).toBeLessThan(250);
    expect(process.memoryUsage().rss - before).toBeLessThan(400 * 1_024 * 1_024);
  });
});

describe('overload', () => {
  it('C6 beyond what may wait it says when to come again', async () => {
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const given = await start(WEB, {
      limits: { waiting: 1_000 },
      intake: {
        async submit(_source, body) {
          await held;
          return { status: 'accepted', deliveryId: sha256(body), alerts: 1 };
        },
      },
    });
    const post = (): Promise<Answered> =>
      given.ask(HOOK, { method: 'POST', as: 'sender', headers: JSON_TYPE, body: ' '.repeat(600) });
    const first = post();
    let second: Answered | undefined;
    await until(async () => {
      second = await Promise.race([post(), systemClock.sleep(500).then(() => undefined)]);
      return second?.status === 503;
    });
    expect(second).toMatchObject({ status: 503, headers: { 'retry-after': '5' } });
    release();
    expect((await first).status).toBe(202);
    expect((await post()).status).toBe(202);
    await given.close();
  });

  it('a store that cannot write is 503, since Alertmanager comes again after nothing else', async () => {
    const given = await start(WEB, { intake: { submit: () => Promise.reject(new StoreUnavailable('disk full')) } });
    const answered = await given.ask(HOOK, { method: 'POST', as: 'sender', headers: JSON_TYPE, body: delivery() });
    expect([answered.status, answered.headers['retry-after']]).toEqual([503, '5']);
    await given.close();
  });
});

describe('without credentials', () => {
  let given: Given;
  beforeAll(async () => {
    given = await start(null);
  });
  afterAll(() => given.close());

  it('this machine is served', async () => {
    expect((await given.ask(HOOK, { method: 'POST', headers: JSON_TYPE, body: delivery() })).status).toBe(202);
    expect((await given.ask('/metrics')).status).toBe(200);
    expect((await given.ask('/api/v1/runs', { headers: { host: `localhost:${given.port}` } })).status).toBe(200);
  });

  it.each([HOOK, '/api/v1/halt', '/-/reload'])(
    'C13 a page that names this machine otherwise is not served at %s',
    async (path) => {
      expect(
        (await given.ask(path, { method: 'POST', headers: { ...JSON_TYPE, host: 'evil.example' }, body: delivery() }))
          .status,
      ).toBe(403);
    },
  );

  it('lifting a halt needs a name', async () => {
    const halt = (body: object) =>
      given.ask('/api/v1/halt', { method: 'POST', headers: JSON_TYPE, body: JSON.stringify(body) });
    expect((await halt({ reason: 'x' })).status).toBe(200);
    expect((await halt({ on: false })).json).toMatchObject({ status: 422, mend: expect.any(String) });
    expect((await halt({ on: false, by: 'ada' })).status).toBe(200);
  });
});
