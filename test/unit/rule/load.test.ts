import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { loadRules, digestOfRules } from '../../../src/rule/load.ts';
import { LARGEST_FILE, readSource } from '../../../src/rule/source.ts';
import { codesOf, context, fileOf, policy, ruleText, rulesOf } from './world.ts';

const about = { fact: 'alertname', operator: 'equal', value: 'RedisDown' };
const allOf = (...conditions: unknown[]): Record<string, unknown> => ({ conditions: { all: [about, ...conditions] } });
const env = { fact: 'label.env', operator: 'equal', value: 'prod' };
const remediate = (params: Record<string, unknown>): Record<string, unknown> => ({
  event: { type: 'remediate', params: { runbook: 'redis/reconnect', ...params } },
});

describe('loading rules', () => {
  it('puts every default in and freezes the whole', () => {
    const [rule] = rulesOf([ruleText()]);
    expect(rule).toEqual({
      name: 'redis-connection-lost',
      description: '',
      owner: null,
      file: 'rules/00000.json',
      digest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as unknown,
      priority: 1,
      conditions: { all: [about] },
      event: 'remediate',
      ladder: [{ runbook: 'redis/reconnect', mode: 'approve', with: {} }],
      mode: 'approve',
      limits: { attempts: [], cooldownAfterFailure: null },
      severity: null,
      facts: [{ fact: 'alertname', params: null }],
    });
    expect(Object.isFrozen(rule?.conditions['all'])).toBe(true);
    expect(Object.isFrozen(rule?.ladder)).toBe(true);
  });

  it('reads a ladder with its modes and inputs, and limits in milliseconds', () => {
    const [rule] = rulesOf([
      ruleText(
        remediate({
          runbook: [
            { runbook: 'redis/reconnect', with: { idle_over: '30s' } },
            { runbook: 'redis/restart_container', mode: 'approve' },
            { runbook: 'redis/flush', accept_destructive: true },
          ],
          mode: 'auto',
          limits: { attempts: [{ max: 2, per: '30m' }], max_attempts_per_hour: 3, cooldown_seconds: 600 },
        }),
      ),
    ]);
    expect(rule?.ladder).toEqual([
      { runbook: 'redis/reconnect', mode: 'auto', with: { idle_over: '30s' } },
      { runbook: 'redis/restart_container', mode: 'approve', with: {} },
      { runbook: 'redis/flush', mode: 'auto', with: {} },
    ]);
    expect(rule?.limits).toEqual({
      attempts: [
        { max: 2, per: 1_800_000 },
        { max: 3, per: 3_600_000 },
      ],
      cooldownAfterFailure: 600_000,
    });
  });

  it('reports every problem of every file at once, each with its place, and keeps the good ones', () => {
    const bad =
      '{\n  "name": "bad name",\n  "colour": 1,\n  "conditions": { "all": [\n    { "fact": "alertnam", "operator": "is", "value": "x" },\n    { "fact": "labels.env", "operator": "equal", "value": "x" }\n  ] },\n  "event": { "type": "remediate", "params": { "runbook": "redis/nothing", "mode": "auto" } }\n}';
    const { rules, problems } = loadRules(
      [{ file: 'b.json', text: bad }, { file: 'a.json', text: '{' }, fileOf(ruleText({ name: 'good' }), 'c.json')],
      context(),
    );
    expect(rules.map(({ name }) => name)).toEqual(['good']);
    expect(problems.map(({ file, line, column, pointer, code }) => [file, line, column, pointer, code])).toEqual([
      ['a.json', 1, 2, undefined, 'bad-json'],
      ['b.json', 2, 3, '/name', 'bad-value'],
      ['b.json', 3, 3, '/colour', 'unknown-key'],
      ['b.json', 5, 27, '/conditions/all/0/operator', 'unknown-operator'],
      ['b.json', 6, 7, '/conditions/all/1/fact', 'unknown-fact'],
    ]);
  });

  it('says of a condition what the schema alone knows, and where', () => {
    const { problems } = loadRules([fileOf(ruleText(allOf({ any: [{ ...env, priority: 0 }, env] })))], context());
    expect(problems.map(({ pointer, code }) => [pointer, code])).toEqual([
      ['/conditions/all/1/any/0/priority', 'bad-value'],
    ]);
  });

  it('puts named conditions in, from files that name each other, and into the digest', () => {
    const inner = fileOf({ description: 'where it counts', any: [env] }, 'conditions/in-production.json');
    const outer = fileOf(
      { all: [{ condition: 'in-production' }, { fact: 'label.tier', operator: 'exists', value: true }] },
      'conditions/important.json',
    );
    const text = ruleText(allOf({ condition: 'important' }));
    const [rule] = rulesOf([text], { conditionFiles: [inner, outer] });
    expect(rule?.conditions).toEqual({
      all: [about, { all: [{ any: [env] }, { fact: 'label.tier', operator: 'exists', value: true }] }],
    });
    expect(rule?.facts.map(({ fact }) => fact)).toEqual(['alertname', 'label.env', 'label.tier']);
    const [changed] = rulesOf([text], {
      conditionFiles: [fileOf({ any: [{ ...env, value: 'live' }] }, 'conditions/in-production.json'), outer],
    });
    expect(changed?.digest).not.toBe(rule?.digest);
  });

  it('checks named conditions that no rule uses, and tells of each problem in them once', () => {
    const conditionFiles = [
      fileOf({ all: [{ fact: 'env', operator: 'equal', value: 'x' }] }, 'conditions/broken.json'),
    ];
    const texts = ['one', 'two'].map((name) =>
      fileOf(ruleText({ name, ...allOf({ condition: 'broken' }) }), `rules/${name}.json`),
    );
    for (const files of [[], texts]) {
      const { rules, problems } = loadRules(files, context({ conditionFiles }));
      expect(rules).toEqual([]);
      expect(problems.map(({ file, code, pointer }) => [file, code, pointer])).toEqual([
        ['conditions/broken.json', 'unknown-fact', '/all/0/fact'],
      ]);
    }
  });

  it('I11: gives the same digest for the same meaning, whatever the order of keys, and another for any change', () => {
    const [one] = rulesOf([ruleText({ owner: 'storage' })]);
    const [same] = rulesOf([
      Object.fromEntries(Object.entries(ruleText({ owner: 'storage', $schema: 'anywhere' })).toReversed()),
    ]);
    expect(same?.digest).toBe(one?.digest);
    const others = [
      ruleText(),
      ruleText({ owner: 'web' }),
      ruleText({ priority: 2 }),
      ruleText(remediate({ mode: 'auto' })),
      ruleText(allOf(env)),
    ];
    expect(new Set([one?.digest, ...others.map((text) => rulesOf([text])[0]?.digest)]).size).toBe(6);
    const two = rulesOf([ruleText({ name: 'a' }), ruleText({ name: 'b' })]);
    expect(digestOfRules(two)).toBe(digestOfRules(two.toReversed()));
    expect(digestOfRules(two)).not.toBe(digestOfRules(two.slice(1)));
  });

  it('checks a rule that is to be ignored, and leaves it out', () => {
    expect(rulesOf([ruleText({ ignore: true })])).toEqual([]);
    expect(codesOf(ruleText({ ignore: true, conditions: { all: [] } }))).toEqual(['empty-all']);
  });

  it('takes a negative with an exists around it, also from further out', () => {
    const exists = { fact: 'label.env', operator: 'exists', value: true };
    const unequal = { fact: 'label.env', operator: 'notEqual', value: 'dev' };
    expect(codesOf(ruleText(allOf(exists, unequal)))).toEqual([]);
    expect(codesOf(ruleText(allOf(exists, { any: [unequal, { all: [unequal] }] })))).toEqual([]);
    expect(codesOf(ruleText(allOf(exists, { not: env })))).toEqual([]);
    expect(codesOf(ruleText(allOf({ not: { any: [{ ...exists, value: false }, env] } })))).toEqual([]);
    expect(codesOf(ruleText(allOf({ not: exists })))).toEqual([]);
    expect(codesOf(ruleText(allOf({ any: [exists, unequal] })))).toEqual(['unguarded-negative']);
    expect(codesOf(ruleText(allOf({ ...exists, value: false }, unequal)))).toEqual(['unguarded-negative']);
    expect(codesOf(ruleText(allOf({ not: { all: [exists, env] } })))).toEqual(['unguarded-negative']);
    expect(codesOf(ruleText(allOf({ not: { not: unequal } })))).toEqual(['unguarded-negative']);
    expect(codesOf(ruleText(allOf({ fact: 'label.tier', operator: 'exists', value: true }, unequal)))).toEqual([
      'unguarded-negative',
    ]);
    expect(codesOf(ruleText(allOf({ fact: 'target', operator: 'notIn', value: ['a'] })))).toEqual([
      'unguarded-negative',
    ]);
    expect(codesOf(ruleText(allOf({ fact: 'last_outcome', operator: 'notEqual', value: 'failure' })))).toEqual([]);
  });

  it('asks for a positive match in every branch', () => {
    const positive = [
      about,
      env,
      { fact: 'component', operator: 'in', value: ['cache'] },
      { fact: 'label.job', operator: 'matches', value: 'redis-.*' },
    ];
    for (const condition of positive) expect(codesOf(ruleText({ conditions: { any: [condition] } }))).toEqual([]);
    const vague = [
      { fact: 'label.job', operator: 'exists', value: true },
      { fact: 'alertname', operator: 'matches', value: '.*' },
      { fact: 'alertname', operator: 'matches', value: '|RedisDown' },
      { fact: 'severity', operator: 'equal', value: 'critical' },
      { fact: 'text', operator: 'contains', value: 'redis' },
      { not: { fact: 'alertname', operator: 'equal', value: 'Watchdog' } },
      { fact: 'alertname', operator: 'notEqual', value: 'Watchdog' },
    ];
    for (const condition of vague) {
      expect(codesOf(ruleText({ conditions: { all: [condition] } }))).toEqual(['no-positive-match']);
      expect(codesOf(ruleText({ conditions: { any: [about, condition] } }))).toEqual(['no-positive-match']);
    }
  });

  it('F31: never takes empty for all', () => {
    expect(codesOf(ruleText({ conditions: { all: [] } }))).toEqual(['empty-all']);
    expect(codesOf(ruleText(allOf({ any: [] })))).toEqual(['empty-any']);
    for (const [operator, value] of [
      ['in', []],
      ['notIn', []],
      ['startsWith', ''],
      ['contains', ''],
      ['matches', ''],
      ['cidr', []],
    ] as const) {
      expect(
        codesOf(
          ruleText(
            allOf({ fact: 'label.env', operator: 'exists', value: true }, { fact: 'label.env', operator, value }),
          ),
        ),
      ).toEqual(['bad-value']);
    }
    expect(codesOf(ruleText(remediate({ runbook: [] })))).toEqual(['bad-value']);
    expect(codesOf(ruleText(remediate({ limits: { attempts: [] } })))).toEqual(['bad-value']);
  });

  it('lets a rule tighten what its component has, and nothing else', () => {
    const limited = (limits: unknown, component?: string): string[] =>
      codesOf(
        ruleText({
          ...(component === undefined ? {} : allOf({ fact: 'component', operator: 'equal', value: component })),
          ...remediate({ limits }),
        }),
      );
    const attempts = (max: number, per: string): unknown => ({ attempts: [{ max, per }] });
    expect(policy.attempts[0]).toEqual({ max: 3, per: 3_600_000 });
    expect(limited(attempts(3, '1h'))).toEqual([]);
    expect(limited(attempts(4, '1h'))).toEqual(['looser-limit']);
    expect(limited(attempts(4, '10m'))).toEqual(['looser-limit']);
    expect(limited(attempts(6, '2h'))).toEqual([]);
    expect(limited(attempts(10, '12h'))).toEqual(['looser-limit']);
    expect(limited(attempts(3, '1h'), 'cache')).toEqual(['looser-limit']);
    expect(limited(attempts(50, '1h'), 'wide')).toEqual([]);
    expect(limited(attempts(3, '1h'), 'undeclared')).toEqual([]);
    expect(limited({ cooldown: { after_failure: '5m' } })).toEqual([]);
    expect(limited({ cooldown_seconds: 299 })).toEqual(['looser-limit']);
    expect(limited({ cooldown_seconds: 300, cooldown: { after_failure: '5m' } })).toEqual(['bad-value']);
    expect(limited(attempts(1, '0'))).toEqual(['bad-value']);
  });

  it('F32: knows that no label names a target: templates fill inputs alone, from a closed set of contexts', () => {
    const withInput = (value: unknown): string[] => codesOf(ruleText(remediate({ with: { idle_over: value } })));
    expect(withInput('${{ label.idle }}')).toEqual([]);
    expect(withInput('${{ label["k8s.pod"] }}')).toEqual([]);
    expect(withInput('${{ steps.a.outputs.b }}')).toEqual(['bad-template']);
    expect(withInput('${{ label.idle')).toEqual(['bad-template']);
    expect(withInput('a while')).toEqual(['bad-input']);
    expect(withInput(30)).toEqual(['bad-input']);
  });

  it('asks for consent to destroy only where nobody else is asked', () => {
    expect(codesOf(ruleText(remediate({ runbook: 'redis/flush' })))).toEqual([]);
    expect(codesOf(ruleText(remediate({ runbook: 'redis/flush', mode: 'auto' })))).toEqual(['destructive-auto']);
    expect(codesOf(ruleText(remediate({ runbook: 'redis/flush', mode: 'auto', accept_destructive: true })))).toEqual(
      [],
    );
    expect(codesOf(ruleText(remediate({ runbook: { runbook: 'redis/flush', mode: 'auto' } })))).toEqual([
      'destructive-auto',
    ]);
    expect(
      codesOf(ruleText(remediate({ runbook: { runbook: 'redis/flush', mode: 'approve' }, mode: 'auto' }))),
    ).toEqual([]);
  });
});

