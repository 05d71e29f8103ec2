// Signing in to the console, what a session may do, and what the files of the page are sent with.
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { hashSync } from 'bcryptjs';
import { systemClock } from '../../../src/base/clock.ts';
import { sha256 } from '../../../src/base/json.ts';
import type { WebConfig } from '../../../src/config-web.ts';
import { createSessions } from '../../../src/http/sessions.ts';
import { JSON_TYPE, TOKENS, WEB, start } from './given.ts';
import type { Answered, Given } from './given.ts';

const quiet = { debug() {}, info() {}, warn() {}, error() {}, child: () => quiet };
const withUser: WebConfig = {
  ...WEB,
  basicAuthUsers: new Map([['ada', { bcrypt: hashSync('correct horse', 4), role: 'approver', source: 'eu' }]]),
};

let given: Given;
beforeEach(async () => {
  given = await start(withUser);
});
afterEach(() => given.close());

const own = (): Record<string, string> => ({
  ...JSON_TYPE,
  host: `127.0.0.1:${given.port}`,
  origin: `http://127.0.0.1:${given.port}`,
  'sec-fetch-site': 'same-origin',
  'sec-fetch-dest': 'empty',
});
const login = (body: object, headers: Record<string, string> = own()): Promise<Answered> =>
  given.ask('/console/login', { method: 'POST', headers, body: JSON.stringify(body) });
const cookieOf = (answered: Answered): string => (answered.headers['set-cookie'] ?? [''])[0]?.split(';')[0] ?? '';
const signedIn = async (body: object = { token: TOKENS.approver }): Promise<{ cookie: string; csrf: string }> => {
  const cookie = cookieOf(await login(body));
  const { json } = await given.ask('/api/v1/session', { headers: { cookie } });
  return { cookie, csrf: String(json['csrf']) };
};
const halt = (headers: Record<string, string>): Promise<Answered> =>
  given.ask('/api/v1/halt', { method: 'POST', headers: { ...JSON_TYPE, ...headers }, body: '{"reason":"x"}' });
const isHalted = async (): Promise<boolean> => (await given.store.controls()).halt.on;

describe('signing in', () => {
  it('C13 gives a cookie that no script reads, no other site sends and no plain connection carries', async () => {
    const answered = await login({ token: TOKENS.approver });
    expect(answered.status).toBe(200);
    expect(answered.headers['set-cookie']).toEqual([
      expect.stringMatching(/^__Host-amends=[\w-]{43}; Path=\/; Max-Age=43200; Secure; HttpOnly; SameSite=Strict$/),
    ]);
    expect(answered.text).not.toContain(TOKENS.approver);
    const { json } = await given.ask('/api/v1/session', { headers: { cookie: cookieOf(answered) } });
    expect(json).toMatchObject({
      name: 'approver',
      role: 'approver',
      local: false,
      csrf: expect.stringMatching(/^\w{64}$/),
    });
  });

  it('takes a user and a password as well', async () => {
    const { cookie } = await signedIn({ user: 'ada', password: 'correct horse' });
    const { json } = await given.ask('/api/v1/session', { headers: { cookie } });
    expect(json).toMatchObject({ name: 'ada', role: 'approver' });
  });

  it.each([
    { token: 'nobody-has-this-one' },
    { user: 'ada', password: 'wrong' },
    { user: 'bob', password: 'correct horse' },
  ])('C2 %j is not known', async (body) => {
    const answered = await login(body);
    expect(answered.status).toBe(401);
    expect(answered.headers['set-cookie']).toBeUndefined();
  });

  it.each([
    ['another origin', { origin: 'https://evil.example' }],
    ['a null origin', { origin: 'null' }],
    ['a cross-site page', { 'sec-fetch-site': 'cross-site' }],
    ['the address line', { 'sec-fetch-site': 'none' }],
    ['nobody knows what', { origin: '', 'sec-fetch-site': '' }],
  ])('C13 nobody is signed in from %s', async (_, headers) => {
    const sent = { ...own(), ...headers };
    const kept = Object.fromEntries(Object.entries(sent).filter(([, value]) => value !== ''));
    expect((await login({ token: TOKENS.admin }, kept)).status).toBe(403);
  });

  it('says what to mend where the page came unencrypted from elsewhere', async () => {
    const answered = await login(
      { token: TOKENS.admin },
      { ...own(), host: 'amends.example.com', origin: 'http://amends.example.com' },
    );
    expect(answered).toMatchObject({ status: 422, json: { mend: expect.stringContaining('tls_server_config') } });
  });

  it('lets in through a proxy that ends TLS, whether it passes on its name or not', async () => {
    const proxied = await start(withUser, { externalUrl: 'https://amends.example.com' });
    try {
      for (const host of ['amends.example.com', `127.0.0.1:${proxied.port}`, 'backend:9193']) {
        const answered = await proxied.ask('/console/login', {
          method: 'POST',
          headers: { ...own(), host, origin: 'https://amends.example.com' },
          body: JSON.stringify({ token: TOKENS.viewer }),
        });
        expect([host, answered.status]).toEqual([host, 200]);
      }
    } finally {
      await proxied.close();
    }
  });
});

