// The shipped strategies for Open WebUI at work, on a double that speaks its API: an alert comes in, and what users have
// is looked at from outside.
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { startEngine } from '../support/engine.ts';
import type { EngineUnderTest } from '../support/engine.ts';
import type { JsonServer } from '../support/json-server.ts';
import { startModelApi, startOpenWebUi, startRouter } from '../support/openwebui.ts';
import type { ModelApi, OpenWebUi } from '../support/openwebui.ts';
import { root } from '../support/servers.ts';
import { askFor, openInbox, storyOf } from '../support/story.ts';

let folder: string;
let webui: OpenWebUi;
let direct: ModelApi;
let router: JsonServer & { route: string };
let amends: EngineUnderTest;
const MODE = 'openwebui_unavailable';

const configFor = (): string => `
version: 1
rule_files: ["${root}rules/openwebui/*.json"]
runbook_files: ["${root}runbooks/openwebui/*.yaml"]
recovery: { mode: auto }
components:
  chat:
    kind: openwebui
    inventory:
      static:
        - target: main
          connect:
            url: "${webui.url}"
            username: "${webui.email}"
            password_file: "${folder}/password"
            token_file: "${folder}/token"
            primary_model: claude-max
            fallback_models: [deepseek-chat, gemini-pro, gpt-4-turbo]
            routing_url: "${router.url}/route"
            direct: { chat_url: "${direct.url}/v1/chat/completions", model: claude-direct, token_file: "${folder}/direct-key" }
    allow: { actions: ["http.*", "model.*", "degrade.*", "inbox.*"] }
allow: { hosts: ["${webui.host}", "${direct.host}", "${router.host}"], paths: ["${folder}"] }
degraded_modes:
  ${MODE}:
    available: [direct API calls, single model inference, basic conversation]
    unavailable: [multi-model consensus, dashboard access, model switching]
    impact: the API works with one model
`;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'amends-openwebui-'));
  [webui, direct, router] = await Promise.all([startOpenWebUi(), startModelApi(), startRouter()]);
  writeFileSync(join(folder, 'password'), `${webui.password}\n`);
  writeFileSync(join(folder, 'direct-key'), `${direct.key}\n`);
  const login = await fetch(`${webui.url}/api/v1/auths/signin`, {
    method: 'POST',
    body: JSON.stringify({ email: webui.email, password: webui.password }),
  });
  writeFileSync(join(folder, 'token'), ((await login.json()) as { token: string }).token);
  amends = await startEngine({ config: configFor(), files: {} });
});
afterEach(async () => {
  await amends.close();
  await Promise.all([webui.close(), direct.close(), router.close()]);
  rmSync(folder, { recursive: true, force: true });
});

const fire = (alertname: string, status: 'firing' | 'resolved' = 'firing'): Promise<void> =>
  amends.post([{ status, labels: { alertname, component: 'chat', target: 'main', severity: 'critical' } }]);
const token = (): string => readFileSync(join(folder, 'token'), 'utf8').trim();
/** As an application calls it. */
const asUser = async (path: string, body?: object): Promise<{ status: number; json: unknown }> => {
  const answer = await fetch(`${webui.url}${path}`, {
    headers: { authorization: `Bearer ${token()}` },
    ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
  });
  return { status: answer.status, json: await answer.json() };
};
const modes = async (): Promise<readonly string[]> => (await amends.store.degraded()).map(({ mode }) => mode);
/** Every byte that amends has written, the files of its store included. */
const everything = (at = join(amends.folder, 'data')): string =>
  readdirSync(at)
    .map((name) =>
      statSync(join(at, name)).isDirectory() ? everything(join(at, name)) : readFileSync(join(at, name), 'latin1'),
    )
    .join('\n');
const later = async (): Promise<void> => {
  amends.clock.advance(301_000);
  await amends.settle();
};

describe('a token that is refused', () => {
  it('R2 R11: is replaced by logging in again: no more 401, and the token is in no record', async () => {
    const old = token();
    webui.revoke();
    expect((await asUser('/api/models')).status).toBe(401);
    await fire('OpenWebUIAuthFailure');
    const { run, path } = await storyOf(amends);
    expect(run).toMatchObject({ strategy: 'token_refresh', outcome: 'resolved', cause: 'verified' });
    expect(path).toEqual(['before/health succeeded', 'before/refused failed', 'steps/login succeeded']);
    expect(token()).not.toBe(old);
    expect((await asUser('/api/models')).status).toBe(200);
    expect(statSync(join(folder, 'token')).mode & 0o777).toBe(0o600);
    expect(await modes()).toEqual([]);
    const record = everything();
    expect(record).toContain('token_refresh');
    for (const secret of [token(), webui.password, Buffer.from(token()).toString('base64')])
      expect(record).not.toContain(secret);
  });

  it('R11 R13 R17 R18: whose credentials are refused too: applications are told, and then led past it; the guide is with the human', async () => {
    webui.revoke();
    webui.password = 'somebody has changed it';
    await fire('OpenWebUIAuthFailure');
    const failed = await storyOf(amends, 'token_refresh');
    expect(failed.run).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
    expect(failed.error('steps/login')).toContain('The email or password provided is incorrect');
    expect(await modes()).toEqual([MODE]);
    await later();
    const { run } = await storyOf(amends, 'graceful_degradation');
    expect(run).toMatchObject({ outcome: 'resolved', cause: 'verified' });
    expect(router.route).toBe('direct');
    expect(await modes()).toEqual([MODE]);
    expect(await openInbox(amends)).toMatchObject([
      { kind: 'note', title: expect.stringContaining('requests go to claude-direct directly') },
    ]);
  });
});

