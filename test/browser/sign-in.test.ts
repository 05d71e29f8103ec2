// Signing in with a real browser, and what pages of other origins can do to somebody who is signed in, or who sits at the
// machine of an amends without credentials: nothing.
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect } from '@jest/globals';
import { hashSync } from 'bcryptjs';
import type { Page } from 'playwright-core';
import { createHands, itOnChromium } from '../support/browser.ts';
import type { Held } from '../support/browser.ts';
import { startedHere, until } from '../support/servers.ts';
import { openWorld } from './world.ts';
import type { World } from './world.ts';

const hands = createHands();
const servers = startedHere();
const TOKENS = { viewer: 'v'.repeat(40), approver: 'a'.repeat(40), sender: 's'.repeat(40) };
let world: World | null = null;
let held: Held;
let guarded: string;

beforeEach(async () => {
  held = await hands.take();
});
afterEach(async () => {
  await held.context.close();
  await world?.close();
  world = null;
  await servers.stopAll();
});
afterAll(() => hands.close());

const openGuarded = async (args: readonly string[] = []): Promise<World> => {
  const folder = await servers.folder();
  guarded = folder;
  for (const [name, token] of Object.entries(TOKENS)) writeFileSync(join(folder, name), token, { mode: 0o600 });
  const web = join(folder, 'web.yaml');
  writeFileSync(
    web,
    JSON.stringify({
      bearer_tokens: [
        { name: 'viewer', role: 'viewer', file: join(folder, 'viewer') },
        { name: 'oncall', role: 'approver', file: join(folder, 'approver') },
        { name: 'sender', source: 'alertmanager', file: join(folder, 'sender') },
      ],
      basic_auth_users: { ada: hashSync('correct horse', 4) },
      roles: { ada: 'operator' },
    }),
  );
  world = await openWorld(servers, { args: [`--web.config.file=${web}`, ...args], token: TOKENS.approver });
  return world;
};
const sees = (text: string | RegExp, page: Page = held.page): Promise<void> =>
  page.getByText(text).first().waitFor({ timeout: 30_000 });
const signIn = async ({ url }: Pick<World, 'url'>, token: string, path = '/console'): Promise<void> => {
  await held.page.goto(`${url}${path}`);
  await held.page.getByLabel('Token').fill(token);
  await held.page.getByRole('button', { name: 'Sign in' }).click();
};

