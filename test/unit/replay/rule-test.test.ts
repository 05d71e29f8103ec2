// Tests of rules as users write them: what the format can say, and that each of its expectations can fail.
import { afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { formatProblem } from '../../../src/base/failure.ts';
import { passed } from '../../../src/replay/test-result.ts';
import type { TestParts } from '../../../src/replay/test-world.ts';
import { testFolder, testParts } from '../../support/test-files.ts';
import type { Folder } from '../../support/test-files.ts';

const CONFIG = `version: 1
recovery: { mode: auto, settle: 15m }
prometheus: { url: http://127.0.0.1:9 }
components:
  cache:
    kind: redis
    match: ['job="redis-cache"']
    target: { label: instance, regex: '(.+):9121', replacement: '$1:6379' }
    inventory: { static: ["10.0.0.7:6379", "10.0.0.8:6379", "10.0.0.9:6379", "10.0.0.10:6379"] }
    allow: { actions: ["wait.*"] }
  shop: { inventory: { static: [one] }, allow: { actions: ["wait.*"] } }
degraded_modes: { slow: { impact: slow } }
`;
const runbook = `version: 1
summary: Wait.
severity: SEV3
inputs: { idle_over: { type: duration, default: 60s } }
steps:
  - { id: mend, uses: wait.for, with: { duration: "\${{ inputs.idle_over }}" } }
verify:
  - { uses: wait.for, with: { duration: 1ms } }
on_failure: { degrade: slow }
on_success: { clear: slow }
guide: Look.
`;
const down = (more: object = {}): object => ({
  name: 'redis-down',
  priority: 50,
  conditions: {
    all: [
      { fact: 'alertname', operator: 'in', value: ['RedisDown', 'RedisConnectionTimeout'] },
      { fact: 'label.env', operator: 'equal', value: 'prod' },
    ],
  },
  event: {
    type: 'remediate',
    params: {
      runbook: [
        { runbook: 'redis/reconnect', with: { idle_over: '${{ label.idle }}' } },
        { runbook: 'redis/restart_container', mode: 'approve' },
      ],
      mode: 'auto',
      ...more,
    },
  },
});
const simple = (name: string, alertname: string, event: object, all: readonly object[] = []): object => ({
  name,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: alertname }, ...all] },
  event,
});
const FILES = {
  'amends.yaml': CONFIG,
  'rules/redis/down.json': down(),
  'rules/shop/slow.json': simple(
    'shop-slow',
    'ShopSlow',
    {
      type: 'remediate',
      params: { runbook: 'shop/mend', mode: 'auto', limits: { attempts: [{ max: 2, per: '1h' }] } },
    },
    [{ fact: 'prometheus', params: { query: 'sum(errors)', id: 'error_rate' }, operator: 'greaterThan', value: 0.1 }],
  ),
  'rules/shop/shadowed.json': simple('shop-shadow', 'ShopOdd', {
    type: 'remediate',
    params: { runbook: 'shop/mend', mode: 'shadow' },
  }),
  'rules/shop/page.json': simple('shop-page', 'ShopGone', { type: 'escalate', params: { severity: 'SEV1' } }),
  'rules/shop/night.json': simple('shop-night', 'ShopNoise', { type: 'ignore' }, [
    { fact: 'time.hour', operator: 'lessThan', value: 6 },
  ]),
  'runbooks/redis/reconnect.yaml': runbook,
  'runbooks/redis/restart_container.yaml': runbook,
  'runbooks/shop/mend.yaml': runbook,
};
const REDIS = '{ alertname: RedisDown, job: redis-cache, env: prod, idle: 30s, instance: "10.0.0.7:9121" }';

let parts: TestParts;
let folder: Folder;
beforeAll(async () => {
  parts = await testParts();
});
beforeEach(() => {
  folder = testFolder(parts, FILES);
});
afterEach(() => folder.remove());

/** What did not hold, in a word each; empty when all of it did. */
const failing = async (text: string): Promise<readonly string[]> => {
  folder.write({ 'rules/it.test.yaml': text });
  const { files } = await folder.run('rules/it.test.yaml');
  return files.flatMap(({ problems, tests }) => [
    ...problems.map((problem) => formatProblem(problem).replaceAll(folder.path, '')),
    ...tests.flatMap(({ stopped }) => stopped ?? []),
    ...tests
      .flatMap(({ cases }) => cases)
      .flatMap(({ mismatches }) => mismatches.map(({ what, expected, actual }) => `${what}: ${expected} | ${actual}`)),
  ]);
};
const test = (body: string, cases: readonly string[]): string => `config: ../amends.yaml
tests:
  - name: a test
${body
  .split('\n')
  .map((line) => `    ${line}`)
  .join('\n')}
    decision_test:
${cases.map((one) => `      - { ${one} }`).join('\n')}
`;

