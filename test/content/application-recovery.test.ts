// The shipped strategies for applications at work: a real repository, a real process that serves what is checked out in
// it, a real database with a real migration command, and the humans who are asked.
import Database from 'better-sqlite3';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { textOf } from '../support/action-context.ts';
import { serveRepository } from '../support/application.ts';
import { startBreakerApp } from '../support/breaker-app.ts';
import type { BreakerApp } from '../support/breaker-app.ts';
import { startEngine } from '../support/engine.ts';
import type { EngineUnderTest } from '../support/engine.ts';
import { startModelApi } from '../support/openwebui.ts';
import type { ModelApi } from '../support/openwebui.ts';
import { commit, git, makeRepository } from '../support/repository.ts';
import { root, startedHere, until } from '../support/servers.ts';
import type { Running } from '../support/servers.ts';
import { askFor, openInbox, sayYes, storyOf } from '../support/story.ts';

const servers = startedHere();
afterAll(() => servers.stopAll());
let folder: string;
let repository: string;
let database: string;
let app: Running;
let url: string;
let breakers: BreakerApp;
let provider: ModelApi;
let amends: EngineUnderTest;

const configFor = (): string => `
version: 1
rule_files: ["${root}rules/application/*.json"]
runbook_files: ["${root}runbooks/application/*.yaml"]
recovery: { mode: auto }
components:
  shop:
    kind: application
    inventory:
      static:
        - target: web
          connect:
            url: "${url}"
            repository: "${repository}"
            restart: ["/bin/kill", "-HUP", "${app.pid}"]
            database: "${database}"
            backups: "${folder}/backups"
            migration_folder: "${folder}"
            migration_version: ["${process.execPath}", "${root}test/support/migrate.mjs", "current", "${database}"]
            migrate_down: ["${process.execPath}", "${root}test/support/migrate.mjs", "down", "${database}"]
            validation:
              commands: [ { name: smoke test, argv: ["/usr/bin/test", "-f", "${repository}/works"] } ]
              endpoints: [ { url: "${url}/version" } ]
        - target: breakers
          connect:
            url: "${breakers.url}"
            breaker_reset_url: "${breakers.url}/breakers/reset"
            dependencies: [ { url: "${provider.url}/status.json" } ]
            promotions_url: "${breakers.url}/promotions"
            reflection_url: "${breakers.url}/reflection"
            stage_manager_url: "${breakers.url}/stage-manager"
    allow: { actions: ["*"] }
allow:
  hosts: ["${new URL(url).host}", "${breakers.host}", "${provider.host}"]
  paths: ["${folder}"]
  commands: [/usr/bin/git, /bin/kill, /usr/bin/test, "${process.execPath}"]
`;

const V = (version: string, more: Readonly<Record<string, string>> = {}): Record<string, string> => ({
  'version.txt': version,
  'health.txt': '200',
  'schema.txt': '1',
  works: 'yes',
  ...more,
});
const served = async (path: string): Promise<{ status: number; json: { version: string; starts: number } }> => {
  const answer = await fetch(`${url}${path}`);
  return { status: answer.status, json: (await answer.json()) as { version: string; starts: number } };
};
const schema = (): unknown => {
  const opened = new Database(database, { readonly: true });
  try {
    return [opened.pragma('user_version', { simple: true }), opened.prepare('SELECT count(*) AS n FROM orders').get()];
  } finally {
    opened.close();
  }
};
const fire = (alertname: string, target = 'web', more: Readonly<Record<string, string>> = {}): Promise<void> =>
  amends.post([{ labels: { alertname, component: 'shop', target, severity: 'critical', ...more } }]);

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'amends-application-'));
  repository = join(folder, 'repository');
  database = join(folder, 'shop.db');
  mkdirSync(join(folder, 'backups'));
  const opened = new Database(database);
  opened.exec('CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT, discount TEXT)');
  opened.exec(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) INSERT INTO orders (what) SELECT 'order ' || i FROM n",
  );
  opened.pragma('user_version = 2');
  opened.close();
  makeRepository(repository, [V('v1'), V('v2', { 'schema.txt': '' })]);
  git(repository, 'tag', 'last-good');
  commit(repository, { 'health.txt': '500', 'version.txt': 'v3', 'schema.txt': '' }, 'a bad release');
  ({ app, url } = await serveRepository(servers, {
    name: 'app',
    repository,
    portFile: join(folder, 'port'),
    database,
  }));
  [breakers, provider] = await Promise.all([startBreakerApp(), startModelApi()]);
  provider.override = () => ({ json: { ok: true } });
  amends = await startEngine({ config: configFor(), files: {} });
});
afterEach(async () => {
  await amends.close();
  await Promise.all([breakers.close(), provider.close(), app.stop()]);
  rmSync(folder, { recursive: true, force: true });
});

