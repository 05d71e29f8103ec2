// The rules, runbooks and alerts for databases, as shipped: who decides about what, and what each strategy promises.
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { formatProblem } from '../../src/base/failure.ts';
import { loadCatalog } from '../../src/catalog.ts';
import type { Catalog } from '../../src/catalog.ts';
import { loadConfig } from '../../src/config.ts';
import type { Config } from '../../src/config.ts';
import { isApproval } from '../../src/runbook/runbook.ts';
import type { ActionStep, Runbook } from '../../src/runbook/runbook.ts';
import { actions, facts, root, winnerAmong } from '../support/content.ts';

const shop = async (): Promise<{ config: Config; catalog: Catalog }> => {
  const config = await loadConfig(join(root, 'docs/examples/amends.shop.yaml'));
  if (!config.ok) throw new Error(config.problems.map(formatProblem).join('\n'));
  const catalog = await loadCatalog({ config: config.value, actions: await actions(), facts: await facts() });
  if (!catalog.ok) throw new Error(catalog.problems.map(formatProblem).join('\n'));
  return { config: config.value, catalog: catalog.value };
};
const { catalog } = await shop();

const winnerFor = (labels: Readonly<Record<string, string>>): Promise<string | null> =>
  winnerAmong(catalog.rules, 'shop-db', labels);

type AlertRule = {
  alert: string;
  expr: string;
  for?: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
};
const alertRules = (
  (parse(await readFile(join(root, 'alerts/database.yaml'), 'utf8')) as { groups: Array<{ rules: AlertRule[] }> })
    .groups ?? []
).flatMap(({ rules }) => rules);

const expected: ReadonlyArray<
  readonly [alert: string, failureType: string | null, rule: string, ladder: readonly string[]]
> = [
  [
    'DatabaseMissing',
    'database_missing',
    'database-missing',
    ['database/restore-backup auto', 'database/create-fresh approve'],
  ],
  ['DatabaseCorrupt', 'database_corrupt', 'database-corrupt', ['database/restore-backup auto']],
  ['DatabaseLocked', 'database_locked', 'database-locked', ['database/release-lock auto']],
  ['DatabaseTimeout', 'database_timeout', 'database-timeout', ['database/retry-connection auto']],
  ['WalTooLarge', 'wal_too_large', 'wal-too-large', ['database/checkpoint-wal auto']],
  ['DatabaseMigrationFailed', 'migration_failed', 'database-migration-failed', ['database/migrate-down approve']],
  ['DatabaseUnreadable', null, 'database-unreadable', []],
];

describe('the way from an alert to its strategy', () => {
  it.each(expected)(
    '%s is decided by its own rule alone, with its own ladder',
    async (alert, failureType, rule, ladder) => {
      expect(
        await winnerFor({
          alertname: alert,
          component: 'shop-db',
          target: 'orders',
          severity: 'critical',
          remediation: 'amends',
        }),
      ).toBe(rule);
      if (failureType !== null) expect(await winnerFor({ alertname: 'Manual', failure_type: failureType })).toBe(rule);
      const found = catalog.rules.rules.find(({ name }) => name === rule);
      expect(found?.ladder.map((rung) => `${rung.runbook} ${rung.mode}`)).toEqual(ladder);
    },
  );

  it('an alert of any other name is decided by none of them', async () => {
    for (const alertname of ['DatabaseSlow', 'Database', 'databasemissing', 'Watchdog', ''])
      expect(await winnerFor({ alertname })).toBeNull();
  });

  it('every shipped alert has a rule, every shipped rule an alert, and both a folder for their kind', async () => {
    expect(alertRules.map(({ alert }) => alert).toSorted()).toEqual(expected.map(([alert]) => alert).toSorted());
    const files = (await readdir(join(root, 'rules/database'))).filter((file) => file.endsWith('.json'));
    expect(files.toSorted()).toEqual(expected.map(([, , rule]) => `${rule}.json`).toSorted());
  });

  it('every alert is routed to amends and says what it means, and its runbook_url is the page of its first strategy', () => {
    for (const { alert, labels, annotations, ...rest } of alertRules) {
      expect(labels['remediation']).toBe('amends');
      expect(labels['severity']).toMatch(/^(critical|warning)$/);
      expect(rest.for).toBeDefined();
      expect(annotations['summary']).toContain('{{ $labels.target }}');
      expect(annotations['description']).not.toBe('');
      const first = expected.find(([name]) => name === alert)?.[3][0]?.split(' ')[0];
      // Whose rule only calls a human leads to what the human reads about permissions.
      expect(annotations['runbook_url']?.split('/runbooks/')[1]).toBe(first ?? 'system/file_permissions');
    }
  });

  it('every rule says who owns it and why, and points editors at its schema', async () => {
    for (const file of (await readdir(join(root, 'rules/database'))).filter((name) => name.endsWith('.json'))) {
      const rule = JSON.parse(await readFile(join(root, 'rules/database', file), 'utf8')) as Record<string, unknown>;
      expect(rule).toMatchObject({ $schema: '../../schemas/rule.schema.json', name: file.replace('.json', '') });
      expect(String(rule['description']).length).toBeGreaterThan(40);
      expect(rule['owner']).toEqual(expect.any(String));
    }
  });
});

