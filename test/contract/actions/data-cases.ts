// What the contract of actions asks of chroma.*, postgres.* and the rest of sqlite.*: real servers, started when first needed.
import { cpSync, existsSync, mkdirSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { join } from 'node:path';
import type pg from 'pg';
import snapshot from '../../../src/actions/chroma/snapshot.ts';
import backupPostgres from '../../../src/actions/postgres/backup.ts';
import check from '../../../src/actions/postgres/check.ts';
import backup from '../../../src/actions/sqlite/backup.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import type { TestContext } from '../../support/action-context.ts';
import { eventually, perform } from '../../support/action-context.ts';
import { makeChroma } from '../../support/chroma.ts';
import type { ChromaServer } from '../../support/chroma.ts';
import { makeShop, startPostgres } from '../../support/postgres.ts';
import type { PostgresServer } from '../../support/postgres.ts';
import { makeDatabase } from '../../support/sqlite-files.ts';
import { startVectorService } from '../../support/vector-service.ts';
import type { VectorService } from '../../support/vector-service.ts';

type Given = () => Promise<JsonObject> | JsonObject;
type DataCase = { readonly good: Given; readonly long?: Given };

export const PG_TOOLS = ['/usr/bin/pg_dump', '/usr/bin/pg_restore'];

const once = <T>(make: () => Promise<T>): (() => Promise<T>) => {
  let made: Promise<T> | null = null;
  return () => (made ??= make());
};

export const dataCases = (
  folder: string,
  context: () => TestContext,
  locked: (ignoreTerm: boolean) => Promise<string>,
): { readonly cases: Readonly<Record<string, DataCase>>; stop(): Promise<void> } => {
  const stops: Array<() => Promise<unknown>> = [];
  const still = join(folder, 'still');
  const chroma = once<ChromaServer>(async () => {
    const server = await makeChroma(folder, 'live');
    stops.push(() => server.stop());
    await server.start();
    await server.fill('docs', 20, 4);
    await server.stop();
    cpSync(server.path, still, { recursive: true });
    await server.start();
    return server;
  });
  const postgres = once<PostgresServer>(async () => {
    mkdirSync(join(folder, 'postgres'));
    const server = await startPostgres(join(folder, 'postgres'), 'trust');
    stops.push(() => server.stop());
    await makeShop(server, 'shop', 10);
    return server;
  });
  /** Takes connections and never says anything. */
  const silent = once<string>(async () => {
    const sockets = new Set<Socket>();
    const server: Server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
    });
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    stops.push(async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  const vectors = once<VectorService>(async () => {
    const service = await startVectorService(folder);
    stops.push(() => service.close());
    return service;
  });
  // Commands that are declared for all cases; the service itself runs all the while.
  const supervised: Given = async () => ({
    url: (await vectors()).url,
    stop: ['/bin/echo', 'stop'],
    start: ['/bin/echo', 'start'],
  });
  const hangs: Given = async () => ({ url: `http://${await silent()}` });
  const hangsFor: Given = async () => ({ url: `http://${await silent()}`, collection: 'docs' });
  const at: Given = async () => ({ url: (await chroma()).url });
  const docs: Given = async () => ({ url: (await chroma()).url, collection: 'docs' });
  const shop: Given = async () => ({ url: (await postgres()).url('shop') });
  const mute: Given = async () => ({ url: `postgres://shop@${await silent()}/shop` });
  const dumps = join(folder, 'dumps');
  const database = (): { readonly path: string; readonly backups: string } => {
    const { path, backups } = makeDatabase(folder, 'wal', 10);
    return { path, backups };
  };
  const blocked: pg.Client[] = [];
  const blocking: Given = async () => {
    const server = await postgres();
    for (const client of blocked.splice(0)) await client.end().catch(() => undefined);
    const [holder, waiter] = [await server.client('shop', 'shop'), await server.client('shop', 'shop')];
    blocked.push(holder, waiter);
    await holder.query('BEGIN; LOCK TABLE orders');
    void waiter.query('SELECT * FROM orders').catch(() => undefined);
    await eventually(async () => (await perform(check, { url: server.url('shop') }, context()))['waiting'] === 1);
    await context().clock.sleep(1_100);
    return { url: server.url('shop'), idle_over: '1s' };
  };
  const migrating =
    (argv: readonly string[]): Given =>
    async () => {
      const { path, backups } = database();
      return { path, backup: (await perform(backup, { path, backups }, context()))['path'] ?? '', argv };
    };
  return {
    cases: {
      'chroma.count': { good: at, long: hangs },
      'chroma.heartbeat': { good: at, long: hangs },
      'chroma.query': { good: docs, long: hangsFor },
      'chroma.rebuild-index': { good: docs },
      'chroma.restore-snapshot': {
        async good() {
          await chroma();
          const path = join(folder, 'restored');
          if (!existsSync(path)) cpSync(still, path, { recursive: true });
          const input = { path, snapshots: join(folder, 'snapshots') };
          await perform(snapshot, input, context());
          return input;
        },
      },
      'chroma.snapshot': { good: async () => ({ path: (await chroma()).path, snapshots: join(folder, 'snapshots') }) },
      'faiss.escalate': { good: () => ({ mode: 'read_only', title: 'look' }) },
      'faiss.rebuild-index': {
        good: async () => ({
          ...(await supervised()),
          index: (await vectors()).index,
          backups: join(folder, 'indexes'),
          mark: join(folder, 'mark'),
        }),
      },
      'faiss.restart-service': {
        good: supervised,
        long: async () => ({ ...(await supervised()), url: `http://${await silent()}` }),
      },
      'faiss.verify': { good: async () => ({ url: (await vectors()).url }), long: hangs },
      'postgres.backup': {
        good: async () => ({ ...(await shop()), backups: dumps }),
        long: async () => ({ ...(await mute()), backups: dumps }),
      },
      'postgres.check': { good: shop, long: mute },
      'postgres.check-backup': {
        async good() {
          const url = (await postgres()).url('shop');
          await perform(backupPostgres, { url, backups: dumps }, context());
          return { url, backups: dumps };
        },
      },
      'postgres.check-data': {
        good: async () => ({ ...(await shop()), tables: { orders: 10 } }),
        long: async () => ({ ...(await mute()), tables: { orders: 10 } }),
      },
      'postgres.check-schema': {
        async good() {
          await (
            await postgres()
          ).run(
            'shop',
            'CREATE TABLE IF NOT EXISTS schema_migrations (version bigint); TRUNCATE schema_migrations; INSERT INTO schema_migrations VALUES (3); GRANT SELECT ON schema_migrations TO shop',
          );
          return { ...(await shop()), expected: '3' };
        },
        long: async () => ({ ...(await mute()), expected: '3' }),
      },
      'postgres.reindex': { good: async () => ({ ...(await shop()), tables: ['orders'] }) },
      'postgres.restore': {
        // A database that is not there needs no backup of its present state.
        async good() {
          const server = await postgres();
          await server.run('postgres', 'DROP DATABASE IF EXISTS gone WITH (FORCE)');
          await makeShop(server, 'gone', 10);
          await perform(backupPostgres, { url: server.url('gone'), backups: dumps }, context());
          await server.run('postgres', 'DROP DATABASE gone');
          return { url: server.url('gone'), backups: dumps };
        },
      },
      'postgres.slow-queries': { good: shop, long: mute },
      'postgres.terminate-backends': { good: blocking },
      'sqlite.check-schema': { good: () => ({ path: database().path, expected: '0' }) },
      'sqlite.discard-backup': {
        async good() {
          const { path, backups } = database();
          return { path, backups, backup: (await perform(backup, { path, backups }, context()))['path'] ?? '' };
        },
      },
      'sqlite.force-unlock': {
        good: async () => ({ path: await locked(false), backups: join(folder, 'backups'), only: ['lock-holder'] }),
        long: async () => ({
          path: await locked(true),
          backups: join(folder, 'backups'),
          only: ['lock-holder'],
          busy: '50ms',
          grace: '1m',
        }),
      },
      'sqlite.migrate-down': { good: migrating(['/bin/echo', 'a']), long: migrating(['/bin/sleep', '100']) },
      'sqlite.vacuum': {
        good: () => ({ path: database().path }),
        long: async () => ({ path: await locked(false), busy: '3s' }),
      },
    },
    async stop() {
      for (const client of blocked.splice(0)) await client.end().catch(() => undefined);
      for (const stop of stops.splice(0)) await stop();
    },
  };
};
