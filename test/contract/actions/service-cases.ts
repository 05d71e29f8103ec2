// Samples of input for the actions that speak to services, far hosts and git: on one server that answers as each of them
// expects, an SSH server in this process, and a real repository. What they do to the real things is in their own tests.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import { fingerprintOf } from '../../../src/actions/ssh/host-keys.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import { startJsonServer } from '../../support/json-server.ts';
import type { JsonServer, Reply } from '../../support/json-server.ts';
import { makeRepository } from '../../support/repository.ts';

type Case = {
  readonly good: () => Promise<JsonObject> | JsonObject;
  readonly long?: () => Promise<JsonObject> | JsonObject;
};
export type ServiceCases = { readonly cases: Readonly<Record<string, Case>>; stop(): Promise<void> };

export const GIT = '/usr/bin/git';
const SAMPLE = { metric: {}, value: [0, '1'] };
const ALERT = { labels: { alertname: 'Down' }, status: { state: 'active' } };
const SILENCE = '01234567-89ab-cdef-0123-456789abcdef';

/** As a server would that keeps state, but each question is answered as after the change. */
const answer =
  (state: { model: string; paused: boolean; breaker: string }) =>
  (asked: { method: string; path: string }): Reply => {
    const { method, path } = asked;
    if (path.startsWith('/hang') || (path.startsWith('/slow') && method !== 'GET')) return 'hang';
    switch (path.replace('/slow', '')) {
      case '/login':
        return { json: { token: 'a-token-that-is-long-enough' } };
      case '/metrics': {
        const { breaker } = state;
        return { text: `circuit_breaker_state{name="generator",state="${breaker}"} 1\n` };
      }
      case '/reset':
        state.breaker = 'closed';
        return { json: {} };
      case '/models':
        return { json: { data: [{ id: 'second' }] } };
      case '/settings':
        if (method === 'POST') state.model = 'second';
        return { json: { DEFAULT_MODELS: state.model } };
      case '/chat':
        return { json: { model: 'second', choices: [{ message: { content: 'pong' } }] } };
      case '/tasks':
        return { json: { items: [{ id: 't1', status: state.paused ? 'paused' : 'running' }] } };
      case '/tasks/t1/pause':
        state.paused = true;
        return { json: {} };
      case '/api/v1/query':
        return { json: { status: 'success', data: { resultType: 'vector', result: [SAMPLE] } } };
      case '/api/v2/alerts':
        return { json: [ALERT] };
      case '/quiet/api/v2/alerts':
        return { json: [] };
      case '/api/v2/silences':
        return { json: method === 'POST' ? { silenceID: SILENCE } : [] };
      case `/api/v2/silence/${SILENCE}`:
        return { json: { createdBy: 'amends', status: { state: 'active' } } };
      default:
        return { json: {} };
    }
  };

