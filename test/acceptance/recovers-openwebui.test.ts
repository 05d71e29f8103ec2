// A started amends beside Open WebUI's API: what its users have again after an alert, seen from outside.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { JsonServer } from '../support/json-server.ts';
import { startModelApi, startOpenWebUi, startRouter } from '../support/openwebui.ts';
import type { ModelApi, OpenWebUi } from '../support/openwebui.ts';
import { startedHere } from '../support/servers.ts';
import { resolved, startShipped } from '../support/shipped.ts';
import type { Shipped } from '../support/shipped.ts';

const servers = startedHere();
let folder: string;
let webui: OpenWebUi;
let direct: ModelApi;
let router: JsonServer & { route: string };
let amends: Shipped;

beforeEach(async () => {
  folder = await servers.folder();
  [webui, direct, router] = await Promise.all([startOpenWebUi(), startModelApi(), startRouter()]);
  writeFileSync(join(folder, 'password'), `${webui.password}\n`);
  writeFileSync(join(folder, 'direct-key'), `${direct.key}\n`);
  const login = await fetch(`${webui.url}/api/v1/auths/signin`, {
    method: 'POST',
    body: JSON.stringify({ email: webui.email, password: webui.password }),
  });
  writeFileSync(join(folder, 'token'), ((await login.json()) as { token: string }).token);
  amends = await startShipped(servers, {
    kinds: ['openwebui'],
    components: {
      chat: {
        kind: 'openwebui',
        inventory: {
          static: [
            {
              target: 'main',
              connect: {
                url: webui.url,
                username: webui.email,
                password_file: join(folder, 'password'),
                token_file: join(folder, 'token'),
                primary_model: 'claude-max',
                fallback_models: ['deepseek-chat', 'gemini-pro', 'gpt-4-turbo'],
                routing_url: `${router.url}/route`,
                direct: {
                  chat_url: `${direct.url}/v1/chat/completions`,
                  model: 'claude-direct',
                  token_file: join(folder, 'direct-key'),
                },
              },
            },
          ],
        },
        allow: { actions: ['http.*', 'model.*', 'degrade.*', 'inbox.*'] },
      },
    },
    allow: { hosts: [webui.host, direct.host, router.host], paths: [folder] },
    more: {
      degraded_modes: {
        openwebui_unavailable: { available: ['direct calls'], unavailable: ['dashboard'], impact: 'one model' },
      },
    },
  });
});
afterEach(async () => {
  await amends.stop();
  await Promise.all([webui.close(), direct.close(), router.close()]);
});
afterAll(() => servers.stopAll());

const statusAsUser = async (): Promise<number> =>
  (
    await fetch(`${webui.url}/api/models`, {
      headers: { authorization: `Bearer ${readFileSync(join(folder, 'token'), 'utf8').trim()}` },
    })
  ).status;

describe('Open WebUI and a started amends', () => {
  it('R2 R11 a token that is refused is replaced after the webhook, and users are let in again', async () => {
    webui.revoke();
    expect(await statusAsUser()).toBe(401);
    await amends.fire('OpenWebUIAuthFailure', 'chat', 'main');
    expect(await amends.ended('token_refresh')).toMatchObject(resolved('token_refresh'));
    expect(await statusAsUser()).toBe(200);
  }, 60_000);

  it('R2 R12 a model that is gone is replaced by the next of its order, asked for by the failure type', async () => {
    webui.models = webui.models.filter((model) => model !== 'claude-max');
    const run = await amends.ask(
      0,
      'recover',
      '--component=chat',
      '--failure-type=model_unavailable',
      '--wait',
      '--reason=the model is gone',
    );
    expect(run).toMatchObject(resolved('model_failover'));
    const defaults = await fetch(`${webui.url}/api/v1/configs/models`, {
      headers: { authorization: `Bearer ${readFileSync(join(folder, 'token'), 'utf8').trim()}` },
    });
    expect(await defaults.json()).toMatchObject({ DEFAULT_MODELS: 'deepseek-chat' });
    expect(await amends.modes()).toEqual(['openwebui_unavailable']);
  }, 60_000);

  it('R2 R13 R18 while the rate is limited requests pass it by, and an application reads over HTTP what is left to it', async () => {
    webui.override = () => ({ status: 429, json: { detail: 'slow down' } });
    await amends.fire('OpenWebUIRateLimited', 'chat', 'main');
    expect(await amends.ended('graceful_degradation')).toMatchObject(resolved('graceful_degradation'));
    expect(router.route).toContain('direct');
    expect(await amends.modes()).toEqual(['openwebui_unavailable']);
    expect(await amends.metrics()).toContain('infra_degraded_mode_active{mode="openwebui_unavailable"} 1');
  }, 60_000);
});
