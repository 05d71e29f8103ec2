// What amends asks of a real Alertmanager and a real Prometheus, and what it makes of the answers.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import bcrypt from 'bcryptjs';
import { systemClock } from '../../src/base/clock.ts';
import { createRedactor } from '../../src/base/secret.ts';
import type { Neighbour, Sources } from '../../src/port/sources.ts';
import { createSources } from '../../src/sources/sources.ts';
import { fire, quietConfig, silence, unsilence } from '../support/alertmanager.ts';
import { itWith } from '../support/requires.ts';
import { startedHere, until } from '../support/servers.ts';
import type { Running } from '../support/servers.ts';
import { createShiftedClock } from '../support/shifted-clock.ts';

const servers = startedHere();
afterAll(() => servers.stopAll(), 30_000);

const NOWHERE = 'http://127.0.0.1:9';
const plain = (url: string): Neighbour & { readonly sources: readonly string[] } => ({
  url,
  credential: null,
  sources: ['alertmanager'],
});
const ignoreLabels: ReadonlySet<string> = new Set(['replica']);
const asking = (...urls: readonly string[]): Sources =>
  createSources(() => ({ alertmanagers: urls.map(plain), prometheus: null, ignoreLabels }), {
    clock: systemClock,
    redactor: createRedactor(),
  });

describe('a real Alertmanager', () => {
  let alertmanager: Running;
  const ask = async (labels: Readonly<Record<string, string>>): Promise<string> =>
    (await asking(alertmanager.url).alert(labels, 'alertmanager')).state;
  beforeAll(async () => {
    alertmanager = await servers.alertmanager({ config: quietConfig }).catch(() => ({ url: NOWHERE }) as Running);
  }, 30_000);

  const AWKWARD: ReadonlyArray<readonly [string, string]> = [
    ['quotes', 'he said "no"'],
    ['a backslash', 'C:\\shop\\orders.db'],
    ['a backslash before an n', 'C:\\new'],
    ['a backslash at the end', 'C:\\'],
    ['a newline', 'one\ntwo'],
    ['a tab and a carriage return', 'one\ttwo\rthree'],
    ['a control character', 'bell\u0007'],
    ['umlauts, an emoji and right-to-left text', 'Größe 🧊 שלום'],
    ['what a matcher is made of', '{a="b"},c=~".*"'],
    ['spaces around it', '  padded  '],
    ['nothing but an operator', '=~'],
    ['an ampersand, a percent and a plus', 'a&filter=b%22+c'],
    ['a thousand characters', 'x'.repeat(1_000)],
  ];
  itWith('alertmanager')('C2 F44 is asked about exactly this alert, whatever stands in its labels', async () => {
    for (const [what, value] of AWKWARD) {
      const labels = { alertname: 'Awkward', value };
      expect([what, await ask(labels)]).toEqual([what, 'absent']);
      await fire(alertmanager, labels);
      expect([what, await ask(labels)]).toEqual([what, 'firing']);
      expect([what, await ask({ ...labels, value: `${value}.` })]).toEqual([what, 'absent']);
    }
  });

  itWith('alertmanager')('C2 and neither one with more labels nor one with fewer counts as this one', async () => {
    await fire(alertmanager, { alertname: 'Wide', instance: 'a', job: 'shop', path: '/x' });
    expect(await ask({ alertname: 'Wide', instance: 'a', job: 'shop', path: '/x' })).toBe('firing');
    expect(await ask({ alertname: 'Wide', instance: 'a', job: 'shop' })).toBe('absent');
    expect(await ask({ alertname: 'Wide' })).toBe('absent');
    expect(await ask({ alertname: 'Wide', instance: 'a', job: 'shop', path: '/x', more: 'y' })).toBe('absent');
    expect(await ask({ alertname: '.*', instance: 'a' })).toBe('absent');
    expect(await ask({})).toBe('absent');
  });

  itWith('alertmanager')('F42 a label that replicas differ in does not, and an empty one is none', async () => {
    await fire(alertmanager, { alertname: 'Twin', instance: 'a', replica: 'one' });
    expect(await ask({ alertname: 'Twin', instance: 'a', replica: 'two' })).toBe('firing');
    expect(await ask({ alertname: 'Twin', instance: 'a' })).toBe('firing');
    expect(await ask({ alertname: 'Twin', instance: 'a', zone: '' })).toBe('firing');
    expect(await ask({ alertname: 'Twin', instance: '' })).toBe('absent');
  });

  itWith('alertmanager')('F44 names that it would not take are no question to it', async () => {
    expect(await ask({ alertname: 'Odd', 'k8s.pod': 'x', __proto__: 'y' })).toBe('absent');
    expect(await ask(JSON.parse('{"alertname":"Odd","__proto__":"z"}') as Record<string, string>)).toBe('absent');
  });

  itWith('alertmanager')('says that it is silenced, and by which silence, until the silence is lifted', async () => {
    const labels = { alertname: 'Hushed', instance: 'a' };
    await fire(alertmanager, labels);
    const id = await silence(alertmanager, { instance: 'a', alertname: 'Hushed' });
    const answer = await asking(alertmanager.url).alert(labels, 'alertmanager');
    expect(answer).toMatchObject({ state: 'silenced', detail: expect.stringContaining(id) });
    await unsilence(alertmanager, id);
    expect(await ask(labels)).toBe('firing');
  });

  itWith('alertmanager')(
    'F42 any that says firing is a yes, and none that can be reached is none that says so',
    async () => {
      const labels = { alertname: 'Shared', instance: 'a' };
      await fire(alertmanager, labels);
      const other = await servers.alertmanager({ config: quietConfig });
      const state = async (...urls: string[]): Promise<string> =>
        (await asking(...urls).alert(labels, 'alertmanager')).state;
      expect(await state(other.url)).toBe('absent');
      expect(await state(other.url, alertmanager.url)).toBe('firing');
      expect(await state(NOWHERE, alertmanager.url)).toBe('firing');
      expect(await state(NOWHERE, other.url)).toBe('absent');
      expect(await state(NOWHERE)).toBe('unreachable');
      await silence(other, labels);
      await fire(other, labels);
      expect(await state(other.url)).toBe('silenced');
      expect(await state(other.url, alertmanager.url)).toBe('firing');
      process.kill(other.pid, 'SIGSTOP');
      const before = performance.now();
      expect(await state(other.url, alertmanager.url)).toBe('firing');
      expect(performance.now() - before).toBeLessThan(1_000);
      expect(await state(other.url)).toBe('unreachable');
      expect(performance.now() - before).toBeLessThan(4_000);
      process.kill(other.pid, 'SIGCONT');
    },
  );

  itWith('alertmanager')('is asked only about the alerts of its own sources', async () => {
    expect(await asking(alertmanager.url).alert({ alertname: 'X' }, 'grafana')).toMatchObject({ state: 'not_asked' });
    expect(await asking().alert({ alertname: 'X' }, 'alertmanager')).toMatchObject({ state: 'not_asked' });
  });
});

