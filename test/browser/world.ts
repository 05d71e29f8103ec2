// What the tests of the console look at: a started amends with rules and runbooks for two shops, and the shop itself, which
// answers when the test lets it.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { startJsonServer } from '../support/json-server.ts';
import type { JsonServer } from '../support/json-server.ts';
import { until } from '../support/servers.ts';
import type { Running, Servers } from '../support/servers.ts';

type Row = Readonly<Record<string, unknown>>;

export type World = {
  readonly server: Running;
  readonly url: string;
  readonly folder: string;
  readonly shop: JsonServer;
  /** Lets the requests that wait, and those that come, be answered. */
  letMend(): void;
  /** From now on requests wait again. */
  holdMend(): void;
  fire(alertname: string, component: string, target: string, more?: Row, annotations?: Row): Promise<void>;
  call(path: string, body?: object): Promise<{ readonly status: number; readonly body: Row }>;
  list(path: string): Promise<readonly Row[]>;
  run(strategy: string, state: string): Promise<Row>;
  restart(): Promise<void>;
  close(): Promise<void>;
};

const config = (host: string, url: string, more: object): object => ({
  version: 1,
  rule_files: ['rules/*.json'],
  runbook_files: ['runbooks/**/*.yaml'],
  recovery: {
    mode: 'auto',
    cooldown: { after_failure: '300s', after_success: '1s' },
    attempts: [
      { max: 3, per: '1h' },
      { max: 9, per: '1d' },
    ],
    settle: '5m',
    storm: { share: '100%', min: 3 },
  },
  components: {
    shop: {
      kind: 'shop',
      team: 'storefront',
      connect: { url },
      inventory: { static: ['main', 'spare'] },
      allow: { actions: ['http.*', 'inbox.*', 'degrade.*'] },
    },
    orders: {
      kind: 'store',
      mode: 'approve',
      connect: { url },
      inventory: { static: ['eu', 'us', 'asia', 'africa'] },
      allow: { actions: ['http.*', 'inbox.*', 'degrade.*'] },
    },
    search: {
      kind: 'shop',
      connect: { url },
      inventory: { static: ['blue'] },
      allow: { actions: ['http.*'] },
    },
  },
  degraded_modes: { no_checkout: { available: ['browsing'], unavailable: ['paying'], impact: 'nobody can pay' } },
  allow: { hosts: [host] },
  probes: [
    { name: 'front', uses: 'http.get', component: 'shop', target: 'main', every: '1h', with: { url: `${url}/health` } },
  ],
  ...more,
});

const RUNBOOKS: Readonly<Record<string, string>> = {
  'shop/mend.yaml': `
version: 1
summary: Restart what serves the shop.
severity: SEV3
timeout: 60s
before:
  - { id: evidence, uses: http.get, with: { url: "\${{ connect.url }}/stats/\${{ target }}" }, continue_on_error: true }
steps:
  - { id: restart, uses: http.request, with: { url: "\${{ connect.url }}/mend/\${{ target }}", method: POST }, idempotent: true, timeout: 50s }
verify:
  - { uses: http.get, with: { url: "\${{ connect.url }}/health" }, need: 1, of: 1, every: 10ms }
on_failure: { degrade: no_checkout }
on_success: { clear: no_checkout }
guide: |
  Look at the load balancer first.
`,
  'store/rebuild.yaml': `
version: 1
summary: Rebuild the index of orders from its log.
severity: SEV2
timeout: 60s
inputs:
  batch: { type: number, default: 500, description: rows at a time }
steps:
  - { id: count, uses: http.get, with: { url: "\${{ connect.url }}/stats/\${{ target }}" } }
  - { id: rebuild, uses: http.request, with: { url: "\${{ connect.url }}/mend/\${{ target }}", method: POST, json: { batch: "\${{ inputs.batch }}" } }, idempotent: true }
verify:
  - { uses: http.get, with: { url: "\${{ connect.url }}/health" }, need: 1, of: 1, every: 10ms }
guide: |
  Ask the owner of the orders.
`,
};
const rule = (name: string, alertname: string, runbook: string, mode: string): object => ({
  name,
  description: `An alert ${alertname} is answered by ${runbook}.`,
  priority: 10,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: alertname }] },
  event: { type: 'remediate', params: { runbook, mode } },
});
const RULES: Readonly<Record<string, object>> = {
  'shop-down.json': rule('shop-down', 'ShopDown', 'shop/mend', 'auto'),
  'orders-stale.json': rule('orders-stale', 'OrdersStale', 'store/rebuild', 'approve'),
  'shop-lost.json': {
    name: 'shop-lost',
    description: 'A shop that lost data is for a human.',
    priority: 20,
    conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'ShopLostData' }] },
    event: { type: 'escalate', params: { severity: 'SEV1' } },
  },
};

