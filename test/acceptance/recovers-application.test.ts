// A started amends beside a real application: a repository, the process that serves what is checked out in it, its
// database with a migration command, and breakers and promotions; humans agree by the command line.
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { serveRepository, shopApplication } from '../support/application.ts';
import { startBreakerApp } from '../support/breaker-app.ts';
import type { BreakerApp } from '../support/breaker-app.ts';
import { commit, git, makeRepository } from '../support/repository.ts';
import { startedHere, until } from '../support/servers.ts';
import type { Running } from '../support/servers.ts';
import { resolved, startShipped } from '../support/shipped.ts';
import type { Shipped } from '../support/shipped.ts';

const servers = startedHere();
let folder: string;
let repository: string;
let database: string;
let app: Running;
let url: string;
let breakers: BreakerApp;
let amends: Shipped;

const version = (name: string, more: Readonly<Record<string, string>> = {}): Record<string, string> => ({
  'version.txt': name,
  'health.txt': '200',
  'schema.txt': '1',
  works: 'yes',
  ...more,
});

beforeEach(async () => {
  folder = await servers.folder();
  repository = join(folder, 'repository');
  database = join(folder, 'shop.db');
  mkdirSync(join(folder, 'backups'));
  const opened = new Database(database);
  opened.exec('CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT, discount TEXT)');
  opened.exec("INSERT INTO orders (what) VALUES ('one'), ('two')");
  opened.pragma('user_version = 2');
  opened.close();
  makeRepository(repository, [version('v1'), version('v2', { 'schema.txt': '' })]);
  git(repository, 'tag', 'last-good');
  const application = await serveRepository(servers, {
    name: 'app',
    repository,
    portFile: join(folder, 'port'),
    database,
  });
  ({ app, url } = application);
  breakers = await startBreakerApp();
  const { inventory, allow } = shopApplication({ served: application, folder, repository, database, breakers });
  amends = await startShipped(servers, {
    kinds: ['application'],
    components: { shop: { kind: 'application', inventory, allow: { actions: ['*'] } } },
    allow,
  });
});
afterEach(async () => {
  await amends.stop();
  await Promise.all([breakers.close(), app.stop()]);
});
afterAll(() => servers.stopAll());

const served = async (path: string): Promise<{ status: number; version: unknown }> => {
  const answer = await fetch(`${url}${path}`);
  return { status: answer.status, version: ((await answer.json()) as { version: unknown }).version };
};
const schema = (): unknown => {
  const opened = new Database(database, { readonly: true });
  try {
    return opened.pragma('user_version', { simple: true });
  } finally {
    opened.close();
  }
};

describe('an application and a started amends', () => {
  it('O2 a bad release goes back to the last good version once a human says yes on the command line', async () => {
    commit(repository, version('v3', { 'health.txt': '500', 'schema.txt': '' }), 'a bad release');
    process.kill(app.pid, 'SIGHUP');
    await until('the bad release is served', async () => (await served('/health')).status === 500);
    await amends.fire('HighErrorRate', 'shop', 'web');
    expect(await amends.approved('emergency-rollback')).toMatchObject(resolved('emergency-rollback'));
    expect(await served('/version')).toEqual({ status: 200, version: 'v2' });
    expect((await served('/health')).status).toBe(200);
    // What is left to do waits for people.
    const inbox = await amends.ask(1, 'inbox', 'list');
    expect(JSON.stringify(inbox)).toContain('was rolled back to last-good: what is left to do');
  }, 60_000);

  it('P5 P1 a migration is taken back behind a backup with a timestamp, and triage is on the run', async () => {
    commit(repository, version('v2b'), 'knows the older schema');
    process.kill(app.pid, 'SIGHUP');
    await amends.fire('MigrationFailed', 'shop', 'web');
    const run = await amends.approved('rollback-with-backup');
    expect(run).toMatchObject(resolved('rollback-with-backup'));
    expect(schema()).toBe(1);
    expect(readdirSync(join(folder, 'backups'))).toEqual([expect.stringMatching(/^shop-\d{8}T\d{9}Z\.db$/)]);
    const shown = await amends.ask(0, 'runs', 'show', String(run['id']));
    expect(JSON.stringify(shown)).toContain('before/triage_record');
    expect(JSON.stringify(await amends.list('inbox'))).toContain('downgraded 2 -> 1');
  }, 60_000);

  it('P6 everything on the list has to pass before it counts as over, asked for on the command line', async () => {
    const validate = ['recover', '--component=shop', '--target=web', '--strategy=validate', '--wait'];
    expect(await amends.ask(0, ...validate)).toMatchObject(resolved('validate'));
    rmSync(join(repository, 'works'));
    expect(await amends.ask(1, ...validate)).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
  }, 60_000);

  it('O7 a breaker that is stuck open is closed when what it guards against is over', async () => {
    breakers.states['generator'] = 'open';
    await amends.fire('CircuitBreakerOpen', 'shop', 'breakers', { name: 'generator' });
    expect(await amends.ended('reset-breaker')).toMatchObject(resolved('reset-breaker'));
    expect(breakers.states['generator']).toBe('closed');
  }, 60_000);

  it('O6 promotions that are stuck get their feedback and one run of the stage manager, once a human says yes', async () => {
    Object.assign(breakers, { stuck: 3, withoutFeedback: 2 });
    await amends.fire('PromotionGateFailure', 'shop', 'breakers');
    expect(await amends.approved('promote-again')).toMatchObject(resolved('promote-again'));
    expect([breakers.stuck, breakers.withoutFeedback]).toEqual([0, 0]);
  }, 60_000);
});
