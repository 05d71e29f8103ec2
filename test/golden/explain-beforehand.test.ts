// `amends explain` of an alert that has not come: from labels, from a body, from a line of a journal, with nothing running.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { runHere } from '../support/checking.ts';

let folder = '';
let config = '';
const AT = '2026-11-01T12:00:00.000Z';
const START = Date.parse(AT);

const rule = (name: string, priority: number, all: readonly unknown[], mode = 'auto'): string =>
  JSON.stringify({
    name,
    priority,
    conditions: { all },
    event: { type: 'remediate', params: { runbook: 'shop/look', mode } },
  });
const is = (fact: string, value: string): unknown => ({ fact, operator: 'equal', value });

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'amends-explain-'));
  mkdirSync(join(folder, 'rules'));
  mkdirSync(join(folder, 'runbooks/shop'), { recursive: true });
  config = join(folder, 'amends.yaml');
  writeFileSync(
    config,
    `recovery: { mode: auto, attempts: [{ max: 1, per: 1h }], cooldown: { after_failure: 0s, after_success: 0s }, settle: 0s }
components:
  shop: { inventory: { static: [orders] }, allow: { actions: ['wait.*'] } }
`,
  );
  writeFileSync(
    join(folder, 'runbooks/shop/look.yaml'),
    'version: 1\nsummary: Look.\nsteps: [{ id: a, uses: wait.for, with: { duration: 1s } }]\nverify: [{ uses: wait.for, with: { duration: 1s } }]\n',
  );
  writeFileSync(join(folder, 'rules/broken.json'), rule('orders-broken', 20, [is('alertname', 'OrdersBroken'), is('label.env', 'prod')]));
  writeFileSync(join(folder, 'rules/fallback.json'), rule('orders-any', 10, [is('alertname', 'OrdersBroken')], 'approve'));
  writeFileSync(join(folder, 'rules/slow.json'), rule('orders-slow', 30, [is('alertname', 'OrdersSlow'), is('label.env', 'prod'), is('severity', 'page')]));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Explained = {
  readonly history: string;
  readonly explanations: ReadonlyArray<{
    readonly decision: { readonly reason: string; readonly rule: string | null; readonly at: string };
    readonly candidates: readonly string[];
    readonly rules: ReadonlyArray<{ readonly rule: string; readonly matched: boolean; readonly conditions: readonly unknown[] }>;
    readonly guards: ReadonlyArray<{ readonly guard: string; readonly passed: boolean }>;
    readonly wouldMatch: ReadonlyArray<{ readonly rule: string; readonly conditions: readonly string[] }>;
  }>;
};
const explain = async (...args: readonly string[]): Promise<Explained> => {
  const said = await runHere(['explain', `--config.file=${config}`, '--output=json', ...args]);
  expect({ code: said.code, err: said.err }).toEqual({ code: 0, err: '' });
  return JSON.parse(said.out) as Explained;
};
const alert = (labels: Readonly<Record<string, string>>): unknown => ({
  status: 'firing',
  labels: { component: 'shop', target: 'orders', ...labels },
  annotations: {},
  startsAt: AT,
  endsAt: '0001-01-01T00:00:00Z',
});
const body = (...alerts: readonly unknown[]): unknown => ({
  version: '4',
  status: 'firing',
  receiver: 'amends',
  groupKey: '{}',
  truncatedAlerts: 0,
  alerts,
});
const OURS = ['--label', 'component=shop', '--label', 'target=orders'];

