// What is loaded, by digest and commit: the same wherever it is asked for, and kept with everything that came of it.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { createLedger } from '../support/ledger.ts';
import type { Ledger } from '../support/ledger.ts';
import { getJson, startedHere, until } from '../support/servers.ts';
import type { Running } from '../support/servers.ts';

const servers = startedHere();
let folder: string;
let ledger: Ledger;
let amends: Running;

const git = (...args: readonly string[]): string =>
  execFileSync(
    'git',
    ['-C', folder, '-c', 'user.name=ann', '-c', 'user.email=ann@example.org', '-c', 'commit.gpgsign=false', ...args],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] },
  ).trim();
const commitAll = (message: string): string => {
  git('add', '--all');
  git('commit', '--quiet', `--message=${message}`);
  return git('rev-parse', 'HEAD');
};

const writeRunbook = (summary: string): void =>
  writeFileSync(
    join(folder, 'runbooks/shop/mend.yaml'),
    `version: 1
summary: ${summary}
severity: SEV3
timeout: 10s
steps:
  - { id: mend, uses: http.request, with: { url: "\${{ connect.url }}/mend/\${{ target }}", method: POST }, idempotent: true }
verify:
  - { uses: http.get, with: { url: "\${{ connect.url }}/health/\${{ target }}" }, need: 1, of: 1, every: 10ms }
guide: Look at the shop.
`,
  );

type Ready = {
  readonly revision: string | null;
  readonly digests: { readonly config: string; readonly catalog: string };
};
type Item = Readonly<Record<string, unknown>> & { readonly id: string };
const ready = (): Promise<Ready> => getJson<Ready>(`${amends.url}/-/ready`);
const items = async (path: string): Promise<readonly Item[]> =>
  (await getJson<{ items: Item[] }>(`${amends.url}/api/v1/${path}`)).items;

/** One firing alert, and the run that came of it. */
const recovered = async (target: string): Promise<Item> => {
  const response = await fetch(`${amends.url}/webhook/alertmanager`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      version: '4',
      groupKey: '{}',
      receiver: 'amends',
      status: 'firing',
      alerts: [
        {
          status: 'firing',
          labels: { alertname: 'ShopDown', component: 'shop', target },
          annotations: {},
          startsAt: new Date().toISOString(),
          endsAt: '0001-01-01T00:00:00Z',
        },
      ],
    }),
  });
  expect(response.status).toBe(202);
  return until(`the run on ${target} has ended`, async () =>
    (await items('runs')).find((run) => run['target'] === target && run['state'] === 'done'),
  );
};

beforeAll(async () => {
  folder = await servers.folder();
  ledger = await createLedger(join(folder, 'ledger.ndjson'));
  mkdirSync(join(folder, 'rules'));
  mkdirSync(join(folder, 'runbooks/shop'), { recursive: true });
  writeRunbook('Mend the shop.');
  writeFileSync(
    join(folder, 'rules/shop.json'),
    JSON.stringify({
      name: 'shop-down',
      priority: 10,
      conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'ShopDown' }] },
      event: { type: 'remediate', params: { runbook: 'shop/mend', mode: 'auto' } },
    }),
  );
  writeFileSync(
    join(folder, 'amends.yaml'),
    JSON.stringify({
      version: 1,
      recovery: { mode: 'auto', cooldown: { after_failure: '0s', after_success: '0s' }, settle: '0s' },
      components: {
        shop: {
          connect: { url: ledger.url },
          inventory: { static: ['one', 'two', 'three', 'four', 'five'] },
          allow: { actions: ['http.*'] },
        },
      },
      allow: { hosts: [ledger.host] },
    }),
  );
  git('init', '--quiet', '--initial-branch=main');
  commitAll('first');
  amends = await servers.amends({
    config: join(folder, 'amends.yaml'),
    args: [`--storage.path=${join(folder, 'data')}`],
  });
}, 60_000);
afterAll(async () => {
  await servers.stopAll();
  await ledger.close();
}, 30_000);

it('readiness, metrics and audit say which commit and which digests are loaded, and decisions and runs keep them', async () => {
  const first = git('rev-parse', 'HEAD');
  const before = await ready();
  expect(before).toMatchObject({ revision: first, digests: { config: expect.stringMatching(/^sha256:/) as unknown } });

  const one = await recovered('one');
  const full = await getJson<{ plan: { digests: object } }>(`${amends.url}/api/v1/runs/${one.id}`);
  expect(full.plan.digests).toMatchObject({
    revision: first,
    config: before.digests.config,
    rule: expect.stringMatching(/^sha256:/) as unknown,
    runbook: expect.stringMatching(/^sha256:/) as unknown,
  });
  const why = await getJson<{ digests: object; plans: object[] }>(
    `${amends.url}/api/v1/decisions/${String(one['decisionId'])}/explain`,
  );
  expect(why.digests).toMatchObject({ revision: first, ...before.digests });
  expect(why.plans).toMatchObject([{ digests: { revision: first } }]);

  writeRunbook('Mend the shop better.');
  const second = commitAll('second');
  expect(await ready()).toEqual(before);
  expect((await fetch(`${amends.url}/-/reload`, { method: 'POST' })).status).toBe(200);
  const after = await ready();
  expect(after.revision).toBe(second);
  expect(after.digests.config).toBe(before.digests.config);
  expect(after.digests.catalog).not.toBe(before.digests.catalog);

  const metrics = await (await fetch(`${amends.url}/metrics`)).text();
  expect(metrics.split('\n').filter((line) => line.startsWith('amends_config_info'))).toEqual([
    `amends_config_info{config="${after.digests.config}",catalog="${after.digests.catalog}",revision="${second}"} 1`,
  ]);
  const loaded = (await items('audit?action=config.loaded')).map(({ detail }) => detail);
  expect(loaded).toEqual([
    { at: 'reload', revision: second, ...after.digests },
    { at: 'start', revision: first, ...before.digests },
  ]);

  const two = await recovered('two');
  const changed = await getJson<{ plan: { digests: object } }>(`${amends.url}/api/v1/runs/${two.id}`);
  expect(changed.plan.digests).toMatchObject({ revision: second });
  expect((changed.plan.digests as { runbook: string }).runbook).not.toBe(
    (full.plan.digests as { runbook: string }).runbook,
  );
}, 60_000);