describe('a model that is gone', () => {
  it('R2 R12 R18: gives way to the first of the declared order that answers, with a notice; its return is followed', async () => {
    webui.models = ['gpt-4-turbo', 'gemini-pro'];
    await fire('OpenWebUIModelUnavailable');
    const { run, outputs } = await storyOf(amends);
    expect(run).toMatchObject({ strategy: 'model_failover', outcome: 'resolved', cause: 'verified' });
    expect(outputs('steps/switch')).toMatchObject({ primary_available: false, chosen: 'gemini-pro', switched: true });
    expect((await asUser('/api/v1/configs/models')).json).toMatchObject({ DEFAULT_MODELS: 'gemini-pro' });
    expect((await asUser('/api/chat/completions', { model: 'gemini-pro', messages: [] })).status).toBe(200);
    expect(await modes()).toEqual([MODE]);
    expect(await openInbox(amends)).toMatchObject([
      { kind: 'note', title: 'claude-max is gone; gemini-pro answers in its place' },
    ]);

    webui.models = ['claude-max', 'gemini-pro'];
    amends.clock.advance(61_000);
    await amends.settle();
    await askFor(amends, { component: 'chat', target: 'main', strategy: 'return_to_normal' });
    expect((await storyOf(amends)).run).toMatchObject({ strategy: 'return_to_normal', outcome: 'resolved' });
    expect((await asUser('/api/v1/configs/models')).json).toMatchObject({ DEFAULT_MODELS: 'claude-max' });
    expect([await modes(), router.route]).toEqual([[], 'openwebui']);
  });

  it('R12: whose fallback is listed but mute: the default is put back, and applications are told', async () => {
    webui.models = ['deepseek-chat'];
    webui.mute = ['deepseek-chat'];
    await fire('OpenWebUIModelUnavailable');
    const { run, error } = await storyOf(amends, 'model_failover');
    expect(run).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
    expect(error('steps/answers')).toContain('the provider does not answer');
    expect(webui.settings['DEFAULT_MODELS']).toBe('claude-max');
    expect(await modes()).toEqual([MODE]);
  });

  it('R12: with none of the order there, nothing is switched, and what there is stands in the record', async () => {
    webui.models = ['llama3'];
    await fire('OpenWebUIModelUnavailable');
    const { run, error } = await storyOf(amends, 'model_failover');
    expect(run).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
    expect(error('steps/switch')).toContain('there are: llama3');
    expect(webui.settings['DEFAULT_MODELS']).toBe('claude-max');
  });
});

describe('a service that is down or limits the rate', () => {
  it.each([
    ['OpenWebUIDown', 'reset' as const],
    ['OpenWebUIRateLimited', { status: 429 }],
  ])(
    'R2 R13 R18 %s: requests go to the direct API, applications read what works, and the way back is taken when it is well',
    async (alertname, reply) => {
      webui.override = () => reply;
      await fire(alertname);
      expect((await storyOf(amends)).run).toMatchObject({
        strategy: 'graceful_degradation',
        outcome: 'resolved',
        cause: 'verified',
      });
      expect(router.route).toBe('direct');
      expect(await modes()).toEqual([MODE]);
      webui.override = null;
      // Quiet through the whole of `settle`.
      await fire(alertname, 'resolved');
      amends.clock.advance(16 * 60_000);
      await amends.settle();
      await fire('OpenWebUIBack');
      expect((await storyOf(amends, 'return_to_normal')).run).toMatchObject({ outcome: 'resolved', cause: 'verified' });
      expect([router.route, await modes()]).toEqual(['openwebui', []]);
    },
  );

  it('R13 R17: with the direct API down as well nothing is switched, and a human has it with the evidence, once', async () => {
    webui.override = () => 'reset';
    direct.override = () => ({ status: 503 });
    await fire('OpenWebUIDown');
    for (let attempt = 0; attempt < 4; attempt += 1) {
      amends.clock.advance(3_600_000);
      await fire('OpenWebUIDown');
    }
    expect(router.route).toBe('openwebui');
    expect(await modes()).toEqual([MODE]);
    const inbox = await openInbox(amends);
    expect(inbox.filter(({ kind }) => kind === 'escalation')).toHaveLength(1);
    expect(inbox[0]?.text).toContain('What happened: Open WebUI is down');
    for (const { outcome } of await amends.list('runs')) expect(outcome).toBe('unresolved');
  });

  it('R13: a switch that does not take is put back', async () => {
    webui.override = () => 'reset';
    router.override = ({ method }) => (method === 'GET' ? { json: { route: 'openwebui' } } : null);
    await fire('OpenWebUIDown');
    expect((await storyOf(amends)).run).toMatchObject({ outcome: 'unresolved', cause: 'not_verified' });
    expect(router.route).toBe('openwebui');
  });
});

describe('R2 R19: what failed, named by another system, finds its strategy', () => {
  it.each([
    ['auth_failure', 'token_refresh', () => webui.revoke()],
    ['model_unavailable', 'model_failover', () => void (webui.models = ['gemini-pro'])],
    ['rate_limiting', 'graceful_degradation', () => void (webui.override = () => ({ status: 429 }))],
    ['service_unavailable', 'graceful_degradation', () => void (webui.override = () => 'reset')],
  ])('%s -> %s', async (failureType, strategy, spoil) => {
    spoil();
    await askFor(amends, { component: 'chat', target: 'main', failureType, context: { seen_by: 'health-check' } });
    expect((await storyOf(amends)).run).toMatchObject({ strategy, outcome: 'resolved' });
  });
});
