// Tests of runbooks as users write them: steps come out as the test says, and the way the run takes is the real one.
import { afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { formatProblem } from '../../../src/base/failure.ts';
import type { TestParts } from '../../../src/replay/test-world.ts';
import { testFolder, testParts } from '../../support/test-files.ts';
import type { Folder } from '../../support/test-files.ts';

const CONFIG = `version: 1
prometheus: { url: http://127.0.0.1:9 }
components:
  cache:
    kind: redis
    inventory: { static: ["10.0.0.7:6379", "10.0.0.8:6379"] }
    connect: { url: "redis://\${{ target }}" }
    allow: { actions: ["redis.*", "wait.*", "degrade.*", "inbox.*", "http.*"] }
  store: { kind: shop, inventory: { static: [one] }, allow: { actions: ["wait.*", "inbox.*", "degrade.*", "http.*"] } }
degraded_modes: { redis_unavailable: { impact: slow }, shop_closed: { impact: closed } }
`;
const RECONNECT = `version: 1
summary: Drop stale client connections and connect anew.
severity: SEV3
inputs:
  idle_over: { type: duration, default: 60s }
timeout: 60s
before:
  - { id: evidence, uses: redis.info, with: { url: "\${{ connect.url }}" }, continue_on_error: true }
steps:
  - id: probe
    uses: redis.ping
    with: { url: "\${{ connect.url }}", timeout: 2s }
    continue_on_error: true
  - id: drop_stale
    if: steps.probe.outcome == "failed"
    uses: redis.kill-clients
    with: { url: "\${{ connect.url }}", idle_over: "\${{ inputs.idle_over }}", max_share: 0.5 }
    idempotent: true
    retry: { attempts: 3, delay: 1s, factor: 2 }
verify:
  - { uses: redis.ping, with: { url: "\${{ connect.url }}", max_latency: 10ms }, need: 3, of: 5, every: 2s, hold: 10s }
on_success: { clear: redis_unavailable }
on_failure: { degrade: redis_unavailable }
on_exhausted: { escalate: SEV2 }
guide: Look.
`;
const MEND = `version: 1
summary: Mend the shop.
severity: SEV2
timeout: 10m
steps:
  - id: close
    uses: degrade.set
    with: { mode: shop_closed }
    idempotent: true
  - id: look
    uses: http.get
    with: { url: http://127.0.0.1:9/stock }
    timeout: 5s
  - id: ask
    approve: { question: Rearrange the shelves?, expires: 20m }
  - id: shelve
    uses: http.request
    with: { url: http://127.0.0.1:9/shelves, method: PUT, json: { amount: "\${{ steps.look.outputs.json.amount }}" } }
    idempotent: false
    undo:
      uses: http.request
      with: { url: http://127.0.0.1:9/shelves, method: PUT, json: { amount: "\${{ undo.before }}" } }
      idempotent: true
verify:
  - { query: shop_queue, below: 3, within: 10s }
on_success:
  steps:
    - { id: tell, uses: inbox.add, with: { title: "Mended \${{ target }}" }, idempotent: false }
on_failure: { escalate: SEV3 }
guide: Look.
`;
const FORTH = MEND.replace(/ {4}undo:\n(?: {6}.*\n)+/, '').replace(
  'on_success:',
  'rollback:\n  - { id: back, if: always(), uses: http.request, with: { url: http://127.0.0.1:9/shelves, method: DELETE }, idempotent: true }\non_success:',
);

let parts: TestParts;
let folder: Folder;
beforeAll(async () => {
  parts = await testParts();
});
beforeEach(() => {
  folder = testFolder(parts, {
    'amends.yaml': CONFIG,
    'rules/none.json': {
      name: 'none',
      conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'None' }] },
      event: { type: 'ignore' },
    },
    'runbooks/redis/reconnect.yaml': RECONNECT,
    'runbooks/shop/mend.yaml': MEND,
    'runbooks/shop/forth.yaml': FORTH,
  });
});
afterEach(() => folder.remove());

const failing = async (text: string): Promise<readonly string[]> => {
  folder.write({ 'runbooks/it.test.yaml': text });
  const { files } = await folder.run('runbooks/it.test.yaml');
  return files.flatMap(({ problems, tests }) => [
    ...problems.map((problem) => formatProblem(problem).replaceAll(folder.path, '')),
    ...tests.flatMap(({ stopped }) => stopped ?? []),
    ...tests
      .flatMap(({ cases }) => cases)
      .flatMap(({ mismatches, why }) =>
        mismatches.map(({ what, expected, actual }) => `${what}: ${expected} | ${actual} (${why})`),
      ),
  ]);
};
/** Lines of one test, with what is expected of it. */
const test = (runbook: string, lines: readonly string[], expected: readonly string[]): string =>
  [
    `runbook: ${runbook}`,
    'tests:',
    '  - name: a test',
    '    config: ../amends.yaml',
    ...(runbook.startsWith('redis') ? ['    component: cache', '    target: "10.0.0.7:6379"'] : []),
    ...lines.map((line) => `    ${line}`),
    '    runbook_test:',
    ...expected.map((line) => `      ${line}`),
  ].join('\n');

