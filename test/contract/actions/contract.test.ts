// What every action owes to those who use it, whoever wrote it: found by the loader, so that a new one is held to it too.
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import backup from '../../../src/actions/sqlite/backup.ts';
import { ActionError } from '../../../src/base/failure.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import type { Action, Allow } from '../../../src/port/action.ts';
import { loadByName } from '../../../src/port/loader.ts';
import type { TestContext } from '../../support/action-context.ts';
import { createContexts, eventually, perform, textOf } from '../../support/action-context.ts';
import { endHolder, startHolder } from '../../support/holder.ts';
import { startHttpDouble } from '../../support/http-double.ts';
import type { HttpDouble } from '../../support/http-double.ts';
import { itWith } from '../../support/requires.ts';
import type { Server } from '../../support/requires.ts';
import { makeDatabase } from '../../support/sqlite-files.ts';
import { CONTAINERS, containerCases } from './container-cases.ts';
import { PG_TOOLS, dataCases } from './data-cases.ts';
import { kubernetesCases } from './kubernetes-cases.ts';
import { redisCases } from './redis-cases.ts';
import { GIT, serviceCases } from './service-cases.ts';
import { endSystemCases, systemCases, systemCommands } from './system-cases.ts';

const actions = await loadByName<Action>(new URL('../../../src/actions/', import.meta.url), true);
const contexts = createContexts();
const redis = redisCases(contexts.folder);
const containers = containerCases(contexts.folder);
const kubernetes = kubernetesCases();
const services = serviceCases(contexts.folder);
const pidFile = join(contexts.folder, 'service.pid');
const schemaFile = join(contexts.folder, 'schema.sql');
const running: ChildProcess[] = [];
let server: HttpDouble;

beforeAll(async () => {
  server = await startHttpDouble();
  writeFileSync(schemaFile, 'CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT)');
});
afterEach(async () => {
  await Promise.all(running.splice(0).map(endHolder));
});
afterAll(async () => {
  endSystemCases();
  await redis.stop();
  await containers.stop();
  await kubernetes.stop();
  await data.stop();
  await services.stop();
  await server.close();
  await contexts.stop();
});

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

type Case = {
  /** Sets things up and gives an input with which it succeeds; only members without a default. */
  readonly good: () => Promise<JsonObject> | JsonObject;
  /** The same with which it would take much longer than a second, where there is such a thing. */
  readonly long?: () => Promise<JsonObject> | JsonObject;
};

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

it('every action has a case here, and every case its action', () => {
  expect([...actions.keys()].toSorted()).toEqual(Object.keys(cases).toSorted());
});

/** The real server that the cases of a family talk to. */
const NEEDS: Readonly<Record<string, Server>> = {
  alertmanager: 'alertmanager',
  chroma: 'chroma',
  postgres: 'postgres',
  prometheus: 'prometheus',
  redis: 'redis-server',
  ssh: 'sshd',
};

describe.each([...actions.entries()])('%s', (name, action) => {
  const given = cases[name];
  if (given === undefined) return;
  const needed = NEEDS[name.split('.')[0] ?? ''];
  const itOnServer = needed === undefined ? it : itWith(needed);

  it('says what it is: summary, effect, outputs, undo, time limit, and a schema that editors understand', () => {
    expect(name).toMatch(/^[a-z][a-z0-9-]*\.[a-z][a-z0-9-]*$/);
    expect(action.summary).toMatch(/^[A-Z].{10,200}\.$/);
    expect(['read', 'change', 'destroy']).toContain(action.effect);
    expect(action.undo.length).toBeGreaterThan(10);
    expect(action.defaultTimeout).toBeGreaterThanOrEqual(1_000);
    for (const [output, meaning] of Object.entries(action.outputs))
      expect([output, meaning]).toEqual([expect.stringMatching(/^[a-z][a-z0-9_]*$/), expect.stringMatching(/.{5,}/)]);
    expect(z.toJSONSchema(action.input, { io: 'input' })).toMatchObject({
      type: 'object',
      additionalProperties: false,
    });
  });

  itOnServer('refuses input of the wrong type, with a member missing, or with one it does not know', async () => {
    const good = await given.good();
    expect(action.input.safeParse(good).success).toBe(true);
    const members = Object.keys((z.toJSONSchema(action.input, { io: 'input' }) as { properties: object }).properties);
    for (const member of Object.keys(good)) {
      const { [member]: _left, ...rest } = good;
      if (member !== 'backups' || name !== 'sqlite.check')
        expect([member, action.input.safeParse(rest).success]).toEqual([member, false]);
    }
    for (const member of members) {
      // `json` of a request is any JSON.
      const wrong =
        member === 'json' ? [Number.NaN, () => 1] : [null, Number.NaN, [[]], { wrong: {} }, Symbol('wrong')];
      for (const value of wrong)
        expect([member, action.input.safeParse({ ...good, [member]: value }).success]).toEqual([member, false]);
    }
    expect(action.input.safeParse({ ...good, no_such_member: 1 }).success).toBe(false);
    for (const value of [null, undefined, 'text', 1, [], [good]])
      expect(action.input.safeParse(value).success).toBe(false);
  });

  itOnServer('succeeds with the outputs it declares, no more and no less, small enough to keep', async () => {
    const context = contexts.make({ allow: allow() });
    const outputs = await perform(action, await given.good(), context);
    expect(Object.keys(outputs).toSorted()).toEqual(Object.keys(action.outputs).toSorted());
    expect(JSON.stringify(outputs).length).toBeLessThan(64 * 1024);
    expect(JSON.parse(JSON.stringify(outputs))).toEqual(outputs);
    if (action.effect !== 'read') expect(context.beganCount()).toBeGreaterThan(0);
  });

  itOnServer('F51: does nothing when it is called off before it starts', async () => {
    const input = action.input.parse(await given.good());
    const context = contexts.make({ allow: allow() });
    context.abort();
    const start = context.clock.monotonic();
    await expect(action.run(input, context)).rejects.toThrow('called off');
    expect(context.clock.monotonic() - start).toBeLessThan(1_000);
    expect(context.beganCount()).toBe(0);
    expect(context.requests).toEqual([]);
  });

  if (given.long !== undefined) {
    const { long } = given;
    itOnServer('F51: ends within a second of being called off, and says that it failed', async () => {
      const input = action.input.parse(await long());
      const context = contexts.make({ allow: allow() });
      const failed = action.run(input, context).then(
        () => null,
        (error: unknown) => error,
      );
      if (action.effect !== 'read') await eventually(() => context.beganCount() > 0);
      await context.clock.sleep(100);
      const start = context.clock.monotonic();
      // As the engine does it at the step's time limit.
      context.abort(new ActionError('retryable', 'time is up'));
      const error = await failed;
      expect(error).toBeInstanceOf(Error);
      // With an effect begun, nobody may claim that nothing happened.
      if (action.effect !== 'read' && error instanceof ActionError) expect(error.kind).toBe('indeterminate');
      expect(context.clock.monotonic() - start).toBeLessThan(1_000);
    });
  }
});