export const openWorld = async (
  servers: Servers,
  given: {
    readonly config?: object;
    readonly args?: readonly string[];
    readonly files?: Readonly<Record<string, string>>;
    /** Where credentials are needed: what the test itself asks with. */
    readonly token?: string;
  } = {},
): Promise<World> => {
  const folder = await servers.folder();
  let open = false;
  const waiting: Array<() => void> = [];
  const shop = await startJsonServer(async ({ path }) => {
    if (path.startsWith('/mend/') && !open) await new Promise<void>((resolve) => void waiting.push(resolve));
    return { json: path.startsWith('/stats/') ? { clients: 412, oldest: '3m', note: 'pool is full' } : { fine: true } };
  });
  const write = (name: string, text: string): void => {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  };
  write('amends.yaml', JSON.stringify(config(shop.host, shop.url, given.config ?? {})));
  for (const [name, text] of Object.entries(RUNBOOKS)) write(`runbooks/${name}`, text);
  for (const [name, content] of Object.entries(RULES)) write(`rules/${name}`, JSON.stringify(content));
  for (const [name, text] of Object.entries(given.files ?? {})) write(name, text);
  const serve = (port?: number): Promise<Running> =>
    servers.amends({
      config: join(folder, 'amends.yaml'),
      args: [`--storage.path=${join(folder, 'data')}`, ...(given.args ?? [])],
      ...(port === undefined ? {} : { port }),
    });
  const started = await serve().catch(async (error: unknown) => {
    await shop.close();
    throw error;
  });
  const world = { server: started };
  const url = world.server.url;
  const call: World['call'] = async (path, body) => {
    const response = await fetch(`${url}${path}`, {
      ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
      headers: {
        'content-type': 'application/json',
        connection: 'close',
        ...(given.token === undefined ? {} : { authorization: `Bearer ${given.token}` }),
      },
    });
    return { status: response.status, body: (await response.json()) as Row };
  };
  const list: World['list'] = async (path) => (await call(path)).body['items'] as readonly Row[];
  const letMend = (): void => {
    open = true;
    for (const answer of waiting.splice(0)) answer();
  };
  return {
    get server() {
      return world.server;
    },
    url,
    folder,
    shop,
    letMend,
    holdMend: () => void (open = false),
    async fire(alertname, component, target, more = {}, annotations = {}) {
      const alert = {
        status: 'firing',
        labels: { alertname, component, target, ...more },
        annotations: { summary: `${alertname} on ${target}`, ...annotations },
        startsAt: new Date().toISOString(),
        endsAt: '0001-01-01T00:00:00Z',
      };
      const answered = await call('/webhook/alertmanager', {
        version: '4',
        groupKey: '{}',
        receiver: 'amends',
        alerts: [alert],
      });
      if (answered.status !== 202) throw new Error(JSON.stringify(answered));
    },
    call,
    list,
    run: (strategy, state) =>
      until(`a run of ${strategy} that is ${state}`, async () =>
        (await list(`/api/v1/runs?strategy=${strategy}&state=${state}`)).at(0),
      ),
    async restart() {
      await world.server.stop();
      world.server = await serve(Number(new URL(url).port));
    },
    async close() {
      letMend();
      await shop.close();
    },
  };
};
