// A new token is kept only when it works, and nobody sees it.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import refresh from '../../../src/actions/http/token-refresh.ts';
import { createContexts, failureOf, perform } from '../../support/action-context.ts';
import type { TestContext } from '../../support/action-context.ts';
import { startOpenWebUi } from '../../support/openwebui.ts';
import type { OpenWebUi } from '../../support/openwebui.ts';

const contexts = createContexts();
let webui: OpenWebUi;
let folder: string;
let made = 0;
beforeAll(async () => {
  webui = await startOpenWebUi();
});
beforeEach(() => {
  made += 1;
  folder = join(contexts.folder, `case-${made}`);
  mkdirSync(folder);
  writeFileSync(join(folder, 'password'), `${webui.password}\n`, { mode: 0o600 });
  writeFileSync(join(folder, 'token'), 'the-old-token-0123456789\n', { mode: 0o644 });
  webui.override = null;
});
afterAll(async () => {
  await webui.close();
  await contexts.stop();
});

const make = (timeout = 5_000): TestContext => contexts.make({ allow: { hosts: [webui.host] }, timeout });
const input = (more: Record<string, string> = {}) => ({
  login_url: `${webui.url}/api/v1/auths/signin`,
  username: webui.email,
  password_file: join(folder, 'password'),
  token_file: join(folder, 'token'),
  verify_url: `${webui.url}/api/v1/auths/`,
  ...more,
});
const token = (): string => readFileSync(join(folder, 'token'), 'utf8').trim();

describe('http.token-refresh', () => {
  it('R11 C12: the new token takes the place of the old one in a file of mode 0600, is a secret from then on, and stands in no output', async () => {
    const context = make();
    const outputs = await perform(refresh, input(), context);
    expect(outputs).toMatchObject({ token_file: join(folder, 'token'), verified_status: 200 });
    expect(token()).toBe(webui.tokens.at(-1));
    expect(statSync(join(folder, 'token')).mode & 0o777).toBe(0o600);
    expect(context.secrets).toEqual([webui.password, token(), token()]);
    expect(JSON.stringify(outputs)).not.toContain(token());
    expect(readdirSync(folder).toSorted()).toEqual(['password', 'token']);
  });

  it('R11: where no token was yet, it makes the file', async () => {
    await perform(refresh, input({ token_file: join(folder, 'fresh') }), make());
    expect(readFileSync(join(folder, 'fresh'), 'utf8').trim()).toBe(webui.tokens.at(-1));
    expect(statSync(join(folder, 'fresh')).mode & 0o777).toBe(0o600);
  });

  it('R11: credentials that are refused leave the old token, and are said to be refused, without being shown', async () => {
    writeFileSync(join(folder, 'password'), 'wrong horse battery\n');
    const error = await failureOf(perform(refresh, input(), make()));
    expect(error).toMatchObject({ kind: 'permanent' });
    expect(error.message).toContain(
      '/api/v1/auths/signin was answered 400: The email or password provided is incorrect.',
    );
    expect(error.message).not.toContain('wrong horse');
    expect(token()).toBe('the-old-token-0123456789');
  });

  it('R11: a token that the service does not take itself is not kept', async () => {
    webui.override = ({ path }) => (path === '/api/v1/auths/' ? { status: 401, json: { detail: 'invalid' } } : null);
    const error = await failureOf(perform(refresh, input(), make()));
    expect(error).toMatchObject({ kind: 'permanent' });
    expect(error.message).toContain('the new token was not kept: GET');
    for (const given of webui.tokens) expect(error.message).not.toContain(given);
    expect(token()).toBe('the-old-token-0123456789');
    expect(readdirSync(folder).toSorted()).toEqual(['password', 'token']);
  });

  it.each([
    ['no token at all', { json: { ok: true } }],
    ['a token that is empty', { json: { token: '' } }],
    ['a token with a line break', { json: { token: 'abcdefghijkl\r\nX-Evil: 1' } }],
    ['no JSON', { text: '<html>log in</html>' }],
  ])('R11: an answer with %s is permanent, and says where it looked', async (_what, reply) => {
    webui.override = ({ path }) => (path.endsWith('/signin') ? reply : null);
    const error = await failureOf(perform(refresh, input(), make()));
    expect(error).toMatchObject({ kind: 'permanent' });
    expect(error.message).toContain('there is no token at /token of its answer');
    expect(token()).toBe('the-old-token-0123456789');
  });

  it.each([
    ['hangs', 'hang' as const, 'indeterminate'],
    ['cuts the connection', 'reset' as const, 'indeterminate'],
    ['is down', { status: 503 }, 'retryable'],
    ['limits the rate', { status: 429 }, 'retryable'],
  ])('F54: a service that %s leaves the old token, within the time limit', async (_what, reply, kind) => {
    webui.override = () => reply;
    const context = make(500);
    const start = performance.now();
    expect(await failureOf(perform(refresh, input(), context))).toMatchObject({ kind });
    expect(performance.now() - start).toBeLessThan(1_500);
    expect(token()).toBe('the-old-token-0123456789');
  });

  it('C8: it writes nowhere but below allow.paths, over no link, and not over the password', async () => {
    const count = webui.asked.length;
    symlinkSync('/etc/hostname', join(folder, 'link'));
    for (const file of ['/etc/amends-token', join(folder, 'link')])
      expect(await failureOf(perform(refresh, input({ token_file: file }), make()))).toMatchObject({
        kind: 'permanent',
      });
    const same = await failureOf(perform(refresh, input({ token_file: join(folder, 'password') }), make()));
    expect(same.message).toContain('over the password');
    expect(webui.asked).toHaveLength(count);
    expect(existsSync('/etc/amends-token')).toBe(false);
  });

  it('F31: a host that nobody declared and a password file that is empty are refused before anything is sent', async () => {
    const count = webui.asked.length;
    const stranger = contexts.make({ allow: { hosts: ['127.0.0.1:1'] } });
    expect((await failureOf(perform(refresh, input(), stranger))).message).toContain('is not allowed');
    writeFileSync(join(folder, 'password'), '\n');
    chmodSync(join(folder, 'password'), 0o600);
    expect((await failureOf(perform(refresh, input(), make()))).message).toContain('is empty');
    expect(webui.asked).toHaveLength(count);
  });
});
