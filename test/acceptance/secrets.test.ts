// Every kind of secret is given to a real amends, used, and given away by those who were told: no byte that amends stores
// or emits holds one of them, in any form.
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createTcp } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { hashSync } from 'bcryptjs';
import { root, startedHere, until } from '../support/servers.ts';
import type { Running } from '../support/servers.ts';

/** What each is called in the failure; characters that are written differently in a URL, in base64 and in JSON. */
const CANARIES = {
  webhookToken: 'cnry-webhook-token-7fQ+/x9Lm2p8=wT4',
  adminPassword: 'cnry-admin-password-5hJ!k3?v',
  prometheusPassword: 'cnry-prometheus-password-8sD+/q2=',
  alertmanagerToken: 'cnry-alertmanager-token-2gT+/n6=',
  connectPassword: 'cnry-connect-password-9bN+/w1=',
  apiKey: 'cnry-connect-api-key-4zX+/c5=',
  stepToken: 'cnry-step-token-6vB+/m3=',
  hookPath: 'cnry-hook-path-1kP-e8Q',
  hookToken: 'cnry-hook-token-3rY+/u7=',
  untouched: 'cnry-never-used-by-amends-0aZ+/t4=',
} as const;
type Canary = keyof typeof CANARIES;

/** The forms in which somebody could show it. */
const formsOf = (secret: string): readonly string[] => {
  const bytes = Buffer.from(secret);
  const base64 = bytes.toString('base64');
  return [
    secret,
    base64,
    base64.replace(/=+$/, ''),
    bytes.toString('base64url'),
    encodeURIComponent(secret),
    bytes.toString('hex'),
  ];
};
/** All of it, as whoever was told would give it away. */
const GIVEN_AWAY = Object.values(CANARIES).flatMap(formsOf);
const found = (where: string, bytes: Buffer | string): readonly string[] => {
  const text = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes);
  return Object.entries(CANARIES).flatMap(([name, secret]) =>
    [...formsOf(secret), JSON.stringify(secret).slice(1, -1)].some((form) => text.includes(form))
      ? [`${name} in ${where}`]
      : [],
  );
};

const listening = async (server: Server): Promise<number> => {
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
};
const textOf = async (request: IncomingMessage): Promise<string> => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
};
const say = (response: ServerResponse, status: number, body: unknown): void =>
  void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));

