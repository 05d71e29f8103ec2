// An application as its operations runbook knows it: a breaker that stays open, a release that does not work, a migration
// that its code does not know, promotions that are stuck. A real repository, the process that serves it, a real database.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import Database from 'better-sqlite3';
import { serveRepository, shopApplication } from '../test/support/application.ts';
import { startBreakerApp } from '../test/support/breaker-app.ts';
import { commit, git, makeRepository } from '../test/support/repository.ts';
import { startedHere, until } from '../test/support/servers.ts';

const SOURCE = 'operations-runbook';

export const available = () => null;

export const prepare = async ({ folder }) => {
  const servers = startedHere();
  const repository = join(folder, 'repository');
  const database = join(folder, 'shop.db');
  mkdirSync(join(folder, 'backups'));
  const inDatabase = (does) => {
    const opened = new Database(database);
    try {
      return does(opened);
    } finally {
      opened.close();
    }
  };
  inDatabase((opened) => {
    opened.exec(
      "CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT); INSERT INTO orders (what) VALUES ('one'), ('two')",
    );
    opened.pragma('user_version = 1');
  });
  const version = (name, more = {}) => ({
    'version.txt': name,
    'health.txt': '200',
    'schema.txt': '',
    works: 'yes',
    ...more,
  });
  makeRepository(repository, [version('v1'), version('v2')]);
  git(repository, 'tag', 'last-good');
  const served = await serveRepository(servers, { name: 'app', repository, portFile: join(folder, 'port'), database });
  const { app, url } = served;
  const breakers = await startBreakerApp();
  const status = async () => (await fetch(`${url}/health`)).status;
  let releases = 0;
  const release = async (more) => {
    releases += 1;
    commit(repository, version(`v3-${releases}`, more), `release ${releases}`);
    process.kill(app.pid, 'SIGHUP');
    await until('the release is served', async () => (await status()) === 500);
  };
  const faults = [
    {
      name: 'a breaker that stays open',
      target: 'breakers',
      strategy: 'reset-breaker',
      alertname: 'CircuitBreakerOpen',
      labels: { name: 'generator' },
      break: () => void (breakers.states.generator = 'open'),
      healthy: () => breakers.states.generator === 'closed',
    },
    {
      name: 'promotions that are stuck',
      target: 'breakers',
      strategy: 'promote-again',
      alertname: 'PromotionGateFailure',
      asks: true,
      break: () => void Object.assign(breakers, { stuck: 3, withoutFeedback: 2 }),
      healthy: () => breakers.stuck === 0 && breakers.withoutFeedback === 0,
    },
    {
      name: 'a release that does not work',
      target: 'web',
      strategy: 'emergency-rollback',
      alertname: 'HighErrorRate',
      figureMs: 300_000,
      asks: true,
      break: () => release({ 'health.txt': '500' }),
      healthy: async () => (await status()) === 200,
    },
    {
      name: 'a migration that the code does not know',
      target: 'web',
      strategy: 'rollback-with-backup',
      alertname: 'MigrationFailed',
      asks: true,
      async break() {
        inDatabase((opened) => {
          opened.exec('ALTER TABLE orders ADD COLUMN discount TEXT');
          opened.pragma('user_version = 2');
        });
        await release({ 'schema.txt': '1' });
      },
      healthy: async () =>
        (await status()) === 200 &&
        inDatabase(
          (opened) =>
            opened.pragma('user_version', { simple: true }) === 1 &&
            opened.prepare('SELECT id FROM orders').all().length === 2,
        ),
      // The next fault begins with the version that is good.
      after: async () => {
        git(repository, 'reset', '-q', '--hard', 'last-good');
        process.kill(app.pid, 'SIGHUP');
        await pause(100);
      },
    },
  ].map((fault) => ({ source: SOURCE, figureMs: null, ...fault }));
  const { inventory, allow } = shopApplication({ served, folder, repository, database, breakers });
  return {
    component: { inventory, allow: { actions: ['*'] } },
    allow,
    faults,
    async close() {
      await breakers.close();
      await servers.stopAll();
      rmSync(repository, { recursive: true, force: true });
    },
  };
};
