// What got code to run out of jsonpath-plus' safe evaluator, expr-eval and their like, and what else might.
import { createRequire } from 'node:module';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Json, JsonObject } from '../../../src/base/json.ts';
import { evaluateConditions } from '../../../src/rule/evaluate.ts';
import type { FactValue } from '../../../src/rule/fact.ts';
import { loadRules } from '../../../src/rule/load.ts';
import { context, fileOf, ruleText } from './world.ts';

const SENTINEL = '__amendsEscaped';
const set = `globalThis.${SENTINEL}=1`;
const PAYLOADS: readonly string[] = [
  `$..[?(${set})]`,
  `$[(${set})]`,
  `$..[?(@.constructor.constructor("${set}")())]`,
  `$[?(this.constructor.constructor("${set}")())]`,
  `$[?(constructor.constructor("${set}")())]`,
  `$..[?(p="console.log(this.process.mainModule.require('child_process').execSync('id').toString());${set}";a=''[['constructor']][['constructor']](p);a())]`,
  `$..[?(''.sub.constructor("${set}")())]`,
  `$[?(con = "constructor", x = String[con][con]("${set}"), x())]`,
  `$[?(({__proto__: []}).constructor.constructor("${set}")())]`,
  `$..[?(@['constructor']['constructor']("${set}")())]`,
  `$..[?(@["const"+"ructor"]["const"+"ructor"]("${set}")())]`,
  `$..[?(@[\`constructor\`][\`constructor\`]("${set}")())]`,
  `$..[?(@[['constructor']][['constructor']]("${set}")())]`,
  `$..[?(Array.prototype.map.constructor("${set}")())]`,
  `$..[?(Object.getPrototypeOf(function(){}).constructor("${set}")())]`,
  `$..[?((()=>{}).constructor("${set}")())]`,
  `$..[?((async()=>{}).constructor("${set}")())]`,
  `$..[?((function*(){}).constructor("${set}")().next())]`,
  `$..[?([].filter.constructor("${set}")())]`,
  `$..[?(@.toString.call.call(''.constructor.constructor("${set}")))]`,
  `$..[?(@.__defineGetter__('x',''.constructor.constructor("${set}")),@.x)]`,
  `$..[?(@.__proto__.polluted=1)]`,
  `$..[?(@.constructor.prototype.polluted=1)]`,
  `$..[?(Reflect.construct(''.constructor.constructor,["${set}"])())]`,
  `$..[?(new ''.constructor.constructor("${set}"))]`,
  `$..[?(eval("${set}"))]`,
  `$..[?(import("data:text/javascript,${set}"))]`,
  `$..[?(setTimeout("${set}"))]`,
  `$..[?(process.mainModule.require("vm").runInThisContext("${set}"))]`,
  `$..[?(process.binding("spawn_sync"))]`,
  `$..[?(require("child_process").execSync("id"))]`,
  `$..[?(global.process.mainModule.constructor._load("fs"))]`,
  `$..[?(WebAssembly.constructor.constructor("${set}")())]`,
  `$..[?(_$_v.constructor.constructor("${set}")())]`,
  `$..[?(_$_root.constructor.constructor("${set}")())]`,
  `$..[?(@path.constructor.constructor("${set}")())]`,
  `$..[?(@parent.constructor.constructor("${set}")())]`,
  `$..[?(@root["\\u0063onstructor"].constructor("${set}")())]`,
  `$.\`constructor`,
  `$^^^~`,
  `\${${set}}`,
  `#{${set}}`,
  `{{constructor.constructor("${set}")()}}`,
  `f(x)=x.constructor;f(f)("${set}")()`,
  `__proto__.__defineGetter__("x",${set})`,
  `x=toString;x.constructor("${set}")()`,
];

const leaf = { fact: 'alertname', operator: 'equal', value: 'RedisDown' };
const about = { fact: 'alertname', operator: 'equal', value: 'RedisDown' };
const SLOTS: ReadonlyArray<readonly [string, (payload: string) => JsonObject]> = [
  ['path', (payload) => ({ ...leaf, path: payload })],
  ['value.path', (payload) => ({ ...leaf, value: { fact: 'alertname', path: payload } })],
  ['value without a fact', (payload) => ({ ...leaf, value: { path: payload } })],
  ['params', (payload) => ({ ...leaf, params: { path: payload } })],
  [
    'params of a fact that takes some',
    (payload) => ({ fact: 'attempts', params: { path: payload, [payload]: payload }, operator: 'equal', value: 1 }),
  ],
  ['fact', (payload) => ({ ...leaf, fact: payload })],
  ['operator', (payload) => ({ ...leaf, operator: payload })],
];

const escaped = (): unknown =>
  (globalThis as Record<string, unknown>)[SENTINEL] ?? ({} as Record<string, unknown>)['polluted'];

describe('C1: code in a rule file', () => {
  beforeEach(() => {
    Reflect.deleteProperty(globalThis, SENTINEL);
  });
  afterEach(() => {
    expect(escaped()).toBeUndefined();
  });

  it('comes in at least thirty forms', () => {
    expect(new Set(PAYLOADS).size).toBeGreaterThanOrEqual(30);
  });

  it.each(SLOTS)('is refused at load in %s', (_slot, conditionOf) => {
    for (const payload of PAYLOADS) {
      const rule = ruleText({ conditions: { all: [about, conditionOf(payload)] } });
      const { rules, problems } = loadRules([fileOf(rule)], context());
      expect([payload, rules.length, problems.length > 0]).toEqual([payload, 0, true]);
    }
  });

  it.each(SLOTS)(
    'does not run with the schema off either, in %s, and jsonpath is never reached',
    async (_slot, conditionOf) => {
      const rich = { a: { b: [1, 'x'] }, alertname: 'RedisDown' } as unknown as FactValue;
      for (const payload of PAYLOADS) {
        const condition = conditionOf(payload);
        const facts = new Set(['alertname', 'attempts', payload]);
        const asked: Json[] = [];
        const told = await evaluateConditions({ all: [about, condition] }, facts, (fact, params) => {
          asked.push([fact, params]);
          return rich;
        }).then(
          () => 'no error',
          (error: unknown) => String(error),
        );
        expect(told).not.toContain('jsonpath');
        if (Object.hasOwn(condition, 'path')) expect(told).toBe('Error: a condition may not have a path');
        expect(escaped()).toBeUndefined();
      }
    },
  );

  it('would meet a stub that throws, where the engine looks for jsonpath-plus', () => {
    const require = createRequire(import.meta.url);
    const stub = require('jsonpath-plus') as { JSONPath: () => unknown };
    expect(() => stub.JSONPath()).toThrow('jsonpath is not available in amends rules');
    const fromEngine = createRequire(require.resolve('json-rules-engine'));
    expect(fromEngine.resolve('jsonpath-plus')).toBe(require.resolve('jsonpath-plus'));
    expect(require.resolve('jsonpath-plus')).toContain('jsonpath-plus-stub');
  });
});
