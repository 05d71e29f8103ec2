import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { compileCondition, compileExpect } from '../../../src/runbook/expression.ts';
import type { Json } from '../../../src/base/json.ts';

const scope = {
  steps: new Map([
    ['probe', new Set(['ms', 'ratio', 'items', 'text', 'nested'])],
    ['later', null],
  ]),
  inputs: { share: { type: 'number' }, name: { type: 'string' }, force: { type: 'boolean' }, hosts: { type: 'list' } },
} as const;
const context: Readonly<Record<string, Json>> = {
  inputs: { share: 3, name: 'orders', force: true, hosts: ['a', 'b'] },
  target: { name: '10.0.0.7:6379', labels: { zone: 'a', 'k8s.pod': 'p-1' } },
  connect: { port: 6379, url: 'redis://h' },
  component: { name: 'cache', kind: 'redis', team: '' },
  alert: { labels: { alertname: 'RedisDown', constructor: 'x' }, annotations: {}, starts_at: 0 },
  run: { mode: 'auto', rung: 0 },
  steps: {
    probe: {
      outcome: 'failed',
      outputs: { ms: 12, ratio: 0.5, items: [1, 2, 3], text: 'abc', nested: { deep: [{ ok: true }] } },
      error: 'refused',
    },
    later: { outcome: 'pending', outputs: {}, error: '' },
  },
};
const evaluate = (text: string, failed = false): boolean | string => {
  const compiled = compileCondition(text, scope);
  if (!compiled.ok) return compiled.problems.map((problem) => problem.code).join();
  const result = compiled.value.evaluate(context, failed);
  return result.ok ? result.value : result.problems.map((problem) => problem.code).join();
};

