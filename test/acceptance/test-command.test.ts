// `amends test` as people and CI run it: what it says, what it ends with, and from a run of a real amends to a test.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createLauncher } from '../support/command.ts';
import type { Ended } from '../support/command.ts';
import { getJson, root, startedHere, until } from '../support/servers.ts';
import type { Running } from '../support/servers.ts';

const servers = startedHere();
const launcher = createLauncher();
let folder: string;
let server: Running;

const write = (files: Readonly<Record<string, string | object>>): void => {
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content, null, 2));
  }
};
const amends = (...args: readonly string[]): Promise<Ended> => launcher.launch(args, { cwd: folder, env: {} }).ended;

const CONFIG = `version: 1
recovery: { mode: auto }
components:
  shop:
    inventory: { static: [ { target: one, connect: { token_file: /run/secrets/shop } } ] }
    allow: { actions: ["wait.*"] }
degraded_modes: { closed: { impact: closed } }
`;
const MEND = `version: 1
summary: Mend the shop.
severity: SEV2
inputs: { length: { type: duration, default: 5ms } }
steps:
  - { id: mend, uses: wait.for, with: { duration: "\${{ inputs.length }}" } }
verify:
  - { uses: wait.for, with: { duration: 1ms } }
on_failure: { degrade: closed }
guide: Look.
`;
const RULE = {
  name: 'shop-down',
  priority: 10,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'ShopDown' }] },
  event: { type: 'remediate', params: { runbook: 'shop/mend', mode: 'auto', with: { length: '7ms' } } },
};
const TESTS = `tests:
  - name: the shop is mended at once
    alerts: [{ labels: { alertname: ShopDown, component: shop, target: one } }]
    decision_test:
      - { eval_time: 0s, exp_reason: admitted, exp_rule: shop-down, exp_with: { length: 7ms } }
`;
const WRONG = `tests:
  - name: "nobody <is> asked"
    alerts: [{ labels: { alertname: ShopDown, component: shop, target: one } }]
    decision_test:
      - { eval_time: 0s, exp_reason: awaiting_approval }
`;

beforeAll(async () => {
  folder = await servers.folder();
  write({ 'amends.yaml': CONFIG, 'rules/shop/shop-down.json': RULE, 'runbooks/shop/mend.yaml': MEND });
  server = await servers.amends({
    config: join(folder, 'amends.yaml'),
    args: [`--storage.path=${join(folder, 'data')}`],
  });
}, 60_000);
afterAll(async () => {
  await launcher.endAll();
  await servers.stopAll();
});

