// An Open WebUI (a double of its documented API) that refuses its token, loses its primary model, or limits the rate.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startModelApi, startOpenWebUi, startRouter } from '../test/support/openwebui.ts';

const SOURCE = 'recovery-and-failover';

export const available = () => null;

export const prepare = async ({ folder }) => {
  const [webui, direct, router] = await Promise.all([startOpenWebUi(), startModelApi(), startRouter()]);
  const secret = (name, text) => {
    const file = join(folder, name);
    writeFileSync(file, text, { mode: 0o600 });
    return file;
  };
  const models = [...webui.models];
  const login = async () => {
    const response = await fetch(`${webui.url}/api/v1/auths/signin`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email: webui.email, password: webui.password }),
    });
    return (await response.json()).token;
  };
  const tokenFile = secret('token', await login());
  const connect = {
    url: webui.url,
    username: webui.email,
    password_file: secret('password', webui.password),
    token_file: tokenFile,
    primary_model: models[0],
    fallback_models: models.slice(1),
    routing_url: router.url,
    direct: {
      chat_url: `${direct.url}/v1/chat/completions`,
      model: direct.models[0],
      token_file: secret('direct', direct.key),
    },
  };
  const after = async () => {
    webui.models = [...models];
    webui.settings = { ...webui.settings, DEFAULT_MODELS: models[0] };
    router.route = 'openwebui';
    writeFileSync(tokenFile, await login());
  };
  const faults = [
    {
      name: 'token refused',
      strategy: 'token_refresh',
      alertname: 'OpenWebUIAuthFailure',
      figureMs: 2_000,
      break: () => webui.revoke(),
      healthy: () => webui.tokens.length > 1,
    },
    {
      name: 'primary model gone',
      strategy: 'model_failover',
      alertname: 'OpenWebUIModelUnavailable',
      figureMs: 5_000,
      break: () => void (webui.models = models.slice(1)),
      healthy: () => webui.settings.DEFAULT_MODELS === models[1],
    },
    {
      name: 'rate limited',
      strategy: 'graceful_degradation',
      alertname: 'OpenWebUIRateLimited',
      figureMs: 1_000,
      break: () => void (router.route = 'openwebui'),
      healthy: () => router.route === 'direct',
    },
  ].map((fault) => ({ source: SOURCE, after, ...fault }));
  const host = (url) => new URL(url).host;
  return {
    component: {
      inventory: { static: [{ target: 'main', connect }] },
      allow: { actions: ['http.*', 'model.*', 'degrade.*', 'inbox.*', 'wait.*'] },
    },
    allow: { hosts: [webui, direct, router].map(({ url }) => host(url)), paths: [folder] },
    degradedModes: {
      openwebui_unavailable: {
        available: ['direct API calls', 'single model inference', 'basic conversation'],
        unavailable: ['multi-model consensus', 'dashboard access', 'model switching'],
        impact: 'the page is not available, the API works',
      },
    },
    faults,
    close: () => Promise.all([webui, direct, router].map((server) => server.close())),
  };
};