describe('a test of a runbook', () => {
  it('the example of the design holds: the path, the rendered arguments and the outcome', async () => {
    expect(
      await failing(
        test(
          'redis/reconnect',
          [
            'inputs: { idle_over: 30s }',
            'actions: { probe: { outcome: failed }, drop_stale: { outputs: { killed: 3 } }, verify: [ fail, pass, pass, pass ] }',
          ],
          [
            'exp_path: [evidence, probe, drop_stale]',
            'exp_with: { drop_stale: { idle_over: 30s, url: "redis://10.0.0.7:6379" } }',
            'exp_outcome: resolved',
            'exp_outputs: { drop_stale: { killed: 3 } }',
          ],
        ),
      ),
    ).toEqual([]);
  });

  it('a condition that does not hold leaves its step out, and a verification that never passes fails the run', async () => {
    const expected = [
      'exp_path: [evidence, probe]',
      'exp_steps: { probe: succeeded, drop_stale: skipped }',
      'exp_cause: not_verified',
      'exp_outcome: unresolved',
      'exp_degraded: [redis_unavailable]',
      'exp_escalated: null',
    ];
    expect(await failing(test('redis/reconnect', ['actions: { verify: fail }'], expected))).toEqual([]);
  });

  it('a retry has its tries, each with what it comes to; what passes and then fails again did not hold', async () => {
    const tries =
      'drop_stale: [ { outcome: failed, kind: retryable }, { outcome: failed, kind: retryable }, { outputs: { killed: 1 } } ]';
    const good = ['exp_tries: { drop_stale: 3 }', 'exp_outcome: resolved'];
    expect(await failing(test('redis/reconnect', [`actions: { probe: { outcome: failed }, ${tries} }`], good))).toEqual(
      [],
    );
    const fell = ['exp_outcome: unresolved', 'exp_error: did not hold'];
    expect(await failing(test('redis/reconnect', ['actions: { verify: [ pass, pass, pass, fail ] }'], fell))).toEqual(
      [],
    );
  });

  it('a step that takes longer than it may ends as it would live', async () => {
    const expected = [
      'exp_outcome: unresolved',
      'exp_cause: step_failed',
      'exp_steps: { drop_stale: failed }',
      'exp_error: time limit',
    ];
    expect(
      await failing(
        test('redis/reconnect', ['actions: { probe: { outcome: failed }, drop_stale: { takes: 2h } }'], expected),
      ),
    ).toEqual([]);
  });

  it('the last attempt that the caps allow hands it to a human, with the severity of on_exhausted', async () => {
    expect(
      await failing(test('redis/reconnect', ['exhausted: true', 'actions: { verify: fail }'], ['exp_escalated: SEV2'])),
    ).toEqual([]);
  });

  it('a mode that was on is cleared by success', async () => {
    expect(await failing(test('redis/reconnect', ['degraded: [redis_unavailable]'], ['exp_degraded: []']))).toEqual([]);
  });

  const stock = 'look: { outputs: { json: { amount: 7 } } }';
  it('a question is approved unless the test says otherwise; outputs are arguments of later steps', async () => {
    const expected = [
      'exp_path: [close, look, ask, shelve]',
      'exp_with: { shelve: { json: { amount: 7 } } }',
      'exp_outcome: resolved',
      'exp_after: [tell]',
      'exp_inbox: [Mended one]',
      'exp_degraded: [shop_closed]',
    ];
    expect(await failing(test('shop/mend', [`actions: { ${stock} }`], expected))).toEqual([]);
    for (const [said, cause] of [
      ['deny', 'denied'],
      ['expire', 'expired'],
    ])
      expect(
        await failing(
          test(
            'shop/mend',
            [`actions: { ${stock}, ask: ${said} }`],
            ['exp_path: [close, look, ask]', 'exp_steps: { ask: failed }', `exp_error: ${cause}`],
          ),
        ),
      ).toEqual([]);
  });

  it('after a failure what succeeded is undone with what it kept, and an undo that fails is stuck', async () => {
    const shelved = 'shelve: { undo: { before: 3 } }';
    const undone = [
      'exp_outcome: unresolved',
      'exp_undone: [shelve]',
      'exp_with: { undo/shelve: { json: { amount: 3 } } }',
      'exp_steps: { shelve: undone }',
      'exp_escalated: SEV3',
    ];
    expect(
      await failing(test('shop/mend', [`actions: { ${stock}, ${shelved}, verify: { value: 5 } }`], undone)),
    ).toEqual([]);
    const stuck = ['exp_outcome: stuck', 'exp_cause: undo_failed', 'exp_undone: []'];
    expect(
      await failing(
        test(
          'shop/mend',
          [`actions: { ${stock}, ${shelved}, verify: fail, undo: { shelve: { outcome: failed } } }`],
          stuck,
        ),
      ),
    ).toEqual([]);
  });

  it('a rollback takes the place of undo', async () => {
    const expected = ['exp_outcome: unresolved', 'exp_undone: []', 'exp_rollback: [back]'];
    expect(await failing(test('shop/forth', [`actions: { ${stock}, verify: fail }`], expected))).toEqual([]);
  });

  it('what may or may not have happened leaves the run stuck, for a human', async () => {
    const expected = ['exp_outcome: stuck', 'exp_cause: indeterminate', 'exp_steps: { shelve: unknown }'];
    expect(
      await failing(
        test('shop/mend', [`actions: { ${stock}, shelve: { outcome: failed, kind: indeterminate } }`], expected),
      ),
    ).toEqual([]);
  });

  it('arguments are checked as the real action checks them', async () => {
    const [said] = await failing(
      test('shop/mend', ['actions: { look: { outcome: succeeded } }'], ['exp_outcome: resolved']),
    );
    expect(said).toMatch(/exp_outcome: resolved \| unresolved \(.*amount/);
  });

  it('every expectation can fail, and says what was expected and what was there', async () => {
    const wrong = [
      'exp_path: [probe]',
      'exp_with: { probe: { timeout: 3s } }',
      'exp_outputs: { probe: { pong: 1 } }',
      'exp_steps: { probe: failed }',
      'exp_tries: { probe: 2 }',
      'exp_outcome: stuck',
      'exp_cause: denied',
      'exp_error: xyz',
      'exp_undone: [probe]',
      'exp_degraded: [redis_unavailable]',
      'exp_escalated: SEV1',
      'exp_inbox: [hello]',
    ];
    const said = await failing(test('redis/reconnect', [], wrong));
    expect(said.map((one) => one.replace(/ \(.*$/, ''))).toEqual([
      'exp_path: ["probe"] | ["evidence","probe"]',
      'exp_with.probe.timeout: 3s | 2s',
      'exp_outputs.probe.pong: 1 | not there',
      'exp_steps.probe: failed | succeeded',
      'exp_tries.probe: 2 | 1',
      'exp_outcome: stuck | resolved',
      'exp_cause: denied | verified',
      'exp_error: ... xyz ... | ',
      'exp_undone: ["probe"] | []',
      'exp_degraded: ["redis_unavailable"] | []',
      'exp_escalated: SEV1 | null',
      'exp_inbox: ["hello"] | []',
    ]);
    const after = await failing(
      test('shop/forth', [`actions: { ${stock} }`], ['exp_rollback: [back]', 'exp_after: []']),
    );
    expect(after.map((one) => one.replace(/ \(.*$/, ''))).toEqual([
      'exp_rollback: ["back"] | []',
      'exp_after: [] | ["tell"]',
    ]);
  });
});

describe('a test file of a runbook that is wrong', () => {
  it.each([
    [
      'an unknown step',
      test('redis/reconnect', ['actions: { prob: { outcome: failed } }'], []),
      'mend: did you mean probe?',
    ],
    [
      'an unknown step in the expected path',
      test('redis/reconnect', [], ['exp_path: [evidenc]']),
      'mend: did you mean evidence?',
    ],
    ['an unknown step under arguments', test('redis/reconnect', [], ['exp_with: { drop: {} }']), 'mend: '],
    [
      'an undo of a step that has none',
      test('redis/reconnect', ['actions: { undo: { probe: { outcome: failed } } }'], []),
      'no step with an undo',
    ],
    [
      'an output that the action does not give',
      test('redis/reconnect', ['actions: { drop_stale: { outputs: { kiled: 1 } } }'], []),
      'did you mean killed?',
    ],
    [
      'an answer where no question is',
      test('redis/reconnect', ['actions: { probe: approve }'], []),
      'probe is no question',
    ],
    ['an unknown input', test('redis/reconnect', ['inputs: { idle: 3s }'], ['exp_outcome: resolved']), 'idle'],
    [
      'an unknown runbook',
      test('redis/reconect', [], []).replace('reconect', 'reconect'),
      'did you mean redis/reconnect?',
    ],
    ['an unknown component', test('shop/mend', ['component: stor'], []), 'did you mean store?'],
    ['an unknown target', test('shop/mend', ['target: on'], []), 'did you mean one?'],
    [
      'a target that is not said',
      test('redis/reconnect', [], []).replace('    target: "10.0.0.7:6379"\n', ''),
      '10.0.0.8:6379',
    ],
    ['an unknown key', test('shop/mend', ['action: {}'], []), 'did you mean actions?'],
  ])('%s is said with file, line and mend', async (_, text, said) => {
    const [problem = ''] = await failing(text.replace(/runbook_test:$/, 'runbook_test: {}'));
    expect(problem).toMatch(/^\/runbooks\/it\.test\.yaml:\d+:\d+: /);
    expect(problem).toContain(said);
  });
});