describe('amends explain of an alert that has not come', () => {
  it('from labels: which rules were candidates, each condition with its value, which won, each guard', async () => {
    const { explanations, history } = await explain('--label', 'alertname=OrdersBroken', '--label', 'env=prod', ...OURS, `--at=${AT}`);
    expect(history).toBe('an empty history');
    expect(explanations).toHaveLength(1);
    const [one] = explanations;
    expect(one?.decision).toMatchObject({ reason: 'admitted', rule: 'orders-broken', at: AT });
    expect(one?.candidates).toEqual(['orders-broken', 'orders-any']);
    expect(one?.rules).toEqual([
      {
        rule: 'orders-broken',
        matched: true,
        error: null,
        conditions: [
          { text: 'alertname equal "OrdersBroken" (it is "OrdersBroken")', result: true },
          { text: 'label.env equal "prod" (it is "prod")', result: true },
        ],
      },
    ]);
    expect(one?.guards.map(({ guard }) => guard)).toEqual(expect.arrayContaining(['halted', 'cooldown', 'attempts_used_up', 'budget']));
    expect(one?.guards.every(({ passed }) => passed)).toBe(true);
  });

  it('a rule that does not match is asked before the one that does, and both are shown', async () => {
    const { explanations } = await explain('--label', 'alertname=OrdersBroken', '--label', 'env=test', ...OURS);
    expect(explanations[0]?.decision).toMatchObject({ reason: 'awaiting_approval', rule: 'orders-any' });
    expect(explanations[0]?.rules.map(({ rule: name, matched }) => [name, matched])).toEqual([
      ['orders-broken', false],
      ['orders-any', true],
    ]);
  });

  it('says what would make it match: the rules that lack least first', async () => {
    const { explanations } = await explain('--label', 'alertname=OrdersSlow', '--label', 'severity=ticket', ...OURS);
    expect(explanations[0]?.decision.reason).toBe('no_match');
    expect(explanations[0]?.wouldMatch).toEqual([
      { rule: 'orders-any', conditions: ['alertname equal "OrdersBroken" (it is "OrdersSlow")'] },
      {
        rule: 'orders-slow',
        conditions: ['label.env equal "prod" (it is not there)', 'severity equal "page" (it is "ticket")'],
      },
      {
        rule: 'orders-broken',
        conditions: ['alertname equal "OrdersBroken" (it is "OrdersSlow")', 'label.env equal "prod" (it is not there)'],
      },
    ]);
  });

  it('of one rule, whatever it lacks, though another wins', async () => {
    const { explanations } = await explain('--label', 'alertname=OrdersBroken', ...OURS, '--rule=orders-slow');
    expect(explanations[0]?.wouldMatch).toEqual([{ rule: 'orders-slow', conditions: expect.any(Array) }]);
    expect(explanations[0]?.wouldMatch[0]?.conditions).toHaveLength(3);
  });

  it('from a body, each alert of it; and from a list as amtool gives it', async () => {
    const posted = join(folder, 'body.json');
    writeFileSync(posted, JSON.stringify(body(alert({ alertname: 'OrdersBroken', env: 'prod' }), alert({ alertname: 'Other' }))));
    const whole = await explain(`--body=${posted}`);
    expect(whole.explanations.map(({ decision }) => decision.reason)).toEqual(['admitted', 'no_match']);
    writeFileSync(posted, JSON.stringify([{ labels: { alertname: 'OrdersBroken', component: 'shop', target: 'orders' } }]));
    expect((await explain(`--body=${posted}`)).explanations[0]?.decision.reason).toBe('awaiting_approval');
  });

  it('from a line of a journal: guards as of what had happened before it', async () => {
    const journal = join(folder, 'journal.ndjson');
    const line = (minute: number, env: string, target = 'orders'): string =>
      JSON.stringify({
        type: 'delivery',
        at: new Date(START + minute * 60_000).toISOString(),
        source: 'alertmanager',
        body: body(alert({ alertname: 'OrdersBroken', env, target, n: String(minute) })),
      });
    writeFileSync(journal, `${line(0, 'prod')}\n${line(20, 'prod')}\n${line(200, 'prod')}\n`);
    const reasons = async (number: number): Promise<string | undefined> =>
      (await explain(`--from=${journal}`, `--line=${number}`)).explanations[0]?.decision.reason;
    expect(await reasons(1)).toBe('admitted');
    expect(await reasons(2)).toBe('attempts_used_up');
    expect(await reasons(3)).toBe('admitted');
    expect((await explain(`--from=${journal}`, '--line=2')).history).toBe('the journal up to line 2');
  });

  it('as a page, it says that nothing was done', async () => {
    const said = await runHere(['explain', `--config.file=${config}`, '--label', 'alertname=OrdersBrokn', ...OURS, `--at=${AT}`]);
    expect(said.out).toBe(`{alertname="OrdersBrokn", component="shop", target="orders"}
Guards as of an empty history; Alertmanager is taken to say that it fires. Nothing was done.

no rule asks for an alert with these labels

decision:   -
at:         2026-11-01 12:00:00Z
origin:     delivery
reason:     no_match
component:  shop
target:     orders
rule:       -
run:        -
candidates: -

What would make it match:
  orders-any:
    alertname equal "OrdersBroken" (it is "OrdersBrokn")
  orders-broken:
    alertname equal "OrdersBroken" (it is "OrdersBrokn")
    label.env equal "prod" (it is not there)
  orders-slow:
    alertname equal "OrdersSlow" (it is "OrdersBrokn")
    label.env equal "prod" (it is not there)
    severity equal "page" (it is not there)`);
  });

  it.each([
    [[], 'give one of'],
    [['some-id', '--label', 'a=b'], 'give one of'],
    [['--label', 'alertname'], 'is not name=value'],
    [['--label', 'a=b', '--at=noon'], 'RFC 3339'],
    [['--label', 'a=b', '--rule=none'], 'no rule none'],
    [['--body=/nowhere/body.json'], 'cannot be read'],
    [['--from=/nowhere/journal', '--line=1'], 'is no file'],
    [['--from=/nowhere/journal'], 'needs --line'],
  ])('%j is misuse', async (args, message) => {
    const said = await runHere(['explain', `--config.file=${config}`, ...args]);
    expect([said.code, said.err]).toEqual([2, expect.stringContaining(message)]);
  });
});