describe('a bad release', () => {
  it('O2: a human is asked, and once they agree the last good version runs within five minutes; what is left to do waits in the inbox', async () => {
    expect((await served('/health')).status).toBe(500);
    await fire('HighErrorRate');
    expect((await storyOf(amends)).run).toMatchObject({ strategy: 'emergency-rollback', state: 'awaiting_approval' });
    expect((await served('/health')).json.version).toBe('v3');
    const start = performance.now();
    const { run, path, outputs } = await sayYes(amends);
    expect(run).toMatchObject({ outcome: 'resolved', cause: 'verified' });
    expect(performance.now() - start).toBeLessThan(300_000);
    expect(path).toEqual([
      'before/triage_health skipped',
      'before/triage_record succeeded',
      'before/triage_holders skipped',
      'before/triage_snapshot skipped',
      'before/running succeeded',
      'before/metrics succeeded',
      'before/backup skipped',
      'steps/revert succeeded',
      'steps/migrate skipped',
      'steps/restart succeeded',
      'steps/ready succeeded',
      'steps/version skipped',
      'steps/smoke succeeded',
      'on_success/follow_up succeeded',
    ]);
    expect(await served('/health')).toMatchObject({ status: 200, json: { version: 'v2', starts: 2 } });
    expect(git(repository, 'rev-parse', textOf(outputs('steps/revert'), 'kept_ref'))).toBe(
      outputs('steps/revert')['from'],
    );
    const [todo] = await openInbox(amends);
    expect(todo).toMatchObject({ kind: 'note', title: 'web of shop was rolled back to last-good: what is left to do' });
    expect(todo?.text).toContain('post-mortem within 24 hours');
  });

  it('O2: with the migration taken back too, after a backup, when that is what was asked for', async () => {
    await askFor(amends, {
      component: 'shop',
      target: 'web',
      strategy: 'emergency-rollback',
      inputs: {
        revision: git(repository, 'rev-parse', 'HEAD~2'),
        migrate_down: true,
        version: 'v1',
      },
    });
    if ((await storyOf(amends)).run.state === 'awaiting_approval') await sayYes(amends, null, 'bob');
    const { run, outputs } = await storyOf(amends);
    expect(run).toMatchObject({ outcome: 'resolved', cause: 'verified' });
    expect(outputs('before/backup')).toMatchObject({ checked: true });
    expect(outputs('steps/migrate')).toMatchObject({ exit_code: 0, stdout: 'downgraded 2 -> 1\n' });
    expect(outputs('steps/version')).toMatchObject({ value: 'v1' });
    expect(schema()).toEqual([1, { n: 200 }]);
    expect((await served('/health')).json.version).toBe('v1');
  });

  it('O2: an old version that does not work either is taken back, and a human has it', async () => {
    git(repository, 'tag', '-f', 'last-good', 'HEAD~1');
    const bad = join(repository, 'works');
    git(repository, 'rm', '-q', '--cached', 'works');
    rmSync(bad);
    commit(
      repository,
      { 'version.txt': 'v4', 'health.txt': '200' },
      'an old release without what the smoke test wants',
    );
    git(repository, 'tag', '-f', 'last-good');
    commit(repository, { 'version.txt': 'v5', 'health.txt': '500' }, 'a bad release');
    await fire('ServiceDown');
    const { run, path, error } = await sayYes(amends);
    expect(run).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
    expect(error('steps/smoke')).toContain('1 of 2 did not pass: smoke test');
    expect(path).toContain('rollback/forth succeeded');
    expect(path).toContain('rollback/restart_forth succeeded');
    expect(git(repository, 'show', 'HEAD:version.txt')).toBe('v5');
    await until('it serves what was there before', async () => (await served('/health')).json.version === 'v5');
  });

  it('O2: what somebody changed on the server is never lost: it refuses, and says which file', async () => {
    writeFileSync(join(repository, 'version.txt'), 'hotfix by hand');
    await fire('ServiceDown');
    const { run, error } = await sayYes(amends);
    expect(run).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
    expect(error('steps/revert')).toContain('changes that nobody committed: version.txt');
    expect(readFileSync(join(repository, 'version.txt'), 'utf8')).toBe('hotfix by hand');
    expect((await served('/starts')).json.starts).toBe(1);
  });

  it('O2: without a yes nothing is done', async () => {
    await fire('ServiceDown');
    const { run } = await storyOf(amends);
    await amends.engine.desk.deny({ runId: run.id, step: null, by: 'ann', comment: 'it is the network' });
    await amends.settle();
    expect((await storyOf(amends)).run).toMatchObject({ outcome: 'withdrawn', cause: 'denied' });
    expect(git(repository, 'show', 'HEAD:version.txt')).toBe('v3');
  });
});

