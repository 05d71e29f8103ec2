// Samples of input for every action: what it succeeds with, and where there is such a thing what it would take long with.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import backup from '../../../src/actions/sqlite/backup.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import type { Action, Allow } from '../../../src/port/action.ts';
import { loadByName } from '../../../src/port/loader.ts';
import type { Contexts, TestContext } from '../../support/action-context.ts';
import { perform, textOf } from '../../support/action-context.ts';
import { endHolder, startHolder } from '../../support/holder.ts';
import { startHttpDouble } from '../../support/http-double.ts';
import type { HttpDouble } from '../../support/http-double.ts';
import type { Server } from '../../support/requires.ts';
import { makeDatabase } from '../../support/sqlite-files.ts';
import { CONTAINERS, containerCases } from './container-cases.ts';
import { PG_TOOLS, dataCases } from './data-cases.ts';
import { kubernetesCases } from './kubernetes-cases.ts';
import { redisCases } from './redis-cases.ts';
import { GIT, serviceCases } from './service-cases.ts';
import { endSystemCases, systemCases, systemCommands } from './system-cases.ts';

/** Found by the loader, so that a new one is held to the contract too. */
export const actions = await loadByName<Action>(new URL('../../../src/actions/', import.meta.url), true);

export type Case = {
  /** Sets things up and gives an input with which it succeeds; only members without a default. */
  readonly good: () => Promise<JsonObject> | JsonObject;
  /** The same with which it would take much longer than a second, where there is such a thing. */
  readonly long?: () => Promise<JsonObject> | JsonObject;
  /** Whether the effect of the long one has reached the other side: called off before that, it may say that nothing happened. */
  readonly isAtIt?: () => boolean;
};
export type Cases = {
  readonly cases: Readonly<Record<string, Case>>;
  allow(): Partial<Allow>;
  /** Ends what one case has started. */
  settle(): Promise<void>;
  stop(): Promise<void>;
};

/** A case is named for its action, and where an action has several, for what each is on: `a.b on a c`. */
export const actionOf = (title: string): string => title.split(' ', 1)[0] ?? title;

/** The real server that the cases of a family talk to. */
export const NEEDS: Readonly<Record<string, Server>> = {
  alertmanager: 'alertmanager',
  chroma: 'chroma',
  postgres: 'postgres',
  prometheus: 'prometheus',
  redis: 'redis-server',
  ssh: 'sshd',
};

export const createCases = async (contexts: Contexts): Promise<Cases> => {
  const redis = redisCases(contexts.folder);
  const containers = containerCases(contexts.folder);
  const kubernetes = kubernetesCases();
  const services = serviceCases(contexts.folder);
  const pidFile = join(contexts.folder, 'service.pid');
  const schemaFile = join(contexts.folder, 'schema.sql');
  const running: ChildProcess[] = [];
  const server: HttpDouble = await startHttpDouble();
  writeFileSync(schemaFile, 'CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT)');

  const service = async (program: string): Promise<void> => {
    const child = spawn('/bin/sh', ['-c', program], { detached: true, stdio: ['ignore', 'pipe', 'inherit'] });
    running.push(child);
    await new Promise((resolve) => child.stdout?.once('data', resolve));
    writeFileSync(pidFile, `${child.pid}\n`);
  };
  const locked = async (ignoreTerm: boolean): Promise<string> => {
    const { path } = makeDatabase(contexts.folder, 'delete', 10);
    running.push(await startHolder(contexts.folder, { path, does: 'exclusive', ignoreTerm }));
    return path;
  };
  const database = (): JsonObject => {
    const { path, backups } = makeDatabase(contexts.folder, 'wal', 10);
    return { path, backups };
  };
  const onlyPath = (): JsonObject => ({ path: database()['path'] ?? '' });

  const withTools = (): TestContext => contexts.make({ allow: { hosts: ['127.0.0.1'], commands: PG_TOOLS } });
  const data = dataCases(contexts.folder, withTools, locked);

  const names = ['sh', 'dash', 'bash', 'lock-holder'];
  const cases: Readonly<Record<string, Case>> = {
    'command.run': { good: () => ({ argv: ['/bin/echo', 'a'] }), long: () => ({ argv: ['/bin/sleep', '100'] }) },
    'degrade.clear': { good: () => ({ mode: 'read_only' }) },
    'degrade.set': { good: () => ({ mode: 'read_only' }) },
    'http.get': { good: () => ({ url: `${server.url}/` }), long: () => ({ url: `${server.url}/hang` }) },
    'http.request': { good: () => ({ url: `${server.url}/` }), long: () => ({ url: `${server.url}/body-drip` }) },
    'inbox.add': { good: () => ({ title: 'look' }) },
    'locks.holders': { good: onlyPath },
    'notify.send': { good: () => ({ title: 'look' }) },
    'process.signal': {
      async good() {
        await service('echo ready; while true; do sleep 0.02; done');
        return { pid_file: pidFile, only: names };
      },
      async long() {
        await service("trap '' TERM; echo ready; while true; do sleep 0.02; done");
        return { pid_file: pidFile, only: names, grace: '1m' };
      },
    },
    'sqlite.backup': {
      good: database,
      long: async () => ({ path: await locked(false), backups: join(contexts.folder, 'backups'), busy: '3s' }),
    },
    'sqlite.check': { good: onlyPath, long: async () => ({ path: await locked(false), busy: '3s' }) },
    'sqlite.checkpoint': { good: onlyPath, long: async () => ({ path: await locked(false), busy: '3s' }) },
    'sqlite.create': { good: () => ({ path: join(contexts.folder, 'fresh.db'), schema_file: schemaFile }) },
    'sqlite.release-lock': {
      good: async () => ({ path: await locked(false), only: names }),
      long: async () => ({ path: await locked(true), only: names, busy: '50ms', grace: '1m' }),
    },
    'sqlite.restore': {
      async good() {
        const input = database();
        await perform(backup, input, contexts.make());
        rmSync(textOf(input, 'path'));
        return input;
      },
    },
    'triage.record': { good: () => ({}) },
    'wait.for': { good: () => ({ duration: '1ms' }), long: () => ({ duration: '1h' }) },
    ...redis.cases,
    ...containers.cases,
    ...kubernetes.cases,
    ...data.cases,
    ...services.cases,
    ...systemCases(contexts.folder, () => contexts.make()),
  };
  const allow = (): Partial<Allow> => ({
    hosts: [server.host, '127.0.0.1'],
    commands: ['/bin/echo', '/bin/sleep', GIT, ...PG_TOOLS, ...systemCommands(contexts.folder)],
    containers: CONTAINERS,
  });
  return {
    cases,
    allow,
    async settle() {
      await Promise.all(running.splice(0).map(endHolder));
    },
    async stop() {
      endSystemCases();
      await redis.stop();
      await containers.stop();
      await kubernetes.stop();
      await data.stop();
      await services.stop();
      await server.close();
    },
  };
};