describe('signing in', () => {
  itOnChromium('leads to the page that was asked for, and keeps nothing that a script could read', async () => {
    const { url } = await openGuarded();
    await held.page.goto(`${url}/console/components/shop`);
    await held.page.getByLabel('Token').fill('not-this-one-at-all');
    await held.page.getByRole('button', { name: 'Sign in' }).click();
    await sees('That is not known here.');
    await held.page.getByLabel('Token').fill(TOKENS.approver);
    await held.page.getByRole('button', { name: 'Sign in' }).click();
    await sees('Signed in as oncall, approver.');
    expect(held.page.url()).toBe(`${url}/console/components/shop`);
    await held.page.getByRole('heading', { name: 'shop', level: 1 }).waitFor();
    expect(
      await held.page.evaluate('document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)'),
    ).toBe('{}{}');
    expect(await held.context.cookies()).toMatchObject([
      { name: '__Host-amends', httpOnly: true, secure: true, sameSite: 'Strict', path: '/' },
    ]);
    expect(held.complaints).toEqual([]);
  });

  itOnChromium('lasts over a restart of amends, and ends by signing out', async () => {
    const opened = await openGuarded();
    await signIn(opened, TOKENS.approver);
    await sees('Nothing waits for you');
    await opened.restart();
    await held.page.reload();
    await sees('Nothing waits for you');
    await held.page.getByRole('button', { name: 'Sign out' }).click();
    await held.page.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(await held.context.cookies()).toEqual([]);
    await held.page.goto(`${opened.url}/console/runs`);
    await held.page.getByRole('heading', { name: 'Sign in' }).waitFor();
  });

  itOnChromium('shows a viewer everything and lets them do nothing, and says what it would take', async () => {
    const opened = await openGuarded();
    await opened.fire('OrdersStale', 'orders', 'eu');
    await opened.run('rebuild', 'awaiting_approval');
    await signIn(opened, TOKENS.viewer);
    await sees('1 thing waits for you');
    await sees('Approve needs the role approver.');
    await sees('Halt needs the role operator.');
    expect(await held.page.getByRole('button', { name: /^(Approve|Deny|Halt)/ }).count()).toBe(0);
  });

  itOnChromium('lets an approver approve, and takes down under which credential', async () => {
    const opened = await openGuarded();
    opened.letMend();
    await opened.fire('OrdersStale', 'orders', 'eu');
    await opened.run('rebuild', 'awaiting_approval');
    await signIn(opened, TOKENS.approver);
    await held.page.getByRole('button', { name: 'Approve: orders eu' }).click();
    await held.page.getByLabel(/recorded as oncall/).fill('ann');
    await held.page.getByRole('dialog').getByRole('button', { name: 'Approve' }).click();
    await opened.run('rebuild', 'done');
    expect((await opened.list('/api/v1/audit?action=run.approve'))[0]).toMatchObject({ actor: 'oncall/ann' });
  });

  itOnChromium('by user and password goes the same way, and a reload of web.yaml without it ends it', async () => {
    const { url, server } = await openGuarded();
    await held.page.goto(`${url}/console`);
    await held.page.getByLabel('User').fill('ada');
    await held.page.getByLabel('Password').fill('correct horse');
    await held.page.getByRole('button', { name: 'Sign in' }).click();
    await sees('Signed in as ada, operator.');
    const web = join(guarded, 'web.yaml');
    const { bearer_tokens } = JSON.parse(readFileSync(web, 'utf8')) as { bearer_tokens: unknown };
    writeFileSync(web, JSON.stringify({ bearer_tokens }));
    process.kill(server.pid, 'SIGHUP');
    await until('the session is over', async () => {
      await held.page.reload();
      await held.page.locator('main h1').waitFor();
      return (await held.page.locator('main h1').innerText()) === 'Sign in';
    });
  });

  itOnChromium('over plain HTTP from elsewhere takes no password, and says how to mend it', async () => {
    const { url } = await openGuarded();
    await held.page.goto(`http://amends.example:${new URL(url).port}/console`);
    await sees('This connection is not encrypted');
    await sees(/tls_server_config in web\.yaml/);
    expect(await held.page.locator('input').count()).toBe(0);
  });

  itOnChromium('is not needed for the page of a link in a chat when one is signed in already', async () => {
    const opened = await openGuarded();
    await signIn(opened, TOKENS.approver);
    await sees('Nothing waits for you');
    const chat = await strangerAt(`<a href="${opened.url}/console/rules">look</a>`);
    await held.page.goto(`http://chat.example:${chat.port}/`);
    await held.page.getByRole('link', { name: 'look' }).click();
    await held.page.getByRole('heading', { name: 'Rules', level: 1 }).waitFor();
    await chat.close();
  });
});

// ---- pages of others -----------------------------------------------------------------------------------------------