describe('a session', () => {
  it('C13 changes something only from a page of ours, with the token that only it can read', async () => {
    const { cookie, csrf } = await signedIn();
    const right = { ...own(), cookie, 'x-amends-csrf': csrf };
    const without = (name: string): Record<string, string> =>
      Object.fromEntries(Object.entries(right).filter(([key]) => key !== name));
    const refused = {
      'no token': without('x-amends-csrf'),
      'a wrong token': { ...right, 'x-amends-csrf': '0'.repeat(64) },
      'another origin': { ...right, origin: 'https://evil.example' },
      'a null origin': { ...right, origin: 'null' },
      'another port': { ...right, origin: 'http://127.0.0.1:1' },
      'cross-site': { ...right, 'sec-fetch-site': 'cross-site' },
      'same-site': { ...right, 'sec-fetch-site': 'same-site' },
      'the address line': { ...right, 'sec-fetch-site': 'none' },
      'neither origin nor site': Object.fromEntries(
        Object.entries(right).filter(([key]) => !['origin', 'sec-fetch-site'].includes(key)),
      ),
    };
    for (const [name, headers] of Object.entries(refused))
      expect([name, (await halt(headers)).status]).toEqual([name, 403]);
    expect(await isHalted()).toBe(false);
    expect((await halt(right)).status).toBe(200);
    expect(await isHalted()).toBe(true);
  });

  it('C13 may do what its role may, and reads without a token', async () => {
    const { cookie, csrf } = await signedIn({ token: TOKENS.viewer });
    expect((await given.ask('/api/v1/runs', { headers: { cookie } })).status).toBe(200);
    expect((await halt({ ...own(), cookie, 'x-amends-csrf': csrf })).status).toBe(403);
    expect(await isHalted()).toBe(false);
  });

  it('C13 is no credential for the webhook, and counts for nothing beside one that is brought', async () => {
    const { cookie } = await signedIn({ token: TOKENS.admin });
    expect(
      (await given.ask('/webhook/alertmanager', { method: 'POST', headers: { ...own(), cookie }, body: '{}' })).status,
    ).toBe(401);
    const wrong = { cookie, authorization: 'Bearer nobody-has-this-one' };
    expect((await given.ask('/api/v1/runs', { headers: wrong })).status).toBe(401);
  });

  it('ends with its credential, and takes on the role that the credential has now', async () => {
    const { cookie } = await signedIn({ token: TOKENS.viewer });
    const role = async (): Promise<unknown> =>
      (await given.ask('/api/v1/session', { headers: { cookie } })).json['role'];
    given.web.value = { ...WEB, tokens: WEB.tokens.map((token) => ({ ...token, role: 'operator' })) };
    expect(await role()).toBe('operator');
    given.web.value = { ...WEB, tokens: WEB.tokens.filter(({ name }) => name !== 'viewer') };
    expect((await given.ask('/api/v1/session', { headers: { cookie } })).status).toBe(401);
    given.web.value = {
      ...WEB,
      tokens: WEB.tokens.map((token) => ({ ...token, sha256: sha256(`new ${token.name}`) })),
    };
    expect((await given.ask('/api/v1/session', { headers: { cookie } })).status).toBe(401);
  });

  it('ends by signing out', async () => {
    const { cookie, csrf } = await signedIn();
    const headers = { ...own(), cookie, 'x-amends-csrf': csrf };
    const answered = await given.ask('/console/logout', { method: 'POST', headers, body: '{}' });
    expect(answered.headers['set-cookie']).toEqual([expect.stringMatching(/^__Host-amends=; .*Max-Age=0;/)]);
    expect((await given.ask('/api/v1/session', { headers: { cookie } })).status).toBe(401);
  });

  it('is not asked for a password by the browser itself where a script asks', async () => {
    const script = await given.ask('/api/v1/runs', { headers: { 'sec-fetch-dest': 'empty' } });
    expect([script.status, script.headers['www-authenticate']]).toEqual([401, 'Bearer realm="amends"']);
    const person = await given.ask('/api/v1/runs');
    expect(person.headers['www-authenticate']).toContain('Basic');
  });
});