describe('a test of rules', () => {
  it('the example of the design holds: acts, asks about the next rung, and says which target', async () => {
    expect(
      await failing(
        test(
          `mode: auto\nalerts: [ { from: 0s, until: 2h, labels: ${REDIS} } ]\nrun_outcomes: { default: unresolved }`,
          [
            'eval_time: 0s, exp_reason: admitted, exp_runbook: redis/reconnect, exp_target: "10.0.0.7:6379"',
            'eval_time: 4m, exp_reason: awaiting_approval, exp_runbook: redis/restart_container',
          ],
        ),
      ),
    ).toEqual([]);
  });

  it('every expectation can fail, and says what was expected and what was there', async () => {
    const alerts = `alerts: [ { labels: ${REDIS} } ]\nrun_outcomes: { default: unresolved }`;
    const wrong = [
      'exp_reason: escalated',
      'exp_rule: shop-page',
      'exp_not_rule: redis-down',
      'exp_component: shop',
      'exp_target: one',
      'exp_runbook: shop/mend',
      'exp_strategy: mend',
      'exp_with: { idle_over: 31s }',
      'exp_mode: approve',
      'exp_rung: 2',
      'exp_until: 5m',
      'exp_would: admitted',
      'exp_severity: SEV1',
      'exp_attempts: 2',
      'exp_runs: 0',
      'exp_outcome: resolved',
      'exp_exhausted: true',
      'exp_degraded: []',
    ];
    expect(
      await failing(
        test(
          alerts,
          wrong.map((one) => `eval_time: 0s, ${one}`),
        ),
      ),
    ).toEqual([
      'exp_reason: escalated | admitted',
      'exp_rule: shop-page | redis-down',
      'exp_not_rule: not redis-down | redis-down',
      'exp_component: shop | cache',
      'exp_target: one | 10.0.0.7:6379',
      'exp_runbook: shop/mend | redis/reconnect',
      'exp_strategy: mend | reconnect',
      'exp_with.idle_over: 31s | 30s',
      'exp_mode: approve | auto',
      'exp_rung: 2 | 1',
      'exp_until: 5m | null',
      'exp_would: admitted | null',
      'exp_severity: SEV1 | SEV3',
      'exp_attempts: 2 | 1',
      'exp_runs: 0 | 1',
      'exp_outcome: resolved | unresolved',
      'exp_exhausted: true | false',
      'exp_degraded: [] | ["slow"]',
    ]);
  });

  it('cooldown, its end and the cap come at their times, each try one attempt more, in virtual time', async () => {
    const alerts =
      'alerts: [ { labels: { alertname: ShopSlow, component: shop, target: one } } ]\nrun_outcomes: { default: unresolved }\nfacts: { error_rate: 0.2 }';
    expect(
      await failing(
        test(alerts, [
          'eval_time: 0s, exp_reason: admitted, exp_attempts: 1',
          'eval_time: 4m59s, exp_outcome: unresolved, exp_exhausted: false, exp_runs: 1',
          'eval_time: 6m, exp_reason: admitted, exp_attempts: 2, exp_runs: 2, exp_exhausted: true',
          'eval_time: 3h, exp_reason: admitted, exp_runs: 2',
        ]),
      ),
    ).toEqual([]);
  });

  it('a second target of a component is held by its cooldown until that ends', async () => {
    const second = '{ alertname: RedisDown, job: redis-cache, env: prod, idle: 30s, instance: "10.0.0.8:9121" }';
    expect(
      await failing(
        test(`alerts:\n  - { labels: ${REDIS}, until: 1m }\n  - { from: 30s, labels: ${second} }`, [
          'eval_time: 40s, labels: { instance: "10.0.0.8:9121" }, exp_reason: cooldown, exp_until: 1m',
          'eval_time: 2m, labels: { instance: "10.0.0.8:9121" }, exp_reason: admitted, exp_target: "10.0.0.8:6379"',
          'eval_time: 2m, exp_reason: resolved',
        ]),
      ),
    ).toEqual([]);
  });

  it('a fact from Prometheus is what the test says, over time; without a sample the rule is undecidable', async () => {
    const alert = 'alerts: [ { labels: { alertname: ShopSlow, component: shop, target: one } } ]';
    const cases = ['eval_time: 0s, exp_reason: no_match', 'eval_time: 0s, exp_rule: null'];
    expect(await failing(test(`${alert}\nfacts: { error_rate: 0.05 }`, cases))).toEqual([]);
    expect(
      await failing(test(`${alert}\nfacts: { "sum(errors)": 0.2 }`, ['eval_time: 0s, exp_reason: admitted'])),
    ).toEqual([]);
    const held = ['eval_time: 0s, exp_reason: undecidable', 'eval_time: 2m, exp_reason: admitted'];
    expect(
      await failing(
        test(`${alert}\nfacts: { error_rate: [ { from: 0s, value: null }, { from: 1m, value: 0.5 } ] }`, held),
      ),
    ).toEqual([]);
    expect(await failing(test(alert, ['eval_time: 0s, exp_reason: undecidable']))).toEqual([]);
  });

  it('what people do is part of a test: a denial ends it, a halt and a disabled component hold it', async () => {
    const alerts = `alerts: [ { labels: ${REDIS} } ]\nrun_outcomes: { default: unresolved }`;
    expect(
      await failing(
        test(`${alerts}\nacts: [ { at: 10m, deny: redis/restart_container } ]`, [
          'eval_time: 11m, exp_exhausted: true, exp_outcome: withdrawn',
        ]),
      ),
    ).toEqual([]);
    expect(
      await failing(
        test(`${alerts}\nacts: [ { at: 10m, approve: redis/restart_container } ]`, [
          'eval_time: 10m, exp_outcome: unresolved, exp_runs: 2',
          'eval_time: 11m, exp_reason: awaiting_approval, exp_rung: 2, exp_runs: 3',
        ]),
      ),
    ).toEqual([]);
    const late = alerts.replace('labels:', 'from: 1m, labels:');
    expect(
      await failing(
        test(`${late}\nacts: [ { at: 0s, halt: true }, { at: 5m, resume: true } ]`, [
          'eval_time: 2m, exp_reason: halted',
          'eval_time: 5m10s, exp_reason: awaiting_approval',
        ]),
      ),
    ).toEqual([]);
    for (const name of ['cache', 'redis-down'])
      expect(
        await failing(
          test(`${late}\nacts: [ { at: 0s, disable: ${name} } ]`, [
            'eval_time: 2m, exp_reason: disabled, exp_until: null',
          ]),
        ),
      ).toEqual([]);
    expect(
      await failing(test(`${alerts}\nacts: [ { at: 0s, approve: redis/reconnect } ]`, ['eval_time: 1m, exp_rung: 2'])),
    ).toEqual(['no run of redis/reconnect waits for an answer']);
  });

  it('a silence of Alertmanager holds it for as long as it lasts', async () => {
    const alerts = `alerts: [ { labels: ${REDIS}, silenced: { until: 10m } } ]`;
    expect(
      await failing(test(alerts, ['eval_time: 1m, exp_reason: silenced', 'eval_time: 16m, exp_outcome: resolved'])),
    ).toEqual([]);
  });

  it('a run that is said to have helped while its alert goes on firing was ineffective', async () => {
    const alerts = `alerts: [ { labels: ${REDIS} } ]`;
    expect(
      await failing(
        test(alerts, [
          'eval_time: 1m, exp_outcome: resolved, exp_degraded: []',
          'eval_time: 15m1s, exp_degraded: [slow]',
          'eval_time: 20m, exp_reason: awaiting_approval',
        ]),
      ),
    ).toEqual([]);
  });

  it('in shadow it says what live would have come to, and counts on the ledger of shadow', async () => {
    const alerts = `mode: shadow\nalerts: [ { labels: ${REDIS} } ]`;
    expect(
      await failing(
        test(alerts, ['eval_time: 0s, exp_reason: shadow, exp_would: admitted, exp_attempts: 1, exp_runs: 0']),
      ),
    ).toEqual([]);
    const odd = 'alerts: [ { labels: { alertname: ShopOdd, component: shop, target: one } } ]';
    expect(
      await failing(test(odd, ['eval_time: 0s, exp_reason: shadow, exp_rule: shop-shadow, exp_runbook: shop/mend'])),
    ).toEqual([]);
  });

  it('escalations have their severity, the hour of the day its say, and a storm is no reason to act', async () => {
    expect(
      await failing(
        test('alerts: [ { labels: { alertname: ShopGone } } ]', [
          'eval_time: 0s, exp_reason: escalated, exp_severity: SEV1',
        ]),
      ),
    ).toEqual([]);
    const noise = 'alerts: [ { labels: { alertname: ShopNoise } } ]';
    expect(
      await failing(test(`start: 2026-01-05T03:00:00Z\n${noise}`, ['eval_time: 0s, exp_reason: ignored'])),
    ).toEqual([]);
    expect(await failing(test(noise, ['eval_time: 0s, exp_reason: no_match']))).toEqual([]);
    const many = [7, 8, 9].map((last) => `{ labels: ${REDIS.replace('10.0.0.7', `10.0.0.${last}`)} }`).join(', ');
    expect(await failing(test(`alerts: [ ${many} ]`, ['eval_time: 0s, exp_reason: storm, exp_runs: 0']))).toEqual([]);
  });

  it('degraded modes that are on at the start can be cleared by a run', async () => {
    const alerts = `degraded: [slow]\nalerts: [ { labels: ${REDIS}, until: 1m } ]`;
    expect(await failing(test(alerts, ['eval_time: 0s, exp_outcome: resolved, exp_degraded: []']))).toEqual([]);
  });

  it('components may stand in the test file, in place of those of the configuration', async () => {
    const text = test(`alerts: [ { labels: { alertname: ShopGone, component: stall } } ]`, [
      'eval_time: 0s, exp_component: stall, exp_target: null',
    ]);
    expect(await failing(`components: { stall: { inventory: { static: [a, b] } } }\n${text}`)).toEqual([]);
    expect(await failing(`components: { stall: { match: ["job"] } }\n${text}`)).toEqual([
      expect.stringContaining('/rules/it.test.yaml:1:'),
    ]);
  });

  it('is run again and again with the same result, and days of it take no time', async () => {
    folder.write({
      'rules/it.test.yaml': test(`alerts: [ { labels: ${REDIS} } ]\nrun_outcomes: { default: unresolved }`, [
        'eval_time: 3d, exp_exhausted: true',
      ]),
    });
    for (let turn = 0; turn < 2; turn += 1) {
      const { files } = await folder.run('rules/it.test.yaml');
      expect(files.flatMap(({ tests }) => tests).map(passed)).toEqual([true]);
    }
  });
});

