// A journal alone is enough: it has the texts of whatever was loaded, so that in an empty folder everything is decided again
// as live did, a reload in the middle included; and a change under review is compared with what really was loaded.
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { getJson, root, startedHere, until } from '../support/servers.ts';
import type { Running } from '../support/servers.ts';

const call = promisify(execFile);
const servers = startedHere();
const shop = createServer((_request, response) => void response.end('well'));

type Row = Readonly<Record<string, unknown>>;
type Said = { readonly code: number; readonly out: string; readonly err: string };
const INLINE = 'inline-password-5tG';
const IN_COMMENT = 'known-secret-of-a-file-8zQ';

let folder: string;
let amends: Running;
let lived: readonly Row[];

const INVENTORY = '- { targets: [one, two, three, four, five, six, seven, eight, nine, ten, eleven] }\n';
const RUNBOOK = `version: 1
summary: Mend the shop.
severity: SEV3
steps:
  - { id: mend, uses: http.request, with: { url: "\${{ connect.url }}", method: POST }, idempotent: true }
verify:
  - { uses: http.get, with: { url: "\${{ connect.url }}" }, need: 1, of: 1, every: 50ms }
guide: Look at the shop.
`;
const rule = (cap: number): string =>
  JSON.stringify({
    name: 'shop-down',
    priority: 10,
    conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'ShopDown' }] },
    event: {
      type: 'remediate',
      params: { runbook: 'shop/mend', mode: 'auto', limits: { attempts: [{ max: cap, per: '1d' }] } },
    },
  });

const run = async (cwd: string, ...args: readonly string[]): Promise<Said> => {
  try {
    const { stdout, stderr } = await call(process.execPath, [join(root, 'bin/amends'), ...args], { cwd });
    return { code: 0, out: stdout, err: stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, out: stdout, err: stderr };
  }
};
const list = async (path: string): Promise<readonly Row[]> =>
  (await getJson<{ items: readonly Row[] }>(`${amends.url}/api/v1/${path}`)).items;
const words = ({ origin, target, rule: name, strategy, reason }: Row): string =>
  [origin, target, name, strategy, reason].join(' ');

/** Posts it and waits until it is decided and nothing is under way. */
const fire = async (target: string): Promise<void> => {
  const before = (await list('decisions?origin=delivery&limit=500')).length;
  const alert = {
    status: 'firing',
    labels: { alertname: 'ShopDown', component: 'shop', target },
    annotations: {},
    startsAt: new Date().toISOString(),
    endsAt: '0001-01-01T00:00:00Z',
  };
  const answer = await fetch(`${amends.url}/webhook/alertmanager`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ version: '4', groupKey: '{}', receiver: 'amends', truncatedAlerts: 0, alerts: [alert] }),
  });
  expect(answer.status).toBe(202);
  await until(`${target} has been dealt with`, async () => {
    const all = await list('runs?limit=500');
    return (
      (await list('decisions?origin=delivery&limit=500')).length > before && all.every(({ state }) => state === 'done')
    );
  });
};
const reload = async (): Promise<void> => {
  const answer = await fetch(`${amends.url}/-/reload`, { method: 'POST' });
  expect([answer.status, await answer.text()]).toEqual([200, expect.anything()]);
};

beforeAll(async () => {
  await new Promise<void>((resolve) => void shop.listen(0, '127.0.0.1', resolve));
  const at = `127.0.0.1:${(shop.address() as AddressInfo).port}`;
  folder = await servers.folder();
  for (const name of ['rules', 'runbooks/shop', 'targets', 'empty']) mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(join(folder, 'token'), `${IN_COMMENT}\n`);
  writeFileSync(
    join(folder, 'amends.yaml'),
    `version: 1
# It was ${IN_COMMENT} once.
recovery: { mode: auto, settle: 1m, cooldown: { after_failure: 0s, after_success: 0s }, max_concurrent: 5, storm: { min: 10, max: 10, gather: 0s } }
components:
  shop:
    inventory: { file_sd: [targets/*.yaml] }
    connect: { url: "http://${at}/", token_file: ${join(folder, 'token')} }
    allow: { actions: ["http.*"] }
allow: { hosts: ["${at}"] }
probes: [{ name: well, uses: http.get, component: shop, target: one, every: 1h, with: { url: "http://${at}/", headers: { X-Api-Key: "${INLINE}" } } }]
notify: { receivers: [{ name: hook, type: webhook, url: http://${at}/hook/${INLINE} }], routes: [] }
`,
  );
  writeFileSync(join(folder, 'targets/shop.yaml'), INVENTORY);
  writeFileSync(join(folder, 'rules/shop.json'), rule(1));
  writeFileSync(join(folder, 'runbooks/shop/mend.yaml'), RUNBOOK);
  amends = await servers.amends({
    config: join(folder, 'amends.yaml'),
    args: [`--storage.path=${join(folder, 'data')}`],
  });
  await fire('one');
  await fire('two');
  await fire('three');
  writeFileSync(join(folder, 'rules/shop.json'), rule(3));
  await reload();
  // It had no run, and the rules have changed since: it is looked at again.
  await fire('two');
  await fire('four');
  await fire('five');
  // What is loaded is loaded again: nothing that is new.
  await reload();
  const exported = await run(folder, 'journal', 'export', `--url=${amends.url}`);
  expect(exported.code).toBe(0);
  writeFileSync(join(folder, 'empty/journal.ndjson'), exported.out);
  lived = (await list('decisions?limit=500')).toReversed();
}, 60_000);
afterAll(async () => {
  await servers.stopAll();
  shop.closeAllConnections();
  shop.close();
});

