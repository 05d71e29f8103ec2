// Rules, alerts and surroundings for tests of the rules.
import type { Alert, Labels } from '../../../src/alert/alert.ts';
import { bare } from '../../../src/base/json.ts';
import { factReader } from '../../../src/port/fact.ts';
import type { Fact, FactInput, Facts } from '../../../src/port/fact.ts';
import { loadByName } from '../../../src/port/loader.ts';
import type { ReadFact } from '../../../src/rule/fact.ts';
import type { KnownRunbook } from '../../../src/rule/ladder.ts';
import type { Policy } from '../../../src/rule/limits.ts';
import { defaultPolicy } from '../../../src/config.ts';
import { loadRules } from '../../../src/rule/load.ts';
import type { RuleContext, TextFile } from '../../../src/rule/load.ts';
import type { Rule } from '../../../src/rule/rule.ts';
import type { Attempt } from '../../../src/run/history.ts';

const loadFacts = (): Promise<Facts> => loadByName<Fact>(new URL('../../../src/facts/', import.meta.url), false);
export const facts = await loadFacts();

export const policy: Policy = { ...defaultPolicy, mode: 'auto' };

const runbook = (effect: KnownRunbook['effect'], inputs: KnownRunbook['inputs'] = {}): KnownRunbook => ({
  effect,
  inputs,
});

export const context = (changes: Partial<RuleContext> = {}): RuleContext => ({
  facts,
  runbooks: new Map([
    ['redis/reconnect', runbook('change', { idle_over: { type: 'duration', default: '60s', enum: null } })],
    ['redis/restart_container', runbook('change')],
    ['redis/flush', runbook('destroy')],
    ['database/restore-backup', runbook('destroy', { path: { type: 'string', default: undefined, enum: null } })],
  ]),
  conditionFiles: [],
  recovery: policy,
  components: new Map([
    ['cache', { policy: { ...policy, attempts: [{ max: 2, per: 3_600_000 }] } }],
    ['wide', { policy: { ...policy, attempts: [{ max: 100, per: 3_600_000 }] } }],
  ]),
  degradedModes: new Set(['redis_unavailable']),
  ...changes,
});

export type RuleText = Record<string, unknown> & { name: string };

export const ruleText = (changes: Record<string, unknown> = {}): RuleText => ({
  name: 'redis-connection-lost',
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'RedisDown' }] },
  event: { type: 'remediate', params: { runbook: 'redis/reconnect' } },
  ...changes,
});

export const fileOf = (rule: unknown, file = 'rules/redis/rule.json'): TextFile => ({
  file,
  text: JSON.stringify(rule, null, 2),
});

/** Loads rules that must be fine. */
export const rulesOf = (texts: readonly unknown[], changes: Partial<RuleContext> = {}): readonly Rule[] => {
  const { rules, problems } = loadRules(
    texts.map((text, index) => fileOf(text, `rules/${String(index).padStart(5, '0')}.json`)),
    context(changes),
  );
  if (problems.length > 0)
    throw new Error(problems.map((problem) => `${problem.pointer}: ${problem.message}`).join('\n'));
  return rules;
};

export const codesOf = (rule: unknown, changes: Partial<RuleContext> = {}): string[] =>
  loadRules([fileOf(rule)], context(changes)).problems.map(({ code }) => code);

export const labelsOf = (labels: Record<string, string>): Labels => bare(Object.entries(labels));

export const NOW = Date.parse('2026-03-04T15:30:00Z');

export const alertOf = (labels: Labels, changes: Partial<Alert> = {}): Alert => ({
  status: 'firing',
  labels,
  annotations: labelsOf({}),
  startsAt: NOW - 90_000,
  endsAt: null,
  generatorURL: '',
  flags: [],
  hashed: {},
  ...changes,
});

export const inputOf = (labels: Record<string, string>, changes: Partial<FactInput> = {}): FactInput => ({
  alert: alertOf(labelsOf(labels)),
  now: NOW,
  groupSize: 1,
  component: null,
  target: null,
  rule: 'a-rule',
  strategy: 'reconnect',
  ledger: 'live',
  episodeId: null,
  snapshot: { version: 1, attempts: [], firingTargets: 0, degraded: [] },
  ...changes,
});

export const readerOf = (labels: Record<string, string>, changes: Partial<FactInput> = {}): ReadFact =>
  factReader(facts, { ...inputOf(labels, changes), ledger: 'live' });

export const attemptOf = (changes: Partial<Attempt> = {}): Attempt => ({
  domain: null,
  id: 'attempt',
  ledger: 'live',
  runId: 'run',
  episodeId: 'episode',
  component: 'cache',
  kind: 'redis',
  target: '10.0.0.7:6379',
  strategy: 'reconnect',
  rule: 'redis-connection-lost',
  rung: 0,
  at: NOW - 60_000,
  endedAt: NOW - 30_000,
  outcome: 'resolved',
  cause: 'verified',
  ...changes,
});