type Stranger = { readonly port: number; close(): Promise<void> };
const strangerAt = async (html: string): Promise<Stranger> => {
  const server: Server = createServer((_, response) => {
    response.writeHead(200, { 'Content-Type': 'text/html' });
    response.end(`<!doctype html><body>${html}`);
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
};

/** Everything that a page can send without asking, and what it has to ask for. Each answer: `opaque`, `failed`, or a status. */
const attack = (target: string, run: string): string => `(async () => {
  const target = ${JSON.stringify(target)};
  const results = [];
  const body = '{"on":true,"reason":"forged","by":"mallory","comment":"forged"}';
  const sent = async (path, init) => {
    try {
      const response = await fetch(target + path, { credentials: 'include', ...init });
      results.push(response.type === 'opaque' ? 'opaque' : response.status);
    } catch { results.push('failed'); }
  };
  for (const path of ['/api/v1/halt', '/api/v1/runs/${run}/approve', '/api/v1/runs/${run}/deny', '/api/v1/components/shop/disable', '/-/reload', '/webhook/alertmanager', '/console/logout']) {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', undefined])
      await sent(path, { method: 'POST', mode: 'no-cors', body: type === undefined ? undefined : body, headers: type === undefined ? {} : { 'content-type': type } });
    await sent(path, { method: 'POST', body, headers: { 'content-type': 'application/json' } });
    await sent(path, { method: 'POST', body, headers: { 'content-type': 'text/plain', 'x-http-method-override': 'POST' } });
    await sent(path, { method: 'GET', mode: 'no-cors' });
    navigator.sendBeacon(target + path, new Blob([body], { type: 'text/plain' }));
    new Image().src = target + path + '?on=true&_method=POST';
    for (const enctype of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data']) {
      for (const sandbox of [null, 'allow-forms allow-scripts']) {
        const frame = document.createElement('iframe');
        if (sandbox !== null) frame.setAttribute('sandbox', sandbox);
        frame.srcdoc = '<form method=post action="' + target + path + '" enctype="' + enctype + '"><input name=\\'{"on":true,"reason":"\\' value=\\'"}\\'></form><script>document.forms[0].submit()</' + 'script>';
        document.body.append(frame);
      }
    }
  }
  await sent('/api/v1/halt', { method: 'DELETE' });
  await sent('/api/v1/runs', {});
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  return results;
})()`;

describe('C13 a page of another origin', () => {
  const untouched = async (opened: World, before: unknown): Promise<void> => {
    expect(await standingOf(opened)).toEqual(before);
  };
  const standingOf = async (opened: World): Promise<unknown> => ({
    audit: (await opened.list('/api/v1/audit?limit=500')).length,
    halted: (await opened.call('/api/v1/halt')).body['on'],
    waiting: (await opened.list('/api/v1/runs?state=awaiting_approval')).map(({ id }) => id),
    alerts: (await opened.list('/api/v1/alerts')).length,
  });
  const waitingRun = async (opened: World): Promise<string> => {
    await opened.fire('OrdersStale', 'orders', 'eu');
    return String((await opened.run('rebuild', 'awaiting_approval'))['id']);
  };

  itOnChromium(
    'C13 changes nothing at an amends without credentials, by no form, fetch, beacon, frame or picture',
    async () => {
      world = await openWorld(servers);
      const run = await waitingRun(world);
      const before = await standingOf(world);
      const stranger = await strangerAt('hello');
      for (const host of ['evil.example', '127.0.0.1', 'localhost']) {
        await held.page.goto(`http://${host}:${stranger.port}/`);
        const results = await held.page.evaluate<unknown[]>(attack(world.url, run));
        // Nothing could be read, and nothing was done.
        expect(new Set(results)).toEqual(new Set(['opaque', 'failed']));
        await untouched(world, before);
      }
      await stranger.close();
    },
  );

  itOnChromium(
    'C13 changes nothing with the session of somebody who is signed in, not even from another port of the same machine',
    async () => {
      const opened = await openGuarded();
      const run = await waitingRun(opened);
      await signIn(opened, TOKENS.approver);
      await sees('1 thing waits for you');
      const before = await standingOf(opened);
      const stranger = await strangerAt('hello');
      for (const host of ['127.0.0.1', 'evil.example']) {
        await held.page.goto(`http://${host}:${stranger.port}/`);
        const results = await held.page.evaluate<unknown[]>(attack(opened.url, run));
        expect(new Set(results)).toEqual(new Set(['opaque', 'failed']));
        await untouched(opened, before);
      }
      await held.page.goto(`${opened.url}/console`);
      await sees('Signed in as oncall, approver.');
      await stranger.close();
    },
  );

  itOnChromium('C13 cannot take the name of this machine, and cannot put the page into a frame', async () => {
    world = await openWorld(servers);
    const rebound = `http://evil.example:${new URL(world.url).port}`;
    await held.page.goto(`${rebound}/console`);
    await sees(/Without credentials amends answers to 127\.0\.0\.1 and localhost alone/);
    const statuses = await held.page.evaluate(
      `Promise.all([fetch('/api/v1/runs'), fetch('/api/v1/halt', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"reason":"x"}' })]).then((answers) => answers.map(({ status }) => status))`,
    );
    expect(statuses).toEqual([403, 403]);
    expect((await world.call('/api/v1/halt')).body).toMatchObject({ on: false });
    const stranger = await strangerAt(`<iframe src="${world.url}/console"></iframe>`);
    await held.page.goto(`http://evil.example:${stranger.port}/`);
    const framed = await until('the frame has loaded something', () => held.page.frames()[1]);
    await until(
      'it is not the page',
      async () => (await framed.evaluate('document.getElementById("top") === null')) === true,
    );
    await stranger.close();
  });
});
