// Guards on a real amends: its wall clock is set while it runs and while it does not; a breaker is closed from a terminal.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createLedger } from '../support/ledger.ts';
import type { Ledger } from '../support/ledger.ts';
import { itWith } from '../support/requires.ts';
import { getJson, root, startedHere, until } from '../support/servers.ts';
import type { Running, Servers } from '../support/servers.ts';

type Row = Readonly<Record<string, unknown>>;
const list = async (amends: Running, path: string): Promise<readonly Row[]> =>
  (await getJson<{ items: readonly Row[] }>(`${amends.url}/api/v1/${path}`)).items;

const post = async (amends: Running, target: string): Promise<void> => {
  const status = 'firing';
  const alert = {
    status,
    labels: { alertname: 'ShopDown', component: 'shop', target },
    annotations: {},
    startsAt: new Date(Date.now() - 60_000).toISOString(),
    endsAt: '0001-01-01T00:00:00Z',
    generatorURL: '',
    fingerprint: '0',
  };
  const body = { version: '4', groupKey: '{}', receiver: 'amends', status, truncatedAlerts: 0, alerts: [alert] };
  const response = await fetch(`${amends.url}/webhook/alertmanager`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...body, externalURL: '', groupLabels: {}, commonLabels: {}, commonAnnotations: {} }),
  });
  expect(response.status).toBe(202);
};

const decided = (amends: Running, target: string, reason: string) =>
  until(`${target} is ${reason}`, async () =>
    (await list(amends, `decisions?target=${target}`)).some((row) => row['reason'] === reason),
  );

describe('guards at work', () => {
  let servers: Servers;
  let folder: string;
  let ledger: Ledger;
  const given = (component: string): { config: string; args: readonly string[] } => {
    mkdirSync(join(folder, 'rules'));
    mkdirSync(join(folder, 'runbooks/shop'), { recursive: true });
    const rule = {
      name: 'shop-down',
      priority: 10,
      conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'ShopDown' }] },
      event: { type: 'remediate', params: { runbook: 'shop/mend', mode: 'auto' } },
    };
    writeFileSync(join(folder, 'rules/shop.json'), JSON.stringify(rule));
    writeFileSync(
      join(folder, 'runbooks/shop/mend.yaml'),
      `
version: 1
summary: Mend the shop.
severity: SEV3
timeout: 10s
steps:
  - { id: mend, uses: http.request, with: { url: "\${{ connect.url }}/mend/\${{ target }}", method: POST }, idempotent: true }
verify:
  - { uses: http.get, with: { url: "\${{ connect.url }}/health" }, need: 1, of: 1, every: 10ms }
guide: Look at the shop.
`,
    );
    const config = join(folder, 'amends.yaml');
    writeFileSync(
      config,
      `
version: 1
recovery: { mode: auto, cooldown: { after_failure: 0s, after_success: 0s }, resolve_hold: 0s, storm: { min: 5 } }
components:
  shop:
    connect: { url: "${ledger.url}" }
    inventory: { static: [one, two, three, four, five] }
    allow: { actions: ["http.*"] }
    ${component}
allow: { hosts: ["${ledger.host}"] }
`,
    );
    return { config, args: [`--storage.path=${join(folder, 'data')}`] };
  };
  const mended = () => ledger.effects().map(({ path }) => path.replace('/mend/', ''));

  beforeEach(async () => {
    servers = startedHere();
    folder = await servers.folder();
    ledger = await createLedger(join(folder, 'ledger.ndjson'));
  });
  afterEach(async () => {
    await ledger.close();
    await servers.stopAll();
  });

  itWith('faketime')(
    'F61 F62 I1 an hour back, a restart and two hours ahead loosen no cap, and each is on record',
    async () => {
      const wall = join(folder, 'wall');
      const setWall = (seconds: string): void => {
        writeFileSync(`${wall}.new`, `${seconds}\n`);
        renameSync(`${wall}.new`, wall);
      };
      setWall('+0');
      // In the folder of the machine's architecture.
      const library = readdirSync('/usr/lib')
        .map((name) => join('/usr/lib', name, 'faketime/libfaketimeMT.so.1'))
        .find((path) => existsSync(path));
      const env = {
        LD_PRELOAD: library,
        FAKETIME_TIMESTAMP_FILE: wall,
        FAKETIME_NO_CACHE: '1',
        DONT_FAKE_MONOTONIC: '1',
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
      };
      const start = { ...given('attempts: [ { max: 1, per: 1h } ]'), env };
      const jumps = async (amends: Running) => (await list(amends, 'audit?action=clock.jumped')).length;
      let amends = await servers.amends(start);
      await post(amends, 'one');
      await until('one is mended', () => mended().length === 1);

      setWall('-3600');
      await until('the jump is on record', async () => (await jumps(amends)) === 1);
      await post(amends, 'two');
      await decided(amends, 'two', 'attempts_used_up');

      await amends.stop();
      amends = await servers.amends(start);
      await until('so is that it is still behind', async () => (await jumps(amends)) === 2);
      await post(amends, 'three');
      await decided(amends, 'three', 'attempts_used_up');

      setWall('+7200');
      await until('and the jump ahead', async () => (await jumps(amends)) === 3);
      await post(amends, 'four');
      await decided(amends, 'four', 'attempts_used_up');
      expect(mended()).toEqual(['one']);
      const clock = (await list(amends, 'inbox')).filter((entry) => entry['dedup'] === 'clock');
      expect(clock).toMatchObject([{ status: 'open', count: 3 }]);
    },
    60_000,
  );

  it('F40 a breaker that three failures opened is closed from a terminal, and what it held goes on', async () => {
    ledger.answer('/health', 500);
    const amends = await servers.amends(given('attempts: [ { max: 100, per: 1h } ]'));
    await post(amends, 'one');
    await until('the breaker is open', async () =>
      JSON.stringify(await list(amends, 'components')).includes('"open":true'),
    );
    ledger.answer('/health', 200);
    const before = mended().length;
    await post(amends, 'four');
    await decided(amends, 'four', 'breaker_open');
    const command = ['breaker', 'close', 'shop', 'mend', '--comment=mended', '--by=ann', `--url=${amends.url}`];
    const { stdout } = await promisify(execFile)(process.execPath, [join(root, 'bin/amends'), ...command]);
    expect(stdout).toBe('The breaker of mend on shop is closed.\n');
    await until('four is mended', () => mended().includes('four'));
    expect(mended()).toHaveLength(before + 1);
  }, 60_000);
});