/** Those that alerts lead to; what takes a migration back destroys, and stands in the tests of its own. */
const runbooks = [...catalog.runbooks.values()].filter(
  ({ kind, strategy }) => kind === 'database' && strategy !== 'migrate-down',
);
const named = (strategy: string): Runbook => {
  const found = catalog.runbooks.get(`database/${strategy}`);
  if (found === undefined) throw new Error(`no runbook database/${strategy}`);
  return found;
};
const actionSteps = (runbook: Runbook): readonly ActionStep[] =>
  [...runbook.before, ...runbook.steps, ...runbook.onSuccess.steps].filter(
    (step): step is ActionStep => !isApproval(step),
  );

describe('the five strategies', () => {
  it('are five, and none of them destroys anything', () => {
    expect(runbooks.map(({ strategy }) => strategy).toSorted()).toEqual([
      'checkpoint-wal',
      'create-fresh',
      'release-lock',
      'restore-backup',
      'retry-connection',
    ]);
    for (const runbook of runbooks) expect(runbook.effect).not.toBe('destroy');
  });

  it.each(runbooks.map((runbook) => [runbook.name, runbook] as const))(
    '%s collects evidence before it changes anything, degrades at failure or warns, and tells a human what to do',
    (_name, runbook) => {
      expect(runbook.before.length).toBeGreaterThan(0);
      const first = runbook.before[0];
      expect(first !== undefined && !isApproval(first) && first.effect).toBe('read');
      expect(runbook.onSuccess.clear).toBe('database_unavailable');
      expect(runbook.onExhausted.escalate).toMatch(/^SEV[123]$/);
      expect(runbook.guide).toContain('What happened:');
      expect(runbook.guide.split('\n').length).toBeGreaterThan(10);
      expect(runbook.verify.every((check) => check.type === 'action' && check.uses === 'sqlite.check')).toBe(true);
    },
  );

  it('a strategy that changes an existing file makes a backup first', () => {
    for (const strategy of ['checkpoint-wal', 'release-lock', 'restore-backup']) {
      expect(named(strategy).before.some((step) => !isApproval(step) && step.uses === 'sqlite.backup')).toBe(true);
    }
  });

  it('a backup that a strategy makes never drives out the backups that are there', () => {
    for (const step of runbooks.flatMap(actionSteps).filter(({ uses }) => uses === 'sqlite.backup'))
      expect(step.with).toMatchObject({ keep: 1000 });
  });

  it('retry-connection looks at once and again after 1 s, 2 s and 4 s, and changes nothing', () => {
    const [connect] = named('retry-connection').steps;
    expect(connect !== undefined && !isApproval(connect) && connect.retry).toEqual({
      attempts: 4,
      delay: 1_000,
      factor: 2,
    });
    expect(named('retry-connection').effect).toBe('read');
  });

  it('release-lock names who may be ended, and has no step that removes a file', () => {
    const [release] = named('release-lock').steps;
    expect(release).toMatchObject({ uses: 'sqlite.release-lock', with: { only: '${{ connect.holders }}' } });
    expect(actionSteps(named('release-lock')).map(({ uses }) => uses)).toEqual([
      'locks.holders',
      'sqlite.backup',
      'sqlite.release-lock',
    ]);
  });

  it('restore-backup keeps the damaged file before it replaces it, and is verified by the full check', () => {
    const runbook = named('restore-backup');
    expect(runbook.before.map(({ id }) => id)).toEqual(['look', 'holders', 'evidence']);
    const evidence = runbook.before[2] as ActionStep;
    expect(evidence).toMatchObject({ uses: 'sqlite.backup', continueOnError: false, with: { raw_ok: true } });
    expect(runbook.verify[0]).toMatchObject({ with: { integrity: 'full' } });
  });

  it('create-fresh cannot be done twice, and a look settles it after a crash', () => {
    const [create] = named('create-fresh').steps;
    expect(create).toMatchObject({ idempotent: false, probe: { uses: 'sqlite.check' } });
  });

  it('every strategy has a time limit', () => {
    for (const runbook of runbooks) expect(runbook.timeout).toBeLessThanOrEqual(15 * 60_000);
  });
});