describe('a migration that does harm', () => {
  const good = (): void => {
    commit(repository, { 'health.txt': '200', 'schema.txt': '1', 'version.txt': 'v6' }, 'knows the older schema');
    process.kill(app.pid, 'SIGHUP');
  };

  it('P5: is taken back after a backup with a timestamp, and where the backup is and what the migration said is told', async () => {
    good();
    await fire('MigrationFailed');
    expect((await storyOf(amends)).run).toMatchObject({ strategy: 'rollback-with-backup', state: 'awaiting_approval' });
    expect(schema()).toEqual([2, { n: 200 }]);
    const { run, outputs } = await sayYes(amends);
    expect(run).toMatchObject({ outcome: 'resolved', cause: 'verified' });
    expect(outputs('before/version_before')).toMatchObject({ stdout: '2\n' });
    expect(outputs('before/triage_record')).toMatchObject({ recent_events: expect.any(Array) });
    expect(outputs('steps/downgrade')).toMatchObject({ stdout: 'downgraded 2 -> 1\n' });
    expect(schema()).toEqual([1, { n: 200 }]);
    const [backup = ''] = readdirSync(join(folder, 'backups'));
    expect(backup).toMatch(/^shop-\d{8}T\d{9}Z\.db$/);
    const kept = new Database(join(folder, 'backups', backup), { readonly: true });
    expect([
      kept.pragma('user_version', { simple: true }),
      kept.prepare('SELECT count(*) AS n FROM orders').get(),
    ]).toEqual([2, { n: 200 }]);
    kept.close();
    const [note] = await openInbox(amends);
    expect(note?.text).toContain(backup);
    expect(note?.text).toContain('downgraded 2 -> 1');
    expect((await served('/health')).status).toBe(200);
  });

  it('P5: that cannot be taken back leaves the data as it is, and says what the command said and where the backup is', async () => {
    good();
    const opened = new Database(database);
    opened.pragma('user_version = 1');
    opened.close();
    await fire('MigrationFailed');
    const { run, error } = await sayYes(amends);
    expect(run).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
    expect(error('steps/downgrade')).toContain('there is no migration to take back');
    expect(schema()).toEqual([1, { n: 200 }]);
    expect((await openInbox(amends)).find(({ kind }) => kind === 'note')?.text).toContain('Backup: ');
    expect((await served('/starts')).json.starts).toBe(2);
  });

  it('P5: without a backup that can be made, nothing is taken back', async () => {
    good();
    rmSync(join(folder, 'backups'), { recursive: true });
    writeFileSync(join(folder, 'backups'), 'in the way');
    await fire('MigrationFailed');
    const { run, path } = await sayYes(amends);
    expect(run).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
    expect(path.filter((step) => step.startsWith('steps/'))).toEqual([]);
    expect(schema()).toEqual([2, { n: 200 }]);
  });
});

