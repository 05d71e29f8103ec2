// The rules, runbooks and alerts for Open WebUI, applications, tasks of language models and far hosts, as shipped: who
// decides about what, and what each strategy promises. What they do is in the tests of each recovery.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { formatProblem } from '../../src/base/failure.ts';
import { loadCatalog } from '../../src/catalog.ts';
import { loadConfig } from '../../src/config.ts';
import { isApproval } from '../../src/runbook/runbook.ts';
import { actions, facts, root, winnerAmong } from '../support/content.ts';

const shipped = async () => {
  const config = await loadConfig(join(root, 'amends.yaml'));
  if (!config.ok) throw new Error(config.problems.map(formatProblem).join('\n'));
  const catalog = await loadCatalog({ config: config.value, actions: await actions(), facts: await facts() });
  if (!catalog.ok) throw new Error(catalog.problems.map(formatProblem).join('\n'));
  return { config: config.value, catalog: catalog.value };
};
const { config, catalog } = await shipped();

const winnerFor = (labels: Readonly<Record<string, string>>): Promise<string | null> =>
  winnerAmong(catalog.rules, 'any', labels);

type AlertRule = {
  alert: string;
  expr: string;
  for?: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
};
const alertsOf = (kind: string): readonly AlertRule[] =>
  (
    parse(readFileSync(join(root, `alerts/${kind}.yaml`), 'utf8')) as { groups: Array<{ rules: AlertRule[] }> }
  ).groups.flatMap(({ rules }) => rules);

/** Alert or failure type, the rule that decides, its ladder. */
const expected: ReadonlyArray<
  readonly [kind: string, alert: string, failureType: string, rule: string, ladder: readonly string[]]
> = [
  [
    'openwebui',
    'OpenWebUIAuthFailure',
    'auth_failure',
    'openwebui-auth-failure',
    ['openwebui/token_refresh auto', 'openwebui/graceful_degradation auto'],
  ],
  [
    'openwebui',
    'OpenWebUIModelUnavailable',
    'model_unavailable',
    'openwebui-model-unavailable',
    ['openwebui/model_failover auto', 'openwebui/graceful_degradation auto'],
  ],
  [
    'openwebui',
    'OpenWebUIRateLimited',
    'rate_limiting',
    'openwebui-rate-limited',
    ['openwebui/graceful_degradation auto'],
  ],
  [
    'openwebui',
    'OpenWebUIDown',
    'service_unavailable',
    'openwebui-unavailable',
    ['openwebui/graceful_degradation auto'],
  ],
  ['openwebui', 'OpenWebUIBack', 'service_back', 'openwebui-back', ['openwebui/return_to_normal auto']],
  ['application', 'ServiceDown', 'bad_release', 'application-down', ['application/emergency-rollback approve']],
  ['application', 'HighErrorRate', 'bad_release', 'application-down', ['application/emergency-rollback approve']],
  [
    'application',
    'CircuitBreakerOpen',
    'circuit_breaker_open',
    'circuit-breaker-open',
    ['application/reset-breaker auto'],
  ],
  [
    'application',
    'PromotionGateFailure',
    'promotion_stuck',
    'promotion-gate-failure',
    ['application/promote-again approve'],
  ],
  [
    'application',
    'MigrationFailed',
    'bad_migration',
    'application-migration',
    ['application/rollback-with-backup approve'],
  ],
  [
    'application',
    'PlannedRollback',
    'planned_rollback',
    'application-planned-rollback',
    ['application/staged-rollback approve'],
  ],
  ['llm', 'LLMTimeout', 'llm_timeout', 'llm-retry-storm', ['llm/pause-and-resume auto']],
  ['llm', 'LLMRetryStorm', 'llm_timeout', 'llm-retry-storm', ['llm/pause-and-resume auto']],
  ['remote-host', 'RemoteDiskFull', 'remote_disk_full', 'remote-disk-full', ['remote-host/disk-cleanup approve']],
];
const kinds = [...new Set(expected.map(([kind]) => kind))];
const ours = (kind: string) => [...catalog.runbooks.values()].filter((runbook) => runbook.kind === kind);