/** Up to the last delivery: after that live had not got as far. */
const decisionsOf = (said: Said, most: number): readonly string[] =>
  (JSON.parse(said.out) as { decisions: readonly Row[] }).decisions.slice(0, most).map(words);
const configLines = (): readonly Row[] =>
  readFileSync(join(folder, 'empty/journal.ndjson'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Row)
    .filter(({ type }) => type === 'config');

describe('a journal with what was loaded', () => {
  it('has the full text of every file once, when it began to count, and no secret in it', async () => {
    const lines = configLines();
    const textsOf = ({ files }: Row): Record<string, string | undefined> =>
      Object.fromEntries(
        (files as ReadonlyArray<{ file: string; text?: string }>).map(({ file, text }) => [file, text]),
      );
    expect(lines).toHaveLength(2);
    expect(textsOf(lines[0] ?? {})).toEqual({
      [join(folder, 'amends.yaml')]: expect.stringContaining('mode: auto') as unknown,
      'targets/shop.yaml': INVENTORY,
      'rules/shop.json': rule(1),
      'runbooks/shop/mend.yaml': RUNBOOK,
    });
    expect(textsOf(lines[1] ?? {})).toEqual({
      [join(folder, 'amends.yaml')]: undefined,
      'targets/shop.yaml': undefined,
      'rules/shop.json': rule(3),
      'runbooks/shop/mend.yaml': undefined,
    });
    const kept = JSON.stringify(await list('configurations/1/files'));
    for (const secret of [INLINE, IN_COMMENT]) {
      expect(readFileSync(join(folder, 'empty/journal.ndjson'), 'utf8')).not.toContain(secret);
      expect(kept).not.toContain(secret);
    }
    expect(JSON.stringify(lines)).toContain('It was [redacted] once.');
    expect(kept).toContain('It was [redacted] once.');
  });

  it('is decided again in an empty folder exactly as live did, all decisions, in the same order', async () => {
    const said = await run(join(folder, 'empty'), 'backtest', '--from=journal.ndjson', '--show=all', '--output=json');
    expect(said.code).toBe(0);
    expect(decisionsOf(said, lived.length)).toEqual(lived.map(words));
    const reasons = lived.filter(({ origin }) => origin === 'delivery').map(({ target, reason }) => [target, reason]);
    expect(reasons).toEqual([
      ['one', 'admitted'],
      ['two', 'attempts_used_up'],
      ['three', 'attempts_used_up'],
      ['two', 'admitted'],
      ['four', 'admitted'],
      ['five', 'attempts_used_up'],
    ]);
    const text = await run(join(folder, 'empty'), 'backtest', '--from=journal.ndjson');
    expect(text.out).toContain(
      'Decided under the 2 configurations that the journal says were loaded, each in its time.',
    );
  });

  it('is straight from the running amends the same, and under the files of now another', async () => {
    const straight = await run(
      folder,
      'backtest',
      `--url=${amends.url}`,
      '--config=recorded',
      '--show=all',
      '--output=json',
    );
    expect(straight.code).toBe(0);
    expect(decisionsOf(straight, lived.length)).toEqual(lived.map(words));
    const files = await run(folder, 'backtest', '--from=empty/journal.ndjson', '--show=all', '--output=json');
    expect(decisionsOf(files, lived.length)).not.toEqual(lived.map(words));
    expect(JSON.parse(files.out)).toMatchObject({ under: { which: 'files', otherThanLive: true } });
  });

  it('shows what a pull request would have done differently from what really was loaded', async () => {
    writeFileSync(join(folder, 'rules/shop.json'), rule(2));
    const said = await run(folder, 'backtest', '--from=empty/journal.ndjson', '--against=recorded', '--output=json');
    expect(said.code).toBe(0);
    // Live: one under a cap of 1; two and four under a cap of 3. Under a cap of 2 from the beginning: one, and two at once.
    expect((JSON.parse(said.out) as { differences: readonly Row[] }).differences).toMatchObject([
      { change: 'other_reason', target: 'two', after: ['admitted: shop-down > mend'] },
      { change: 'no_longer_acts', target: 'four', after: ['attempts_used_up: shop-down > mend'] },
    ]);
  });

  it('says of a journal whose texts were lost what is missing, what to do, and goes on with the rest', async () => {
    const [first, ...rest] = readFileSync(join(folder, 'empty/journal.ndjson'), 'utf8').trim().split('\n');
    const cut = join(folder, 'cut.ndjson');
    // Of the second configuration nothing is left but its digests.
    const others = rest.map((line) => {
      const { files: _, ...about } = JSON.parse(line) as Row;
      return about['type'] === 'config' ? JSON.stringify(about) : line;
    });
    writeFileSync(cut, `${[first, ...others].join('\n')}\n`);
    const said = await run(join(folder, 'empty'), 'backtest', `--from=${cut}`, '--config=recorded');
    expect(said.code).toBe(1);
    expect(said.err).toMatch(
      /cut\.ndjson:\d+: what live decided under from .* on is not in the journal, only its digests .*\n +mend: export/,
    );
    expect(said.out).toContain('shop-down');
    writeFileSync(cut, `${others.join('\n')}\n`);
    const none = await run(join(folder, 'empty'), 'backtest', `--from=${cut}`, '--config=recorded');
    expect(none.code).toBe(2);
    expect(none.err).toContain('has no configuration that could be loaded; name one: --config=files');
  });
});