const startSsh = async (): Promise<{ port: number; hostKey: string; privateKey: string; close(): void }> => {
  const host = ssh2.utils.generateKeyPairSync('ed25519');
  // `ssh-ed25519 <base64> `, as in a file of public keys.
  const hostKey = fingerprintOf(Buffer.from(host.public.split(' ')[1] ?? '', 'base64'));
  const server = new ssh2.Server({ hostKeys: [host.private] }, (client) => {
    client.on('error', () => undefined);
    client.on('authentication', (context) => context.accept());
    client.on('session', (accept) => {
      accept().on('exec', (acceptExec, _reject, info) => {
        const stream = acceptExec();
        if (info.command === 'sleep') return;
        stream.write('here\n');
        stream.exit(0);
        stream.end();
      });
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', () => resolve()));
  const { port } = server.address() as { port: number };
  return { port, hostKey, privateKey: ssh2.utils.generateKeyPairSync('ed25519').private, close: () => server.close() };
};

export const serviceCases = (folder: string): ServiceCases => {
  const state = { model: 'first', paused: false, breaker: 'open' };
  let server: Promise<JsonServer> | null = null;
  let ssh: ReturnType<typeof startSsh> | null = null;
  let repositories = 0;
  const url = async (path = ''): Promise<string> => `${(await (server ??= startJsonServer(answer(state)))).url}${path}`;
  const password = join(folder, 'service-password');
  const login = async (place: string): Promise<JsonObject> => {
    writeFileSync(password, 'a-password');
    return {
      login_url: await url(`${place}/login`),
      username: 'ann',
      password_file: password,
      token_file: join(folder, 'service-token'),
      verify_url: await url('/me'),
    };
  };
  const breaker = async (place = ''): Promise<JsonObject> => {
    state.breaker = 'open';
    return {
      metrics_url: await url('/metrics'),
      breaker: 'generator',
      reset_url: await url(`${place}/reset`),
      dependencies: [{ url: await url('/healthy') }],
    };
  };
  const model = async (place = ''): Promise<JsonObject> => {
    state.model = 'first';
    return {
      models_url: await url('/models'),
      primary: 'first',
      fallbacks: ['second'],
      settings_url: await url(`${place}/settings`),
    };
  };
  const tasks = async (place = ''): Promise<JsonObject> => {
    state.paused = false;
    return { tasks_url: await url(`${place}/tasks`), list_url: await url('/tasks') };
  };
  const far = async (command: string): Promise<JsonObject> => {
    const { port, hostKey, privateKey } = await (ssh ??= startSsh());
    const key = join(folder, 'service-key');
    writeFileSync(key, privateKey);
    const commands = { look: { argv: ['look'], reads: true }, sleep: { argv: ['sleep'], reads: true } };
    return { host: '127.0.0.1', port, username: 'ann', private_key_file: key, host_key: hostKey, commands, command };
  };
  const repository = (): JsonObject => {
    repositories += 1;
    const at = join(folder, `service-repository-${repositories}`);
    const [first = ''] = makeRepository(at, [{ a: '1' }, { a: '2' }]);
    return { repository: at, revision: first };
  };
  const silence = async (place = ''): Promise<JsonObject> => ({
    url: await url(place),
    matchers: { alertname: 'Down' },
    duration: '1m',
    reason: 'on purpose',
  });
  return {
    cases: {
      'http.token-refresh': { good: () => login(''), long: () => login('/slow') },
      'http.poll': {
        good: async () => ({ url: await url('/') }),
        long: async () => ({ url: await url('/hang'), request_timeout: '1m' }),
      },
      'http.breaker-state': {
        good: async () => ({ metrics_url: await url('/metrics'), breaker: 'generator' }),
        long: async () => ({ metrics_url: await url('/hang'), breaker: 'generator' }),
      },
      'http.breaker-reset': { good: () => breaker(), long: () => breaker('/slow') },
      'model.available': {
        good: async () => ({ models_url: await url('/models'), primary: 'first' }),
        long: async () => ({ models_url: await url('/hang'), primary: 'first' }),
      },
      'model.ask': {
        good: async () => ({ chat_url: await url('/chat'), model: 'second' }),
        long: async () => ({ chat_url: await url('/hang'), model: 'second' }),
      },
      'model.failover': { good: () => model(), long: () => model('/slow') },
      'tasks.pause': { good: () => tasks(), long: () => tasks('/slow') },
      'tasks.resume-subset': {
        good: async () => ({ tasks_url: await url('/tasks'), ids: ['t1', 't2'] }),
        long: async () => ({ tasks_url: await url('/slow/tasks'), ids: ['t1', 't2'] }),
      },
      'git.revert-to': { good: repository },
      'git.verify-version': { good: () => ({ ...repository(), revision: 'main' }) },
      'prometheus.query': {
        good: async () => ({ url: await url(), query: 'up' }),
        long: async () => ({ url: await url('/hang'), query: 'up' }),
      },
      'prometheus.wait-until': {
        good: async () => ({ url: await url(), query: 'up', above: 0 }),
        long: async () => ({ url: await url(), query: 'up', above: 2, within: '1h', every: '1m' }),
      },
      'alertmanager.silence': { good: () => silence(), long: () => silence('/slow') },
      'alertmanager.unsilence': {
        good: async () => ({ url: await url(), silence_id: SILENCE }),
        long: async () => ({ url: await url('/slow'), silence_id: SILENCE }),
      },
      'alertmanager.wait-resolved': {
        good: async () => ({ url: await url('/quiet'), matchers: { alertname: 'Down' } }),
        long: async () => ({ url: await url(), matchers: { alertname: 'Down' }, every: '1m', within: '1h' }),
      },
      'ssh.run': { good: () => far('look'), long: () => far('sleep') },
      'ssh.look': { good: () => far('look'), long: () => far('sleep') },
      'validation.run': {
        good: () => ({ commands: [{ name: 'says', argv: ['/bin/echo', 'well'] }] }),
        long: () => ({ commands: [{ name: 'hangs', argv: ['/bin/sleep', '100'] }] }),
      },
    },
    async stop() {
      await (await server)?.close();
      (await ssh)?.close();
    },
  };
};
