// Passwords, certificates and where amends may listen.
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { hashSync } from 'bcryptjs';
import { systemClock } from '../../../src/base/clock.ts';
import type { WebConfig } from '../../../src/config-web.ts';
import { checkExposure, createAuthenticator, isCrossSite, isLocalHost, mayAct } from '../../../src/http/auth.ts';
import { WEB } from './given.ts';

const hash = hashSync('correct horse', 10);
const withUsers: WebConfig = {
  tokens: [],
  tls: null,
  basicAuthUsers: new Map([['ada', { bcrypt: hash, role: 'operator', source: 'eu' }]]),
};

/** A real request as the server sees it. */
const incoming = async (headers: Record<string, string>, from = '127.0.0.1'): Promise<IncomingMessage> => {
  let seen: IncomingMessage | undefined;
  const server = createServer((message, response) => {
    seen = message;
    // Asked for while it is connected, it is known afterwards too.
    expect(message.socket.remoteAddress).toBe(from);
    response.end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const sent = request({
    host: '127.0.0.1',
    port: (server.address() as AddressInfo).port,
    localAddress: from,
    headers,
    agent: false,
  }).end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  response.resume();
  server.close();
  if (seen === undefined) throw new Error('nothing came');
  return seen;
};
const basic = (text: string, from?: string): Promise<IncomingMessage> =>
  incoming({ authorization: `Basic ${Buffer.from(text).toString('base64')}` }, from);

describe('passwords', () => {
  it('C2 let in whom they belong to, and are checked by bcrypt only once in a while', async () => {
    let now = systemClock.now();
    const authenticate = createAuthenticator(() => withUsers, { now: () => now });
    const right = await basic('ada:correct horse');
    expect(await authenticate(right)).toMatchObject({
      ok: true,
      principal: { name: 'ada', role: 'operator', source: 'eu', local: false },
    });
    const timed = async (): Promise<number> => {
      const start = performance.now();
      await authenticate(right);
      return performance.now() - start;
    };
    expect(await timed()).toBeLessThan(10);
    now += 6 * 60_000;
    expect(await timed()).toBeGreaterThan(10);
  });

  it.each(['ada:wrong', 'ada:', 'ada', 'bob:correct horse', ':correct horse', 'ada:correct horse\n', ''])(
    'C2 %j is denied',
    async (text) => {
      expect(await createAuthenticator(() => withUsers, systemClock)(await basic(text))).toEqual({
        ok: false,
        status: 401,
      });
    },
  );

  it('C17 many wrong ones at once do not hold the thread', async () => {
    const authenticate = createAuthenticator(() => withUsers, systemClock);
    const guesses = await Promise.all(Array.from({ length: 20 }, (_, index) => basic(`ada:guess ${index}`)));
    const answers = await Promise.all(guesses.map(async (guess) => authenticate(guess)));
    expect(answers.filter((answer) => !answer.ok && answer.status === 503)).toHaveLength(16);
    expect(answers.some((answer) => answer.ok)).toBe(false);
  });

  it('C17 one after the other they have a fifth of the thread at most, and whoever is known is not kept waiting', async () => {
    let now = 1_000_000;
    const authenticate = createAuthenticator(() => withUsers, { now: () => now });
    const ada = await basic('ada:correct horse');
    expect(await authenticate(ada)).toMatchObject({ ok: true });
    const statuses: number[] = [];
    for (let guess = 0; guess < 20; guess += 1) {
      const answer = await authenticate(await basic(`ada:guess ${guess}`));
      statuses.push(answer.ok ? 200 : answer.status);
      now += 100;
    }
    // Four at once, then one in 400 ms: the rest is told to come again.
    expect(statuses.slice(0, 4)).toEqual([401, 401, 401, 401]);
    expect(statuses.filter((status) => status === 401).length).toBeLessThanOrEqual(9);
    expect(statuses.filter((status) => status === 503).length).toBeGreaterThanOrEqual(11);
    expect(await authenticate(ada)).toMatchObject({ ok: true });
    now += 2_000;
    expect(await authenticate(await basic('bob:guess'))).toMatchObject({ status: 401 });
  });

  it.each([0, 90, 190, 290])(
    'C17 a stranger who guesses without a pause keeps nobody out who comes from elsewhere (%i ms later)',
    async (later) => {
      let now = 1_000_000;
      // Cheap to compare: how often it is done is what counts.
      const user = { bcrypt: hashSync('correct horse', 4), role: 'operator', source: 'eu' } as const;
      const users: WebConfig = { ...withUsers, basicAuthUsers: new Map([['ada', user]]) };
      const authenticate = createAuthenticator(() => users, { now: () => now });
      const [guess, ada] = [await basic('ada:guess'), await basic('ada:correct horse', '127.0.0.2')];
      let compared = 0;
      for (const end = now + 8_000 + later; now < end; now += 10) {
        const answer = await authenticate(guess);
        if (!answer.ok && answer.status === 401) compared += 1;
      }
      expect(await authenticate(ada)).toMatchObject({ ok: true });
      // Four, and one in 400 ms.
      expect(compared).toBeLessThanOrEqual(4 + 8_400 / 400);
    },
  );

  it('C17 many strangers together have no more than twice what one has', async () => {
    let now = 1_000_000;
    const authenticate = createAuthenticator(() => withUsers, { now: () => now });
    const statuses: number[] = [];
    for (let stranger = 2; stranger < 42; stranger += 1) {
      const answer = await authenticate(await basic('ada:guess', `127.0.0.${stranger}`));
      statuses.push(answer.ok ? 200 : answer.status);
      now += 50;
    }
    expect(statuses.filter((status) => status === 401).length).toBeLessThanOrEqual(2 * (4 + 2_000 / 400));
    expect(statuses).toContain(503);
  });

  it('C17 where nobody has a password none is compared', async () => {
    const authenticate = createAuthenticator(() => WEB, systemClock);
    const guesses = await Promise.all(Array.from({ length: 200 }, (_, index) => basic(`ada:guess ${index}`)));
    const before = process.cpuUsage();
    const answers = await Promise.all(guesses.map(async (guess) => authenticate(guess)));
    const { user } = process.cpuUsage(before);
    expect(new Set(answers.map((answer) => (answer.ok ? 200 : answer.status)))).toEqual(new Set([401]));
    // One comparison takes 85 ms.
    expect(user).toBeLessThan(80_000);
  });
});

describe('where it may listen', () => {
  it.each(['127.0.0.1', '127.8.8.8', '::1', 'localhost'])('%s needs no credential', (host) => {
    expect(checkExposure(host, null)).toEqual([]);
  });

  it.each(['0.0.0.0', '::', '10.0.0.1', 'amends.example.com', '1127.0.0.1'])(
    'C2 %s is refused without one, with a mend',
    (host) => {
      expect(checkExposure(host, null)).toMatchObject([
        { code: 'exposed', mend: expect.stringContaining('--web.config.file') },
      ]);
      expect(checkExposure(host, WEB)).toEqual([]);
    },
  );
});

describe('what a browser says about itself', () => {
  it.each([
    [{}, false],
    [{ origin: 'http://127.0.0.1:9193', host: '127.0.0.1:9193' }, false],
    [{ origin: 'http://127.0.0.1:80', host: '127.0.0.1:9193' }, true],
    [{ origin: 'null' }, true],
    [{ origin: 'https://evil.example' }, true],
    [{ 'sec-fetch-site': 'same-origin' }, false],
    [{ 'sec-fetch-site': 'none' }, false],
    [{ 'sec-fetch-site': 'cross-site' }, true],
  ])('C13 %j: cross-site %p', async (headers, expected) => {
    expect(isCrossSite(await incoming(headers as Record<string, string>))).toBe(expected);
  });

  it.each([
    ['localhost:9193', true],
    ['127.0.0.1', true],
    ['[::1]:9193', true],
    ['evil.example', false],
    ['127.0.0.1.evil.example', false],
    ['localhost.evil.example:80', false],
  ])('C13 the host %s is ours: %p', async (host, expected) => {
    expect(isLocalHost(await incoming({ host }))).toBe(expected);
  });
});

it('C13 roles contain the ones below them', () => {
  expect([
    mayAct('viewer', 'operator'),
    mayAct('operator', 'operator'),
    mayAct('admin', 'approver'),
    mayAct('approver', 'admin'),
  ]).toEqual([false, true, true, false]);
});