describe('amends test', () => {
  it('runs what stands beside the rules, says so, and ends with 0', async () => {
    write({ 'rules/shop/shop-down.test.yaml': TESTS });
    const ran = await amends('test');
    expect(ran).toMatchObject({ code: 0, err: '' });
    expect(ran.out).toContain('ok    rules/shop/shop-down.test.yaml (1 test)');
    expect(ran.out).toContain('1 file, 1 test, 1 case: all passed');
  }, 60_000);

  it('a failure shows expected and actual side by side with file and line, and ends with 1; JSON and JUnit say the same', async () => {
    write({ 'more/wrong.test.yaml': WRONG });
    const ran = await amends('test', 'more');
    expect(ran.code).toBe(1);
    expect(ran.out).toMatch(
      /more\/wrong\.test\.yaml:5: eval_time 0s\n +expected +actual\n +exp_reason {2}awaiting_approval {2}admitted\n/,
    );
    expect(ran.out).toContain('why: the rule shop-down asked for mend on shop one, and every guard let it pass');
    const json = await amends('test', 'more', '--output=json', `--junit=${join(folder, 'results.xml')}`);
    expect(json.code).toBe(1);
    expect(JSON.parse(json.out)).toMatchObject({
      ok: false,
      files: [
        {
          problems: [],
          tests: [
            {
              passed: false,
              cases: [
                { line: 5, mismatches: [{ what: 'exp_reason', expected: 'awaiting_approval', actual: 'admitted' }] },
              ],
            },
          ],
        },
      ],
    });
    const xml = readFileSync(join(folder, 'results.xml'), 'utf8');
    expect(xml).toContain('<testsuite name="more/wrong.test.yaml" tests="1" failures="1" errors="0"');
    expect(xml).toContain('name="nobody &lt;is&gt; asked"');
  }, 60_000);

  it('amends runbook test runs what is about one runbook, wherever it stands beside the others', async () => {
    write({
      'runbooks/shop/first.test.yaml':
        'runbook: shop/mend\ntests: [{ name: well, runbook_test: { exp_outcome: resolved } }]\n',
      'runbooks/shop/second.test.yaml':
        'runbook: shop/mend\ntests: [{ name: ill, actions: { verify: fail }, runbook_test: { exp_degraded: [closed] } }]\n',
    });
    const ran = await amends('runbook', 'test', 'shop/mend');
    expect([ran.code, ran.out]).toEqual([0, expect.stringContaining('2 files, 2 tests, 2 cases: all passed')]);
    const none = await amends('runbook', 'test', 'shop/other');
    expect([none.code, none.out]).toEqual([1, expect.stringContaining('there is no runbook shop/other')]);
  }, 60_000);

  it('--run picks tests by name', async () => {
    write({ 'picked/both.test.yaml': `${TESTS}${WRONG.replace('tests:\n', '')}` });
    expect(await amends('test', 'picked', '--run=mended')).toMatchObject({ code: 0 });
    expect(await amends('test', 'picked', '--run=asked')).toMatchObject({ code: 1 });
  }, 60_000);

  it('--coverage names the rule without a negative case, --mutate the change that nothing notices', async () => {
    const ran = await amends('test', 'rules', '--coverage', '--mutate', '--least=95%');
    expect(ran.code).toBe(1);
    expect(ran.out).toContain('rules/shop/shop-down.json: shop-down has no negative case');
    expect(ran.out).toMatch(
      /rules\/shop\/shop-down\.json:\d+: no test of shop-down notices \/conditions\/all\/0\/operator: "equal" -> "startsWith"/,
    );
    write({
      'rules/shop/shop-down.test.yaml': `${TESTS}  - name: another is left alone
    alerts: [{ labels: { alertname: ShopDownForever, component: shop, target: one } }]
    decision_test: [{ eval_time: 0s, exp_reason: no_match }]
`,
    });
    const better = await amends('test', 'rules', '--coverage', '--mutate', '--least=100%');
    expect([better.code, better.out]).toEqual([
      0,
      expect.stringContaining('rules with a positive and a negative case: 1 of 1 (100%)'),
    ]);
  }, 60_000);

  it.each([
    [['test', 'nowhere'], /nowhere is neither a file nor a folder/],
    [['test', 'data'], /there is no \*\.test\.yaml/],
    [['test', '--run=('], /--run: /],
    [['test', '--mutate', '--least=much'], /--least: a share such as 80%/],
    [['test', '--config.file=none.yaml'], /none\.yaml/],
    [['test', 'rules', '--from-run=1'], /--from-run and --from-alert each stand alone/],
  ])(
    '%j is misuse',
    async (args, said) => {
      const ran = await amends(...args);
      expect([ran.code, ran.err]).toEqual([2, expect.stringMatching(said)]);
    },
    30_000,
  );
});