describe('credentials', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'amends-credentials-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  itWith('alertmanager', 'prometheus')(
    'are shown to servers that ask for them, read anew each time, and kept out of what is stored',
    async () => {
      const web = { basic_auth_users: { amends: bcrypt.hashSync('open-sesame', 4) } };
      const alertmanager = await servers.alertmanager({ config: quietConfig, web });
      const prometheus = await servers.prometheus({ config: {}, web });
      const passwordFile = join(folder, 'password');
      const credential = { type: 'basic', username: 'amends', passwordFile } as const;
      const redactor = createRedactor();
      const sources = createSources(
        () => ({
          alertmanagers: [{ url: alertmanager.url, credential, sources: ['alertmanager'] }],
          prometheus: { url: prometheus.url, credential },
          ignoreLabels,
        }),
        { clock: systemClock, redactor },
      );
      const labels = { alertname: 'Any' };
      expect(await sources.alert(labels, 'alertmanager')).toMatchObject({
        state: 'unreachable',
        detail: expect.stringContaining('ENOENT'),
      });
      writeFileSync(passwordFile, 'wrong-one\n');
      expect(await sources.alert(labels, 'alertmanager')).toMatchObject({
        state: 'unreachable',
        detail: expect.stringContaining('401'),
      });
      expect(await sources.query('1')).toMatchObject({ ok: false });
      writeFileSync(passwordFile, 'open-sesame\n');
      expect(await sources.alert(labels, 'alertmanager')).toMatchObject({ state: 'absent' });
      expect(await sources.query('1')).toMatchObject({ ok: true, value: [{ value: 1 }] });
      expect(redactor.text('open-sesame')).toBe('[redacted]');
      expect(redactor.text(Buffer.from('amends:open-sesame').toString('base64'))).toBe('[redacted]');
    },
    30_000,
  );
});