describe('secrets', () => {
  const servers = startedHere();
  const closing: Array<() => void> = [];
  const received = new Set<Canary>();
  const told: string[] = [];
  let amends: Running;
  let folder: string;

  /** Notes which secrets were really sent, and gives away all of them, whatever it is asked. */
  const gossip = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://gossip');
    const body = await textOf(request);
    const sent = `${request.url ?? ''}\n${JSON.stringify(request.headers)}\n${Buffer.from((request.headers.authorization ?? '').replace(/^Basic /, ''), 'base64').toString()}`;
    for (const [name, secret] of Object.entries(CANARIES)) if (sent.includes(secret)) received.add(name as Canary);
    if (pathname.startsWith('/hook/')) {
      told.push(body);
      return say(response, told.length % 3 === 1 ? 500 : 200, { heard: GIVEN_AWAY });
    }
    if (pathname === '/api/v1/query') {
      const query = searchParams.get('query') ?? '';
      return query === 'broken'
        ? say(response, 422, { status: 'error', error: `cannot ask with ${GIVEN_AWAY.join(' ')}` })
        : say(response, 200, {
            status: 'success',
            data: { resultType: 'vector', result: [{ metric: { leak: GIVEN_AWAY.join(' ') }, value: [0, '1'] }] },
          });
    }
    if (pathname === '/api/v2/alerts') {
      const labels = Object.fromEntries(
        searchParams
          .getAll('filter')
          .map((one) => [one.slice(0, one.indexOf('=')), JSON.parse(one.slice(one.indexOf('=') + 1)) as string]),
      );
      if (labels['target'] === 'unseen') return say(response, 500, { error: `no, ${GIVEN_AWAY.join(' ')}` });
      return say(response, 200, [
        {
          labels,
          annotations: { leak: GIVEN_AWAY.join(' ') },
          status: { state: 'active', silencedBy: [], inhibitedBy: [] },
        },
      ]);
    }
    say(response, pathname.endsWith('/bad') ? 500 : 200, {
      leak: GIVEN_AWAY,
      [CANARIES.apiKey]: 'as a key',
      nested: { password: 'x' },
    });
  };

  beforeAll(async () => {
    folder = await servers.folder();
    const http = createHttp((request, response) => void gossip(request, response));
    const port = await listening(http);
    const redis = createTcp((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', (chunk) => {
        if (chunk.includes(CANARIES.connectPassword)) received.add('connectPassword');
        socket.write(`-WRONGPASS not with ${GIVEN_AWAY.join(' ')}\r\n`);
      });
    });
    const redisPort = await listening(redis);
    closing.push(
      () => http.closeAllConnections(),
      () => http.close(),
      () => redis.close(),
    );
    const secret = (name: Canary, text: string = CANARIES[name]): string => {
      mkdirSync(join(folder, 'secrets'), { recursive: true });
      const file = join(folder, 'secrets', name);
      writeFileSync(file, `${text}\n`);
      return file;
    };
    const gossipUrl = `http://127.0.0.1:${port}`;
    const files: Record<string, object | string> = {
      'web.yaml': {
        bearer_tokens: [{ name: 'alertmanager', file: secret('webhookToken') }],
        basic_auth_users: { ada: hashSync(CANARIES.adminPassword, 4) },
        roles: { ada: 'admin' },
      },
      'amends.yaml': {
        version: 1,
        recovery: {
          mode: 'auto',
          cooldown: { after_failure: '0s', after_success: '0s' },
          storm: { min: 50, max: 50, gather: '0s' },
          budget: [{ max: 100, per: '1h' }],
          attempts: [{ max: 100, per: '1h' }],
          breaker: { failures: 50 },
        },
        prometheus: { url: gossipUrl, basic_auth: { username: 'amends', password_file: secret('prometheusPassword') } },
        alertmanagers: [{ url: gossipUrl, bearer_token_file: secret('alertmanagerToken'), sources: ['alertmanager'] }],
        components: {
          shop: {
            inventory: { static: ['good', 'bad', 'echo', 'redis', 'asks', 'unseen', 'broken'] },
            connect: {
              url: gossipUrl,
              redis: { url: `redis://127.0.0.1:${redisPort}`, username: 'amends' },
              password_file: secret('connectPassword'),
              api_key_file: secret('apiKey'),
              unused_secret_file: secret('untouched'),
            },
            allow: { actions: ['http.*', 'command.*', 'redis.*', 'inbox.*'] },
          },
        },
        allow: { hosts: [`127.0.0.1:${port}`, `127.0.0.1:${redisPort}`], commands: ['/bin/cat'] },
        notify: {
          receivers: [
            {
              name: 'hook',
              type: 'webhook',
              url_file: secret('hookPath', `${gossipUrl}/hook/${CANARIES.hookPath}`),
              bearer_token_file: secret('hookToken'),
            },
          ],
          routes: [{ receiver: 'hook' }],
        },
      },
    };
    const stepToken = secret('stepToken');
    const runbook = (steps: readonly string[]): string => `
version: 1
summary: Mends, and hears more than it should.
severity: SEV2
timeout: 2s
steps:
${steps.map((step) => `  - ${step}`).join('\n')}
verify:
  - { uses: http.get, with: { url: "\${{ connect.url }}/health" }, expect: outputs.status == 200, need: 1, of: 1, every: 50ms }
  - { uses: http.get, with: { url: "\${{ connect.url }}/leaky" }, expect: outputs.status == 201, need: 1, of: 1, every: 50ms }
on_failure: { escalate: SEV2 }
guide: Look at the shop.
`;
    const call = (id: string): string =>
      `{ id: ${id}, uses: http.request, idempotent: true, with: { url: "\${{ connect.url }}/mend/\${{ target }}", header_files: { X-Api-Key: "\${{ connect.api_key_file }}" }, bearer_token_file: ${stepToken} } }`;
    const books: Record<string, readonly string[]> = {
      good: [
        call('mend'),
        '{ id: tell, uses: inbox.add, idempotent: true, with: { kind: note, title: "It said ${{ steps.mend.outputs.body }}", body: "${{ steps.mend.outputs.body }}" } }',
      ],
      bad: [call('mend')],
      echo: [
        `{ id: out, uses: command.run, idempotent: true, with: { argv: [/bin/cat, ${join(folder, 'secrets/untouched')}, ${join(folder, 'secrets/stepToken')}] } }`,
        `{ id: err, uses: command.run, idempotent: true, with: { argv: [/bin/cat, ${join(folder, 'secrets/untouched')}, /nowhere] } }`,
      ],
      redis: [
        '{ id: ping, uses: redis.ping, with: { url: "${{ connect.redis.url }}", username: amends, password_file: "${{ connect.password_file }}" } }',
      ],
      asks: ['{ id: ask, approve: { question: "Go on?", expires: 5s } }', call('mend')],
      unseen: [call('mend')],
      broken: [call('mend')],
    };
    for (const [name, steps] of Object.entries(books)) {
      files[`runbooks/shop/${name}.yaml`] = runbook(steps);
      files[`rules/${name}.json`] = {
        name,
        priority: 10,
        conditions: {
          all: [
            { fact: 'target', operator: 'equal', value: name },
            { fact: 'alertname', operator: 'equal', value: 'ShopDown' },
            {
              fact: 'prometheus',
              params: { query: name === 'broken' ? 'broken' : 'leaks' },
              operator: 'greaterThan',
              value: 0,
            },
          ],
        },
        event: {
          type: 'remediate',
          params: { runbook: `shop/${name}`, mode: 'auto', limits: { attempts: [{ max: 1, per: '1h' }] } },
        },
      };
    }
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(join(folder, name, '..'), { recursive: true });
      writeFileSync(join(folder, name), typeof text === 'string' ? text : JSON.stringify(text));
    }
    amends = await servers.amends({
      config: join(folder, 'amends.yaml'),
      args: [
        `--storage.path=${join(folder, 'data')}`,
        `--web.config.file=${join(folder, 'web.yaml')}`,
        '--log.level=debug',
      ],
    });
  }, 30_000);
  afterAll(async () => {
    await servers.stopAll();
    for (const close of closing) close();
  });

  const as = (who: 'alertmanager' | 'ada'): Record<string, string> => ({
    authorization:
      who === 'ada'
        ? `Basic ${Buffer.from(`ada:${CANARIES.adminPassword}`).toString('base64')}`
        : `Bearer ${CANARIES.webhookToken}`,
    'content-type': 'application/json',
  });
  const get = async (path: string): Promise<string> =>
    (await fetch(`${amends.url}${path}`, { headers: as('ada'), signal: AbortSignal.timeout(10_000) })).text();
  const list = async (what: string): Promise<ReadonlyArray<Record<string, unknown>>> =>
    (JSON.parse(await get(`/api/v1/${what}`)) as { items: ReadonlyArray<Record<string, unknown>> }).items;
  const fire = async (target: string): Promise<void> => {
    const alert = {
      status: 'firing',
      labels: { alertname: 'ShopDown', component: 'shop', target },
      annotations: {},
      startsAt: new Date(Date.now() - 60_000).toISOString(),
      endsAt: '0001-01-01T00:00:00Z',
      generatorURL: '',
      fingerprint: '0',
    };
    const body = {
      version: '4',
      groupKey: '{}',
      receiver: 'amends',
      status: 'firing',
      truncatedAlerts: 0,
      alerts: [alert],
      externalURL: '',
      groupLabels: {},
      commonLabels: {},
      commonAnnotations: {},
    };
    const response = await fetch(`${amends.url}/webhook/alertmanager`, {
      method: 'POST',
      headers: as('alertmanager'),
      body: JSON.stringify(body),
    });
    expect(response.status).toBe(202);
  };
  /** Until the incident of that target has come to something. */
  const come = (target: string, reason: string): Promise<unknown> =>
    until(
      `${target} is ${reason}`,
      async () => (await list(`decisions?target=${target}&reason=${reason}`)).length > 0,
      30_000,
    );

  it('I13 C12 none is in any byte that amends stores or emits, after success and failure of every kind', async () => {
    // Once it was right, a password is known; until then amends has only its hash.
    expect((await fetch(`${amends.url}/api/v1/runs`, { headers: as('ada') })).status).toBe(200);
    // A target that fails says so before amends has used most of what it gives away.
    for (const target of ['bad', 'good', 'echo', 'redis', 'asks', 'unseen', 'broken']) {
      await fire(target);
      if (target === 'unseen') await come(target, 'unconfirmed');
      else if (target === 'broken') await come(target, 'undecidable');
      else if (target === 'asks') {
        const [asked] = await until('somebody is asked', async () => {
          const runs = await list('runs?target=asks&state=awaiting_approval');
          return runs.length > 0 ? runs : null;
        });
        await fetch(`${amends.url}/api/v1/runs/${String(asked?.['id'])}/approve`, {
          method: 'POST',
          headers: as('ada'),
          body: JSON.stringify({ comment: 'go on' }),
        });
      } else await come(target, 'admitted');
      if (!['unseen', 'broken'].includes(target))
        await until(
          `the run on ${target} is done`,
          async () => (await list(`runs?target=${target}&state=done`)).length > 0,
        );
    }
    // Strangers, with what is nearly right.
    await fetch(`${amends.url}/api/v1/runs`, { headers: { authorization: `Bearer ${CANARIES.webhookToken}x` } });
    await fetch(`${amends.url}/api/v1/nothing/${encodeURIComponent(CANARIES.apiKey)}`, { headers: as('ada') });
    await until('everybody was told, in spite of failures', () => told.length >= 6);

    const leaks: string[] = [];
    const paths = Object.entries(
      (JSON.parse(await get('/api/v1/openapi.json')) as { paths: Record<string, Record<string, unknown>> }).paths,
    )
      .filter(([path, methods]) => 'get' in methods && !path.includes('{') && !path.includes('stream'))
      .map(([path]) => path);
    expect(paths.length).toBeGreaterThan(10);
    for (const path of [...paths, '/metrics']) leaks.push(...found(path, await get(path)));
    const texts = await get('/api/v1/configurations/1/files');
    expect(texts).toContain('Mends, and hears more than it should.');
    leaks.push(...found('the texts of the configuration', texts));
    for (const { id, decisionId } of await list('runs?limit=100')) {
      leaks.push(...found('a run', await get(`/api/v1/runs/${String(id)}`)));
      leaks.push(...found('an explanation', await get(`/api/v1/decisions/${String(decisionId)}/explain`)));
      leaks.push(...found('a post-mortem', await get(`/api/v1/postmortems/${String(id)}`)));
      leaks.push(...found("a run's log", await get(`/api/v1/logs?runId=${String(id)}`)));
    }
    for (const { id } of await list('decisions?limit=100'))
      leaks.push(...found('a decision', await get(`/api/v1/decisions/${String(id)}`)));
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [
      join(root, 'bin/amends'),
      'check',
      `--config.file=${join(folder, 'amends.yaml')}`,
    ]).catch((error: { stdout: string; stderr: string }) => error);
    leaks.push(...found('what check says', `${stdout}${stderr}`));
    for (const body of told) leaks.push(...found('a notification', body));
    leaks.push(...found('the command line', readFileSync(`/proc/${amends.pid}/cmdline`)));
    await amends.stop();
    leaks.push(...found('the log', amends.output()));
    for (const entry of readdirSync(join(folder, 'data'), { recursive: true, withFileTypes: true }))
      if (entry.isFile()) leaks.push(...found(`data/${entry.name}`, readFileSync(join(entry.parentPath, entry.name))));
    expect([...new Set(leaks)]).toEqual([]);

    // They were really used, and what was said about them is on record.
    expect([...received].toSorted()).toEqual([
      'alertmanagerToken',
      'apiKey',
      'connectPassword',
      'hookPath',
      'hookToken',
      'prometheusPassword',
      'stepToken',
    ]);
    expect(readFileSync(join(folder, 'data/amends.db')).includes('[redacted]')).toBe(true);
  }, 90_000);
});