describe('after an incident', () => {
  it('P6: everything on the list has to pass before it counts as over', async () => {
    commit(repository, { 'health.txt': '200' }, 'mended');
    process.kill(app.pid, 'SIGHUP');
    await askFor(amends, { component: 'shop', target: 'web', strategy: 'validate' });
    const { run, outputs } = await storyOf(amends);
    expect(run).toMatchObject({ strategy: 'validate', outcome: 'resolved', cause: 'verified' });
    expect(outputs('steps/validate')).toMatchObject({ passed: 2, failed: [] });
  });

  it('P6: a smoke test that does not pass makes it unresolved, by name, although the service answers', async () => {
    commit(repository, { 'health.txt': '200' }, 'mended');
    process.kill(app.pid, 'SIGHUP');
    rmSync(join(repository, 'works'));
    await askFor(amends, { component: 'shop', target: 'web', strategy: 'validate' });
    const { run, outputs } = await storyOf(amends);
    expect(run).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
    expect(outputs('steps/validate')).toMatchObject({ passed: 1, failed: ['smoke test'] });
  });
});

describe('a circuit breaker that is stuck open', () => {
  it('O7: is closed when its dependency is healthy, with the metrics before and after on record', async () => {
    breakers.states = { generator: 'open', reflector: 'open' };
    await fire('CircuitBreakerOpen', 'breakers', { name: 'generator' });
    const { run, outputs } = await storyOf(amends);
    expect(run).toMatchObject({ strategy: 'reset-breaker', outcome: 'resolved', cause: 'verified' });
    expect(outputs('steps/reset')).toMatchObject({ reset: true, state_before: 'open', state_after: 'closed' });
    expect(breakers.states).toEqual({ generator: 'closed', reflector: 'open' });
  }, 30_000);

  it('O7: is left alone when its dependency is down, and closes by itself when that comes back', async () => {
    breakers.states = { generator: 'open' };
    provider.override = () => ({ status: 503 });
    const fired = fire('CircuitBreakerOpen', 'breakers', { name: 'generator' });
    await until('it was left alone', async () =>
      JSON.stringify((await storyOf(amends).catch(() => null))?.outputs('steps/reset') ?? '').includes('it is right'),
    );
    expect(breakers.asked.filter(({ path }) => path === '/breakers/reset')).toEqual([]);
    // As a breaker does it after its time: half-open, one call goes well, closed.
    breakers.states = { generator: 'half_open' };
    provider.override = () => ({ json: { ok: true } });
    breakers.states = { generator: 'closed' };
    await fired;
    await amends.settle();
    expect((await storyOf(amends)).run).toMatchObject({ outcome: 'resolved', cause: 'verified' });
  }, 60_000);
});

describe('promotions that are stuck', () => {
  it('O6: get the feedback that is missing and one run of the stage manager, once a human agrees', async () => {
    Object.assign(breakers, { stuck: 2, withoutFeedback: 1 });
    await fire('PromotionGateFailure', 'breakers');
    expect((await storyOf(amends)).run).toMatchObject({ strategy: 'promote-again', state: 'awaiting_approval' });
    const { run, outputs, path } = await sayYes(amends);
    expect(run).toMatchObject({ outcome: 'resolved', cause: 'verified' });
    expect(outputs('before/gates')).toMatchObject({ json: { helpful_min: 3, ratio_min: 3 } });
    expect(path).toContain('steps/signals succeeded');
    expect(breakers.stuck).toBe(0);
  });

  it('O6: with enough feedback, the reflection is not asked for', async () => {
    Object.assign(breakers, { stuck: 2, withoutFeedback: 0 });
    await fire('PromotionGateFailure', 'breakers');
    await sayYes(amends);
    expect((await storyOf(amends)).path).toContain('steps/signals skipped');
    expect(breakers.asked.filter(({ path }) => path === '/reflection')).toEqual([]);
  });
});