describe('compileCondition', () => {
  it.each([
    ['steps.probe.outcome == "failed"', true],
    ["steps.probe.outcome == 'failed' && inputs.force", true],
    ['steps.later.outcome == "pending"', true],
    ['steps.probe.outputs.ms > 10', true],
    ['steps.probe.outputs.ms == 12', true],
    ['steps.probe.outputs.ms / 5 == 2', true],
    ['steps.probe.outputs.ratio < 1', true],
    ['inputs.share == 3', true],
    ['inputs.share > 2.5', true],
    ['size(steps.probe.outputs.items) == 3', true],
    ['steps.probe.outputs.items[0] == 1', true],
    ['steps.probe.outputs.nested.deep[0].ok', true],
    ['steps.probe.outputs.items.exists(i, i > 2)', true],
    ['"b" in inputs.hosts', true],
    ['inputs.name.startsWith("ord")', true],
    ['target.labels["k8s.pod"] == "p-1"', true],
    ['has(steps.later.outputs.anything)', false],
    ['has(steps.later.outputs.anything) && steps.later.outputs.anything > 3', false],
    ['alert.labels.alertname in ["RedisDown", "RedisSlow"]', true],
    ['connect.port == 6379', true],
    ['!inputs.force', false],
    ['inputs.force ? steps.probe.outputs.ms > 1 : false', true],
    ['true', true],
    ['steps.probe.error.contains("refused")', true],
  ])('evaluates %s to %s', (text, value) => expect(evaluate(text)).toBe(value));

  it('knows failed() and always(), and says that they lift the rule', () => {
    expect(evaluate('failed()', true)).toBe(true);
    expect(evaluate('failed()', false)).toBe(false);
    expect(evaluate('always()', true)).toBe(true);
    const lifted = compileCondition('failed() && inputs.force', scope);
    expect(lifted.ok && lifted.value.lifts).toBe(true);
    const plain = compileCondition('inputs.name == "failed()"', scope);
    expect(plain.ok && plain.value.lifts).toBe(false);
  });

  it.each([
    ['success()', 'foreign-spelling'],
    ['failure()', 'foreign-spelling'],
    ['cancelled()', 'foreign-spelling'],
    ['${{ failed() }}', 'foreign-spelling'],
    ["contains(inputs.name, 'a')", 'foreign-spelling'],
    ["startsWith(inputs.name, 'a')", 'foreign-spelling'],
    ["format('{0}', inputs.name) == ''", 'foreign-spelling'],
    ['steps.probe.conclusion == "failed"', 'foreign-spelling'],
    ['steps.probe.outcome = "failed"', 'foreign-spelling'],
    ['inputs.force and inputs.force', 'foreign-spelling'],
    ['not inputs.force', 'foreign-spelling'],
    ['steps.probe.outcome == "success"', 'unknown-outcome'],
    ['"cancelled" != steps.probe.outcome', 'unknown-outcome'],
    ['github.event_name == "x"', 'unknown-context'],
    ['env.STAGE == "x"', 'unknown-context'],
    ['needs.a.outputs.b', 'unknown-context'],
    ['steps.prob.outcome == "failed"', 'unknown-name'],
    ['steps.probe.outputs.mss == 3', 'unknown-name'],
    ['steps.probe.status == "failed"', 'unknown-name'],
    ['inputs.sahre == 3', 'unknown-name'],
    ['target.zone == "a"', 'unknown-name'],
    ['inputs.name == 3', 'unlike-types'],
    ['steps.probe.outcome == 1', 'unlike-types'],
    ['target == "10.0.0.7:6379"', 'unlike-types'],
    ['target.labels.zone == 1', 'unlike-types'],
    ['1 == "1"', 'unlike-types'],
    ['inputs.name', 'not-a-condition'],
    ['1 + 1', 'not-a-condition'],
    ['inputs.name.matches("^(a+)+$")', 'bad-condition'],
    ['inputs.hosts.exists(a, inputs.hosts.exists(b, a == b))', 'bad-condition'],
    ['inputs.hosts.map(a, inputs.hosts.filter(b, true)) == []', 'bad-condition'],
    ['cel.bind(x, inputs.force, x)', 'bad-condition,unknown-context,unknown-context'],
    ['timestamp("2020-01-01T00:00:00Z").getHours() == 1', 'bad-condition,bad-condition'],
    ['inputs.name.split("").size() > 1', 'bad-condition'],
    ['b"x" == b"x"', 'bad-condition'],
    ['dyn(inputs) == 1', 'bad-condition,bad-condition'],
    ['((((((((((((((((((((((((((((((true))))))))))))))))))))))))))))))', 'bad-condition'],
    [`${'!'.repeat(300)}true`, 'bad-condition'],
    [Array.from({ length: 150 }, () => 'true').join('||'), 'bad-condition'],
    [`"${'x'.repeat(1_000)}" == ""`, 'bad-condition'],
    ['inputs.', 'bad-condition'],
    ['steps.probe.outcome == "failed" &&', 'bad-condition'],
  ])('refuses %s as %s, with a mend', (text, code) => {
    const compiled = compileCondition(text, scope);
    const problems = compiled.ok ? [] : compiled.problems;
    expect(
      problems
        .map((problem) => problem.code)
        .toSorted()
        .join(),
    ).toBe(code.split(',').toSorted().join());
    for (const problem of problems) expect(problem.mend).toEqual(expect.any(String));
  });

  it('C5: reaches no inherited member, and calls nothing', () => {
    for (const text of [
      'inputs.constructor == inputs.constructor',
      'steps.constructor.outcome == "failed"',
      'steps.__proto__.outcome == "failed"',
      'connect.constructor.constructor("return 1")() == 1',
      'connect["__proto__"].polluted == 1',
      'alert.labels.__proto__ == "x"',
      'alert.labels.toString == "x"',
      'connect.hasOwnProperty("url")',
      'connect.url.constructor == "x"',
      'steps.probe.outputs.items.constructor == "x"',
      'steps.probe.outputs.items.length == 3',
      'run.get("mode") == "auto"',
      'run.size == 2',
    ]) {
      expect([text, typeof evaluate(text)]).toEqual([text, 'string']);
    }
    expect(evaluate('alert.labels.constructor == "x"')).toBe(true);
    expect(evaluate('has(connect.constructor)')).toBe(false);
  });

  it('gives an error, never a no, for what cannot be evaluated', () => {
    expect(evaluate('steps.later.outputs.n == 3')).toBe('condition-failed');
    expect(evaluate('steps.probe.outputs.items[7] == 3')).toBe('condition-failed');
    expect(evaluate('steps.probe.outputs.ms / 0 == 1')).toBe('condition-failed');
    expect(evaluate('steps.probe.outputs.text')).toBe('not-a-condition');
    expect(evaluate('steps.probe.outputs.ms == "12"')).toBe('unlike-types');
    expect(evaluate('steps.probe.outputs.text > 3')).toBe('unlike-types');
    const compiled = compileCondition('inputs.force', scope);
    expect(compiled.ok && compiled.value.evaluate({}).ok).toBe(false);
  });

  it('never throws, whatever text it is given', () => {
    const word = fc.constantFrom(
      'steps',
      'inputs',
      '.probe',
      '.outcome',
      '.outputs',
      '["a"]',
      '[0]',
      '==',
      '!=',
      '&&',
      '||',
      '!',
      '(',
      ')',
      '"x"',
      '1',
      '1.5',
      'in',
      '[1]',
      '{}',
      '{"a": 1}',
      '?',
      ':',
      'has',
      '.exists',
      'x',
      ',',
      'true',
      'null',
      '-',
      '+',
      '1u',
      'b"x"',
      '\n',
      '//',
      '\\',
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 14 }), (words) => {
        const compiled = compileCondition(words.join(' '), scope);
        if (compiled.ok) compiled.value.evaluate(context);
      }),
      { numRuns: 3_000 },
    );
  });
});

describe('compileExpect', () => {
  it('sees the outputs of its own check and nothing else', () => {
    const compiled = compileExpect('outputs.ms < 10 && outputs.role == "master"', new Set(['ms', 'role']));
    expect(compiled.ok && compiled.value.evaluate({ outputs: { ms: 3, role: 'master' } })).toEqual({
      ok: true,
      value: true,
    });
    expect(compiled.ok && compiled.value.evaluate({ outputs: { role: 'master' } }).ok).toBe(false);
    expect(compileExpect('outputs.mss < 10', new Set(['ms'])).ok).toBe(false);
    expect(compileExpect('steps.a.outcome == "failed"', null).ok).toBe(false);
    expect(compileExpect('failed()', null).ok).toBe(false);
  });
});