describe('C11: rule files that are bombs', () => {
  const withinASecond = (text: string, conditionFiles: { file: string; text: string }[] = []): string[] => {
    const start = performance.now();
    const { problems } = loadRules([{ file: 'bomb.json', text }], context({ conditionFiles }));
    expect(performance.now() - start).toBeLessThan(1_000);
    expect(problems.length).toBeGreaterThan(0);
    return [...new Set(problems.map(({ code }) => code))];
  };

  it('are refused in under a second: deep, cyclic, multiplying or huge', () => {
    const deep = `{"name":"deep","conditions":${'{"all":['.repeat(5_000)}{}${']}'.repeat(5_000)},"event":{"type":"observe"}}`;
    expect(withinASecond(deep)).toEqual(['too-deep']);
    expect(withinASecond('['.repeat(10_000))).toEqual(['too-deep']);
    expect(withinASecond('{"a":'.repeat(20_000))).toEqual(['too-deep']);
    expect(withinASecond(JSON.stringify(ruleText({ description: 'x'.repeat(LARGEST_FILE) })))).toEqual(['too-large']);
    expect(withinASecond(`${' '.repeat(LARGEST_FILE)}{}`)).toEqual(['too-large']);
    expect(withinASecond(`{"name":"${'\\"'.repeat(100_000)}`)).toEqual(['bad-json']);
    expect(withinASecond(JSON.stringify(ruleText(allOf(...Array.from({ length: 1_500 }, () => env)))))).toContain(
      'too-large',
    );
    const layers = Array.from({ length: 18 }, (_, layer) =>
      fileOf(
        { any: layer === 17 ? [env] : [{ condition: `layer-${layer + 1}` }, { condition: `layer-${layer + 1}` }] },
        `conditions/layer-${layer}.json`,
      ),
    );
    expect(withinASecond(JSON.stringify(ruleText(allOf({ condition: 'layer-0' }))), layers)).toEqual(['too-large']);
    const ring = Array.from({ length: 100 }, (_, link) =>
      fileOf({ all: [{ condition: `ring-${(link + 1) % 100}` }] }, `conditions/ring-${link}.json`),
    );
    expect(withinASecond(JSON.stringify(ruleText(allOf({ condition: 'ring-0' }))), ring)).toEqual(['condition-cycle']);
    expect(
      withinASecond(JSON.stringify(ruleText(allOf({ condition: 'self' }))), [
        fileOf({ all: [{ condition: 'self' }] }, 'conditions/self.json'),
      ]),
    ).toEqual(['condition-cycle']);
  });

  it('read as JSON.parse does whatever both take, and never crash on what has been mutated', () => {
    const original = JSON.stringify(
      ruleText({ owner: 'storage', ...allOf(env), ...remediate({ limits: { max_attempts_per_hour: 2 } }) }),
      null,
      1,
    );
    const [digest] = rulesOf([JSON.parse(original)]).map((rule) => rule.digest);
    fc.assert(
      fc.property(
        fc.nat(original.length - 1),
        fc.oneof(
          fc.constantFrom('', '{', '}', '[', ']', '"', ',', '\\', '\u0000', '1e999', 'null', '__proto__'),
          fc.string({ maxLength: 3 }),
        ),
        fc.nat(3),
        (at, put, cut) => {
          const text = original.slice(0, at) + put + original.slice(at + cut);
          const { rules, problems } = loadRules([{ file: 'mutated.json', text }], context());
          expect(rules.length === 1 || problems.length > 0).toBe(true);
          if (text === original) expect(rules[0]?.digest).toBe(digest);
          const source = readSource('mutated.json', text);
          if (source.ok) expect(JSON.stringify(source.value.value)).toBe(JSON.stringify(JSON.parse(text)));
          for (const problem of problems) expect(problem.message).not.toBe('');
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it('are refused, not crashed on, whatever stands in place of any part of them', () => {
    const whole = JSON.stringify(
      ruleText({
        ...allOf(
          { any: [env, { not: env }] },
          { fact: 'attempts', params: { window: '1h' }, operator: 'lessThan', value: 2 },
        ),
        ...remediate({
          runbook: ['redis/reconnect', { runbook: 'redis/flush' }],
          limits: { attempts: [{ max: 1, per: '1h' }] },
          with: { idle_over: '1s' },
        }),
      }),
    );
    const places: (string | number)[][] = [];
    const visit = (value: unknown, path: (string | number)[]): void => {
      places.push(path);
      if (typeof value !== 'object' || value === null) return;
      for (const [key, member] of Object.entries(value))
        visit(member, [...path, Array.isArray(value) ? Number(key) : key]);
    };
    visit(JSON.parse(whole), []);
    const replaced = (path: readonly (string | number)[], put: unknown): unknown => {
      if (path.length === 0) return put;
      const root = JSON.parse(whole) as Record<string | number, unknown>;
      const parent = path
        .slice(0, -1)
        .reduce<Record<string | number, unknown>>((at, key) => at[key] as Record<string | number, unknown>, root);
      parent[path.at(-1) as string] = put;
      return root;
    };
    fc.assert(
      fc.property(
        fc.constantFrom(...places),
        fc.oneof(
          fc.jsonValue({ maxDepth: 2 }),
          fc.constantFrom<unknown>({}, [], '', null, 0, { fact: 'x' }, { path: 'x' }, [[]]),
        ),
        (path, put) => {
          const { rules, problems } = loadRules([fileOf(replaced(path, put))], context());
          expect(rules.length === 1 || problems.length > 0).toBe(true);
          for (const { code, line } of problems)
            expect([/^[a-z-]+$/.test(code), (line ?? 0) > 0]).toEqual([true, true]);
        },
      ),
      { numRuns: 1_000 },
    );
  });
});