describe('from a run to a test', () => {
  const post = async (alertname: string, more: Readonly<Record<string, string>> = {}): Promise<void> => {
    const alert = {
      status: 'firing',
      labels: { alertname, component: 'shop', target: 'one', api_token: 'hush-hush', ...more },
      annotations: { summary: 'See https://me:swordfish@shop.example/log' },
      startsAt: new Date(Date.now() - 90_000).toISOString(),
      endsAt: '0001-01-01T00:00:00Z',
      generatorURL: '',
    };
    const response = await fetch(`${server.url}/webhook/alertmanager`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        version: '4',
        groupKey: 'g',
        receiver: 'amends',
        status: 'firing',
        truncatedAlerts: 0,
        alerts: [alert],
      }),
    });
    expect(response.status).toBe(202);
  };
  const newest = async (what: string): Promise<Record<string, string>> => {
    const { items } = (await getJson(`${server.url}/api/v1/${what}?limit=1`)) as {
      items: Array<Record<string, string>>;
    };
    return items[0] ?? {};
  };

  it('writes tests of the rule and of the runbook that pass, with the alert and the outcome and without what is secret', async () => {
    await post('ShopDown');
    await until('the run is done', async () => (await newest('runs'))['state'] === 'done');
    const { id = '' } = await newest('runs');
    // A folder that is not there yet is made.
    const out = join(await servers.folder(), 'recorded');
    const wrote = await amends('test', `--from-run=${id}`, `--out=${out}`, `--url=${server.url}`, '--output=json');
    expect([wrote.code, wrote.err]).toEqual([0, '']);
    const { files } = JSON.parse(wrote.out) as { files: readonly string[] };
    expect(files).toHaveLength(2);
    expect(await amends('test', ...files)).toMatchObject({ code: 0 });
    const [rule = '', runbook = ''] = files.map((file) => readFileSync(file, 'utf8'));
    expect(rule).toMatch(/alertname: ShopDown/);
    expect(rule).toMatch(/age: 1m3\ds/);
    expect(rule).toMatch(
      /exp_reason: admitted[\s\S]*exp_rule: shop-down[\s\S]*exp_runbook: shop\/mend[\s\S]*length: 7ms/,
    );
    expect(rule).toMatch(/exp_outcome: resolved/);
    expect(rule).not.toContain('Not so here');
    expect(runbook).toMatch(/exp_path:\n +- mend\n +exp_outcome: resolved\n +exp_cause: verified/);
    for (const text of [rule, runbook]) expect(text).not.toMatch(/hush-hush|swordfish/);
    const again = await amends('test', `--from-run=${id}`, `--out=${out}`, `--url=${server.url}`);
    expect([again.code, again.err]).toEqual([2, expect.stringContaining('it is there already')]);
  }, 60_000);

  it('of an alert that nothing was done about, it writes what was decided; what went before it stands as a remark', async () => {
    await post('Unknown');
    await until('it is decided', async () => (await newest('decisions'))['reason'] === 'no_match');
    const unknown = await newest('decisions');
    const out = await servers.folder();
    const wrote = await amends(
      'test',
      `--from-alert=${unknown['alertId']}`,
      `--out=${out}`,
      `--url=${server.url}`,
      '--output=json',
    );
    expect([wrote.code, wrote.err]).toEqual([0, '']);
    const { files } = JSON.parse(wrote.out) as { files: readonly string[] };
    expect(files).toHaveLength(1);
    expect(readFileSync(files[0] ?? '', 'utf8')).toMatch(/exp_reason: no_match[\s\S]*exp_rule: null/);

    // Under other labels it is another incident, and the run that has just mended the shop is still settling.
    await post('ShopDown', { zone: 'a' });
    await until('it is held', async () => (await newest('decisions'))['reason'] === 'settling');
    const held = await newest('decisions');
    const later = await amends(
      'test',
      `--from-alert=${held['alertId']}`,
      `--out=${out}`,
      `--url=${server.url}`,
      '--output=json',
    );
    const [file = ''] = (JSON.parse(later.out) as { files: readonly string[] }).files;
    expect(readFileSync(file, 'utf8')).toMatch(/# Not so here: exp_reason was settling, and is admitted by itself/);
    expect(await amends('test', file)).toMatchObject({ code: 0 });
  }, 60_000);

  it('an id that is not there is said, and ends with 1', async () => {
    const ran = await amends('test', '--from-run=00000000-0000-7000-8000-000000000000', `--url=${server.url}`);
    expect([ran.code, ran.err]).toEqual([1, expect.stringContaining('00000000-0000-7000-8000-000000000000')]);
  }, 30_000);
});

it('the shipped rules and runbooks pass as they are, from any folder', async () => {
  const ran = await amends(
    'test',
    `--config.file=${join(root, 'amends.yaml')}`,
    '--run=asked for by failure type',
    '--output=json',
  );
  expect([ran.code, JSON.parse(ran.out)]).toEqual([0, expect.objectContaining({ ok: true })]);
}, 60_000);
