// A started `amends serve` with the shipped rules and runbooks of some kinds, driven only from outside: the webhook, the
// command line, the HTTP API. Of the policy only what would make one test wait for another is lifted.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createLauncher } from './command.ts';
import { getJson, root, until } from './servers.ts';
import type { Running, Servers } from './servers.ts';

export type Row = Readonly<Record<string, unknown>>;

export type Shipped = {
  readonly server: Running;
  /** Posts to the webhook as Alertmanager does. */
  fire(
    this: void,
    alertname: string,
    component: string,
    target: string,
    more?: Readonly<Record<string, string>>,
  ): Promise<void>;
  /** `amends <args>` against it; its answer as JSON. Throws unless it ended with `code`. */
  ask(this: void, code: number, ...args: readonly string[]): Promise<Row>;
  list(this: void, path: string): Promise<readonly Row[]>;
  /** The newest run of the strategy, once it has ended. */
  ended(this: void, strategy: string): Promise<Row>;
  /** Says yes to the run of the strategy that waits, by the command line, and gives its end. */
  approved(this: void, strategy: string): Promise<Row>;
  /** Names of the degraded modes that are on, as an application reads them. */
  modes(this: void): Promise<readonly unknown[]>;
  metrics(this: void): Promise<string>;
  stop(this: void): Promise<void>;
};

export type Given = {
  readonly kinds: readonly string[];
  /** By name, as in amends.yaml; `kind` and `inventory` included. */
  readonly components: Readonly<Record<string, object>>;
  readonly allow: Readonly<Record<string, readonly string[]>>;
  /** In place of the shipped rules of these kinds. */
  readonly ruleFiles?: readonly string[];
  readonly more?: object;
  /** As `Servers.amends` takes it. */
  readonly inside?: readonly string[];
};

/** How long anything may take; a test that needs more says why. */
const PATIENCE_MS = 45_000;

const REST = { externalURL: '', groupLabels: {}, commonLabels: {}, commonAnnotations: {} };

export const startShipped = async (servers: Servers, given: Given): Promise<Shipped> => {
  const folder = await servers.folder();
  const config = join(folder, 'amends.yaml');
  writeFileSync(
    config,
    // JSON is YAML.
    JSON.stringify({
      version: 1,
      rule_files: given.ruleFiles ?? given.kinds.map((kind) => join(root, `rules/${kind}/*.json`)),
      runbook_files: given.kinds.map((kind) => join(root, `runbooks/${kind}/*.yaml`)),
      recovery: {
        mode: 'auto',
        attempts: [{ max: 100, per: '1h' }],
        budget: [{ max: 100, per: '1h' }],
        cooldown: { after_failure: '0s', after_success: '0s' },
        settle: '0s',
      },
      components: given.components,
      allow: given.allow,
      ...given.more,
    }),
  );
  const server = await servers.amends({
    config,
    args: [`--storage.path=${join(folder, 'data')}`],
    ...(given.inside === undefined ? {} : { inside: given.inside }),
  });
  const launcher = createLauncher();
  const list: Shipped['list'] = async (path) =>
    (await getJson<{ items: readonly Row[] }>(`${server.url}/api/v1/${path}`)).items;
  const ask: Shipped['ask'] = async (code, ...args) => {
    const ran = await launcher.launch([...args, `--url=${server.url}`, '--output=json'], { cwd: folder }).ended;
    if (ran.code !== code) throw new Error(`amends ${args.join(' ')} ended with ${ran.code}: ${ran.out}${ran.err}`);
    return JSON.parse(ran.out) as Row;
  };
  const newest = async (strategy: string): Promise<Row | undefined> =>
    (await list('runs?limit=100')).find((run) => run['strategy'] === strategy);
  const decided = async (): Promise<string> =>
    JSON.stringify([
      (await list('decisions')).map(({ reason, rule }) => [reason, rule]),
      (await list('runs')).map(({ strategy, state, outcome, cause }) => [strategy, state, outcome, cause]),
    ]);
  const end = async (what: string, find: () => Promise<Row | undefined>): Promise<Row> => {
    try {
      return await until(
        `${what} to its end`,
        async () => {
          const run = await find();
          return run?.['state'] === 'done' && run;
        },
        PATIENCE_MS,
        50,
      );
    } catch (error) {
      throw new Error(`${(error as Error).message}; decided: ${await decided()}`, { cause: error });
    }
  };
  const ended: Shipped['ended'] = (strategy) => end(`a run of ${strategy}`, () => newest(strategy));
  return {
    server,
    ask,
    list,
    ended,
    async fire(alertname, component, target, more = {}) {
      const alert = {
        status: 'firing',
        labels: { alertname, component, target, severity: 'critical', ...more },
        annotations: {},
        startsAt: new Date().toISOString(),
        endsAt: '0001-01-01T00:00:00Z',
        generatorURL: '',
        fingerprint: '0',
      };
      const body = { version: '4', groupKey: '{}', receiver: 'amends', status: 'firing', truncatedAlerts: 0, ...REST };
      const response = await fetch(`${server.url}/webhook/alertmanager`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ ...body, alerts: [alert] }),
      });
      if (response.status !== 202) throw new Error(`the webhook answered ${response.status}`);
    },
    async approved(strategy) {
      const waiting = await until(`a run of ${strategy} that waits for a human`, async () => {
        const run = await newest(strategy);
        return run?.['state'] === 'awaiting_approval' && run;
      });
      await ask(0, 'approve', String(waiting['id']), '--comment=go on', '--by=ann');
      // Not the newest: what did not help may be asked about again at once.
      return end(`the run of ${strategy}`, async () =>
        (await list('runs?limit=100')).find(({ id }) => id === waiting['id']),
      );
    },
    modes: async () => (await list('degraded-modes')).filter(({ active }) => active === true).map(({ name }) => name),
    metrics: async () => (await fetch(`${server.url}/metrics`)).text(),
    async stop() {
      await launcher.endAll();
      await server.stop();
    },
  };
};

export const resolved = (strategy: string): Row => ({ strategy, outcome: 'resolved', cause: 'verified' });