describe('a real Prometheus', () => {
  let prometheus: Running;
  const clock = createShiftedClock();
  let sources: Sources;
  beforeAll(async () => {
    prometheus = await servers.prometheus({ config: {} }).catch(() => ({ url: NOWHERE }) as Running);
    sources = createSources(
      () => ({ alertmanagers: [], prometheus: { url: prometheus.url, credential: null }, ignoreLabels }),
      { clock, redactor: createRedactor() },
    );
  }, 30_000);

  itWith('prometheus')(
    'F56 gives numbers, also those that JSON has none for, and nothing where there is nothing',
    async () => {
      const value = async (query: string): Promise<unknown> => {
        const answer = await sources.query(query);
        return answer.ok ? answer.value.map((sample) => sample.value) : answer.problems[0]?.message;
      };
      expect(await value('3')).toEqual([3]);
      expect(await value('vector(2.5)')).toEqual([2.5]);
      expect(await value('1/0')).toEqual([Number.POSITIVE_INFINITY]);
      expect(await value('-1/0')).toEqual([Number.NEGATIVE_INFINITY]);
      expect(await value('0/0')).toEqual([Number.NaN]);
      expect(await value('nothing_of_that_name')).toEqual([]);
      expect(await value('sum(')).toMatch(/status 400.*parse error/);
      expect(await value('"text"')).toMatch(/neither a vector nor a scalar/);
      expect(await value('up[5m]')).toMatch(/neither a vector nor a scalar/);
    },
  );

  itWith('prometheus')('is asked once in a while for what may be a little old', async () => {
    const at = async (maxAgeMs?: number): Promise<number> => {
      const answer = await sources.query('time()', maxAgeMs === undefined ? undefined : { maxAgeMs });
      return answer.ok ? (answer.value[0]?.value ?? 0) : 0;
    };
    const first = await at(15_000);
    await until('a moment has passed', async () => (await at()) > first);
    expect(await at(15_000)).toBe(first);
    clock.advance(15_001);
    expect(await at(15_000)).toBeGreaterThan(first);
  });
});

it('a Prometheus that does not answer costs two seconds once, not two for each alert', async () => {
  const clock = createShiftedClock();
  const hanging = createServer(() => undefined);
  await new Promise<void>((resolve) => void hanging.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(hanging.address() as AddressInfo).port}`;
  const sources = createSources(() => ({ alertmanagers: [], prometheus: { url, credential: null }, ignoreLabels }), {
    clock,
    redactor: createRedactor(),
  });
  const before = performance.now();
  for (let index = 0; index < 50; index += 1)
    expect(await sources.query(`x${index}`, { maxAgeMs: 15_000 })).toMatchObject({ ok: false });
  expect(performance.now() - before).toBeLessThan(3_000);
  hanging.closeAllConnections();
  await new Promise((resolve) => void hanging.close(resolve));
});

describe('a neighbour that answers badly', () => {
  const MISBEHAVING: ReadonlyArray<readonly [string, RequestListener]> = [
    ['never answers', () => undefined],
    ['resets the connection', (request) => void request.socket.destroy()],
    ['sends elsewhere', (_, response) => void response.writeHead(302, { location: 'http://127.0.0.1:9/' }).end()],
    ['is broken', (_, response) => void response.writeHead(500).end('{"error":"out of order"}')],
    ['is a login page', (_, response) => void response.writeHead(200, { 'content-type': 'text/html' }).end('<html>')],
    ['gives a list of nonsense', (_, response) => void response.end('[null, 1, {"labels": 7}, {"labels": {"a": 1}}]')],
    ['gives an object', (_, response) => void response.end('{"data": {"resultType": "matrix", "result": {}}}')],
    [
      'drips its answer',
      (_, response) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        const timer = setInterval(() => response.write(' '), 50);
        response.on('close', () => clearInterval(timer));
      },
    ],
    [
      'never stops',
      (_, response) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        const more = (): void => {
          while (!response.destroyed && response.write('[1,'.repeat(20_000)));
        };
        response.on('drain', more);
        more();
      },
    ],
  ];
  const listen = async (listener: RequestListener): Promise<Server> => {
    const server = createServer(listener);
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    return server;
  };

  it.each(MISBEHAVING)('F54 is no yes, within its time: it %s', async (_, listener) => {
    const listening = await listen(listener);
    const url = `http://127.0.0.1:${(listening.address() as AddressInfo).port}`;
    const sources = createSources(
      () => ({ alertmanagers: [plain(url)], prometheus: { url, credential: null }, ignoreLabels }),
      { clock: systemClock, redactor: createRedactor() },
    );
    const before = performance.now();
    const [alert, query] = await Promise.all([sources.alert({ alertname: 'X' }, 'alertmanager'), sources.query('up')]);
    expect(['unreachable', 'absent']).toContain(alert.state);
    expect(query.ok).toBe(false);
    expect(performance.now() - before).toBeLessThan(3_500);
    listening.closeAllConnections();
    await new Promise((resolve) => void listening.close(resolve));
  });
});
