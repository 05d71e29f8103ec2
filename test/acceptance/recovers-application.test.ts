// A started amends beside a real application: a repository, the process that serves what is checked out in it, its
// database with a migration command, and breakers and promotions; humans agree by the command line.
import { mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { startBreakerApp } from '../support/breaker-app.ts';
import type { BreakerApp } from '../support/breaker-app.ts';
import { commit, git, makeRepository } from '../support/repository.ts';
import { root, startedHere, until } from '../support/servers.ts';
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
  app = servers.process({
    name: 'app',
    file: process.execPath,
    args: [join(root, 'test/support/served-app.mjs'), repository, join(folder, 'port'), database],
    cwd: root,
  });
  const port = await until('the application listens', () => readFileSync(join(folder, 'port'), 'utf8'));
  url = `http://127.0.0.1:${port}`;
  breakers = await startBreakerApp();
  const migrate = (verb: string): string[] => [
    process.execPath,
    join(root, 'test/support/migrate.mjs'),
    verb,
    database,
  ];
  amends = await startShipped(servers, {
    kinds: ['application'],
    components: {
      shop: {
        kind: 'application',
        inventory: {
          static: [
            {
              target: 'web',
              connect: {
                url,
                repository,
                restart: ['/bin/kill', '-HUP', String(app.pid)],
                database,
                backups: join(folder, 'backups'),
                migration_folder: folder,
                migration_version: migrate('current'),
                migrate_down: migrate('down'),
                validation: {
                  commands: [{ name: 'smoke test', argv: ['/usr/bin/test', '-f', join(repository, 'works')] }],
                  endpoints: [{ url: `${url}/version` }],
                },
              },
            },
            {
              target: 'breakers',
              connect: {
                url: breakers.url,
                breaker_reset_url: `${breakers.url}/breakers/reset`,
                dependencies: [{ url: `${url}/version` }],
                promotions_url: `${breakers.url}/promotions`,
                reflection_url: `${breakers.url}/reflection`,
                stage_manager_url: `${breakers.url}/stage-manager`,
              },
            },
          ],
        },
        allow: { actions: ['*'] },
      },
    },
    allow: {
      hosts: [new URL(url).host, breakers.host],
      paths: [folder],
      commands: ['/usr/bin/git', '/bin/kill', '/usr/bin/test', process.execPath],
    },
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