describe('a test file that is wrong', () => {
  it.each([
    [
      'an unknown key',
      'tests: [ { name: x, alerts: [ { labels: { alertname: A } } ], decision_test: [ { eval_time: 0s, exp_rules: x } ] } ]',
      'did you mean exp_rule?',
    ],
    [
      'an unknown rule',
      test('alerts: [ { labels: { alertname: A } } ]', ['eval_time: 0s, exp_rule: redis-dwon']),
      'did you mean redis-down?',
    ],
    [
      'an unknown reason',
      test('alerts: [ { labels: { alertname: A } } ]', ['eval_time: 0s, exp_reason: admited']),
      'did you mean admitted?',
    ],
    [
      'an unknown runbook',
      test('alerts: [ { labels: { alertname: A } } ]\nrun_outcomes: { redis/recconect: resolved }', ['eval_time: 0s']),
      'did you mean redis/reconnect?',
    ],
    [
      'an unknown fact',
      test('alerts: [ { labels: { alertname: A } } ]\nfacts: { eror_rate: 1 }', ['eval_time: 0s']),
      'did you mean error_rate?',
    ],
    [
      'a time that is none',
      test('alerts: [ { labels: { alertname: A } } ]', ['eval_time: soon']),
      'a duration such as 30s',
    ],
    [
      'a configuration that is not there',
      test('alerts: [ { labels: { alertname: A } } ]', ['eval_time: 0s']).replace('../amends.yaml', '../amend.yaml'),
      'mend: name it',
    ],
    [
      'two acts in one',
      test('alerts: [ { labels: { alertname: A } } ]\nacts: [ { at: 0s, halt: true, resume: true } ]', [
        'eval_time: 0s',
      ]),
      'one act is expected',
    ],
    ['no YAML', 'tests: [', 'mend: see the YAML 1.2 syntax'],
  ])('%s is said with file, line and mend', async (_, text, said) => {
    const [problem = ''] = await failing(text);
    expect(problem).toMatch(/^\/rules\/it\.test\.yaml:\d+:\d+: /);
    expect(problem).toContain(said);
  });

  it('keeps no other file from being run', async () => {
    folder.write({
      'rules/bad.test.yaml': 'tests: []',
      'rules/good.test.yaml': test('alerts: [ { labels: { alertname: A } } ]', ['eval_time: 0s, exp_reason: no_match']),
    });
    const { files } = await folder.run('rules/bad.test.yaml', 'rules/good.test.yaml');
    expect(files.map(({ problems, tests }) => [problems.length > 0, tests.length])).toEqual([
      [true, 0],
      [false, 1],
    ]);
  });
});
