// Open WebUI and what stands beside it, as far as its documented API goes: it cannot be had here. POST
// /api/v1/auths/signin gives a token, every other call wants one, /api/models lists, /api/v1/configs/models names the
// default (and takes the whole settings object), /api/chat/completions answers as OpenAI's does.
import { randomBytes } from 'node:crypto';
import type { Asked, JsonServer, Reply } from './json-server.ts';
import { startJsonServer } from './json-server.ts';

export type OpenWebUi = JsonServer & {
  readonly email: string;
  /** May be changed, as when somebody changes it. */
  password: string;
  models: string[];
  /** Listed, but without an answer. */
  mute: string[];
  settings: Record<string, unknown>;
  /** Every token that was given out so far is refused from now on. */
  revoke(): void;
  readonly tokens: readonly string[];
};

const bearer = ({ headers }: Asked): string => /^Bearer (.+)$/.exec(headers.authorization ?? '')?.[1] ?? '';
const said = (status: number, detail: string): Reply => ({ status, json: { detail } });

const complete = (body: unknown, models: readonly string[], mute: readonly string[]): Reply => {
  const model = (body as { model?: unknown }).model;
  if (typeof model !== 'string' || !models.includes(model)) return said(404, 'Model not found');
  if (mute.includes(model)) return said(503, 'the provider does not answer');
  return {
    json: {
      id: 'chatcmpl-1',
      object: 'chat.completion',
      model,
      choices: [{ index: 0, message: { role: 'assistant', content: 'pong' }, finish_reason: 'stop' }],
    },
  };
};

export const startOpenWebUi = async (): Promise<OpenWebUi> => {
  const valid = new Set<string>();
  const tokens: string[] = [];
  const answer = (asked: Asked): Reply => {
    const { method, path, body } = asked;
    if (path === '/health') return { json: { status: true } };
    if (path === '/api/v1/auths/signin' && method === 'POST') {
      const { email, password } = body as { email?: unknown; password?: unknown };
      if (email !== server.email || password !== server.password)
        return said(400, 'The email or password provided is incorrect.');
      const token = `eyJhbGciOiJIUzI1NiJ9.${randomBytes(32).toString('base64url')}.${randomBytes(16).toString('base64url')}`;
      valid.add(token);
      tokens.push(token);
      return { json: { id: 'u1', email: server.email, name: 'amends', role: 'admin', token, token_type: 'Bearer' } };
    }
    if (!valid.has(bearer(asked))) return said(401, 'Your session has expired or the token is invalid.');
    if (path === '/api/v1/auths/') return { json: { id: 'u1', email: server.email, role: 'admin' } };
    if (path === '/api/models')
      return { json: { data: server.models.map((id) => ({ id, object: 'model', name: id, owned_by: 'openai' })) } };
    if (path === '/api/v1/configs/models') {
      if (method === 'POST') server.settings = body as Record<string, unknown>;
      return { json: server.settings };
    }
    if (path === '/api/chat/completions' && method === 'POST') return complete(body, server.models, server.mute);
    return said(404, 'Not Found');
  };
  const server: OpenWebUi = Object.assign(await startJsonServer(answer), {
    email: 'amends@example.org',
    password: 'correct horse battery staple',
    models: ['claude-max', 'deepseek-chat', 'gemini-pro', 'gpt-4-turbo'],
    mute: [] as string[],
    settings: { DEFAULT_MODELS: 'claude-max', MODEL_ORDER_LIST: [] },
    revoke: () => valid.clear(),
    tokens,
  });
  return server;
};

/** A model's own API, as OpenAI's documentation has it. */
export type ModelApi = JsonServer & { key: string; models: string[]; mute: string[] };

export const startModelApi = async (): Promise<ModelApi> => {
  const server: ModelApi = Object.assign(
    await startJsonServer((asked) => {
      if (bearer(asked) !== server.key)
        return { status: 401, json: { error: { message: 'Incorrect API key provided' } } };
      if (asked.path === '/v1/models')
        return { json: { object: 'list', data: server.models.map((id) => ({ id, object: 'model' })) } };
      if (asked.path === '/v1/chat/completions') return complete(asked.body, server.models, server.mute);
      return { status: 404, json: { error: { message: 'Unknown request URL' } } };
    }),
    { key: 'sk-direct-0123456789abcdef', models: ['claude-direct'], mute: [] as string[] },
  );
  return server;
};

/** An application's own switch: GET says where requests go, PUT sets it. */
export const startRouter = async (): Promise<JsonServer & { route: string }> => {
  const server: JsonServer & { route: string } = Object.assign(
    await startJsonServer(({ method, body }) => {
      if (method === 'PUT') server.route = String((body as { route?: unknown }).route);
      return { json: { route: server.route } };
    }),
    { route: 'openwebui' },
  );
  return server;
};