describe('the way from an alert, or from what another system names, to its strategy', () => {
  it.each(expected)('R2 %s: %s and %s are decided by %s alone', async (_kind, alert, failureType, rule, ladder) => {
    expect(await winnerFor({ alertname: alert })).toBe(rule);
    expect(await winnerFor({ alertname: 'ManualRecovery', failure_type: failureType })).toBe(rule);
    const found = catalog.rules.rules.find(({ name }) => name === rule);
    expect(found?.ladder.map((rung) => `${rung.runbook} ${rung.mode}`)).toEqual(ladder);
  });

  it.each(kinds)(
    'every alert of %s that amends acts on has its rule, and its runbook_url is the page of its first strategy',
    (kind) => {
      for (const { alert, labels, annotations, ...rest } of alertsOf(kind)) {
        if (labels['remediation'] !== 'amends') continue;
        const row = expected.find(([, name]) => name === alert);
        expect([alert, row === undefined]).toEqual([alert, false]);
        expect(rest.for).toBeDefined();
        expect(annotations['summary']).toContain('{{ $labels.target }}');
        expect(annotations['runbook_url']?.split('/runbooks/')[1]).toBe(row?.[4][0]?.split(' ')[0]);
      }
    },
  );

  it.each(kinds)('every rule of %s says who owns it and why, in a file of its name', (kind) => {
    for (const file of readdirSync(join(root, 'rules', kind)).filter((name) => name.endsWith('.json'))) {
      const rule = JSON.parse(readFileSync(join(root, 'rules', kind, file), 'utf8')) as Record<string, unknown>;
      expect(rule).toMatchObject({
        $schema: '../../schemas/rule.schema.json',
        name: file.replace('.json', ''),
        owner: expect.any(String),
      });
      expect(String(rule['description']).length).toBeGreaterThan(40);
    }
  });
});

describe('the alerts of the operations runbook', () => {
  it.each([
    ['ServiceDown', '1m', '== 0'],
    ['HighErrorRate', '5m', '> 0.05'],
    ['CircuitBreakerOpen', '5m', '== 1'],
    ['PromotionGateFailure', '30m', '> 0'],
  ])('O10: %s waits %s and compares %s', (name, wait, comparison) => {
    const alert = alertsOf('application').find((one) => one.alert === name);
    expect(alert?.for).toBe(wait);
    expect(alert?.expr.trim().endsWith(comparison)).toBe(true);
  });
});

describe.each(kinds)('the strategies for %s', (kind) => {
  it.each(ours(kind).map((runbook) => [runbook.strategy, runbook] as const))(
    '%s looks before it acts, can fail its verification, and has a page that helps',
    (_strategy, runbook) => {
      expect(runbook.before.length).toBeGreaterThan(0);
      expect(runbook.verify.length).toBeGreaterThan(0);
      expect(runbook.onExhausted.escalate).toMatch(/^SEV[1234]$/);
      expect(runbook.guide.split('\n').length).toBeGreaterThan(7);
      expect(runbook.guide).toMatch(/\n *1\. |`failed` names/);
      expect(runbook.timeout).toBeLessThanOrEqual(60 * 60_000);
    },
  );

  it('what destroys, or deletes files of others, is never done without a yes', () => {
    const careful = new Set(
      ours(kind)
        .filter((runbook) => runbook.effect === 'destroy' || runbook.name === 'remote-host/disk-cleanup')
        .map(({ name }) => name),
    );
    for (const rule of catalog.rules.rules)
      for (const rung of rule.ladder)
        if (careful.has(rung.runbook)) expect([rule.name, rung.mode]).toEqual([rule.name, 'approve']);
  });

  it('a command that may not run twice says so', () => {
    for (const runbook of ours(kind))
      for (const step of runbook.steps)
        if (!isApproval(step) && (step.id === 'migrate' || step.id === 'downgrade'))
          expect([runbook.name, step.idempotent]).toEqual([runbook.name, false]);
  });
});

it('R18: openwebui_unavailable is declared, with what works and what does not', () => {
  const mode = config.degradedModes.get('openwebui_unavailable');
  expect(mode?.available).toEqual(['direct API calls', 'single model inference', 'basic conversation']);
  expect(mode?.unavailable).toEqual(['multi-model consensus', 'dashboard access', 'model switching']);
});