describe('sessions in their file', () => {
  const request = (cookie: string): { headersDistinct: NodeJS.Dict<string[]> } => ({
    headersDistinct: { cookie: [cookie] },
  });
  const open = (now: () => number, file: string, web: WebConfig = WEB) =>
    createSessions({ web: () => web, clock: { now }, log: quiet, file });

  it('last over a restart for twelve hours, and nothing in it lets anybody in', async () => {
    const file = join(given.folder, 'sessions.json');
    let now = systemClock.now();
    const cookie = (await open(() => now, file).begin({ type: 'token', token: TOKENS.admin }))?.split(';')[0] ?? '';
    const [, id = ''] = cookie.split('=');
    const text = readFileSync(file, 'utf8');
    expect([text.includes(id), text.includes(TOKENS.admin), text.includes(sha256(TOKENS.admin))]).toEqual([
      false,
      false,
      false,
    ]);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(open(() => now, file).of(request(cookie))).toMatchObject({ principal: { name: 'admin' } });
    now += 12 * 3_600_000;
    expect(open(() => now, file).of(request(cookie))).toBeNull();
  });

  it.each(['not JSON', '{}', '[{"hash":1}]'])(
    'that hold %s sign nobody in, and let everybody sign in',
    async (text) => {
      const file = join(given.folder, 'sessions.json');
      writeFileSync(file, text);
      const sessions = open(() => systemClock.now(), file);
      expect(sessions.of(request(`__Host-amends=${'a'.repeat(43)}`))).toBeNull();
      expect(await sessions.begin({ type: 'token', token: TOKENS.admin })).toContain('__Host-amends=');
    },
  );

  it('work on where they cannot be written', async () => {
    const sessions = open(() => systemClock.now(), join(given.folder, 'amends.yaml', 'sessions.json'));
    const cookie = (await sessions.begin({ type: 'token', token: TOKENS.admin }))?.split(';')[0] ?? '';
    expect(sessions.of(request(cookie))).not.toBeNull();
  });

  it('C13 two cookies of the name are none', async () => {
    const sessions = open(() => systemClock.now(), join(given.folder, 'sessions.json'));
    const cookie = (await sessions.begin({ type: 'token', token: TOKENS.admin }))?.split(';')[0] ?? '';
    expect(sessions.of(request(`${cookie}; __Host-amends=${'a'.repeat(43)}`))).toBeNull();
  });
});

describe('the page', () => {
  it('C10 is sent with a policy that lets in nothing from elsewhere, to anyone, and has nothing of ours in it', async () => {
    const { headers, text, status } = await given.ask('/console/runs/any');
    expect(status).toBe(200);
    expect(headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'content-security-policy':
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; " +
        "frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'",
    });
    expect((await given.ask('/console')).text).toBe(text);
    expect(text).toMatch(/<noscript>[^]*amends status[^]*<\/noscript>/);
    expect(text.replaceAll(/(?:href|src)="\/console\/[\w.]+"/g, '')).not.toMatch(/(?:href|src)="(?!#main)/);
  });

  it('is small: all of it below 60 kB, and a third of that on its way', async () => {
    let [plain, packed] = [0, 0];
    for (const path of ['/console', '/console/console.js', '/console/console.css']) {
      plain += Number((await given.ask(path)).headers['content-length']);
      const answered = await given.ask(path, { headers: { 'accept-encoding': 'gzip' } });
      expect(answered.headers['content-encoding']).toBe('gzip');
      packed += Number(answered.headers['content-length']);
    }
    expect(plain).toBeLessThan(60_000);
    expect(packed).toBeLessThan(20_000);
  });

  it('is not sent again while it is the same', async () => {
    const { headers } = await given.ask('/console/console.js');
    expect(headers['cache-control']).toBe('no-cache');
    const again = await given.ask('/console/console.js', { headers: { 'if-none-match': headers.etag } });
    expect([again.status, again.text]).toEqual([304, '']);
  });

  it('is where the bare address leads', async () => {
    expect(await given.ask('/')).toMatchObject({ status: 303, headers: { location: '/console' } });
  });
});
