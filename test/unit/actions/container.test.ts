// Restarting and replacing real containers over podman's Docker API.
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import recreate from '../../../src/actions/container/recreate.ts';
import restart from '../../../src/actions/container/restart.ts';
import rollbackImage from '../../../src/actions/container/rollback-image.ts';
import waitReady from '../../../src/actions/container/wait-ready.ts';
import type { ActionError } from '../../../src/base/failure.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import type { Action } from '../../../src/port/action.ts';
import { createContexts, eventually, failureOf, perform } from '../../support/action-context.ts';
import type { TestContext } from '../../support/action-context.ts';
import { startPodman } from '../../support/podman.ts';
import type { Podman } from '../../support/podman.ts';
import { ask, freePort } from '../../support/redis.ts';
import { binaryOf, itWith } from '../../support/requires.ts';

const contexts = createContexts();
const sockets: Socket[] = [];
const doubles: Server[] = [];
let podman: Podman;

const NAMES = ['cache', 'crasher', 'gone', 'other', 'slow', 'throwaway'];
const context = (more: { timeout?: number } = {}): TestContext =>
  contexts.make({ allow: { containers: NAMES }, ...more });
const run = <Input>(action: Action<Input>, input: JsonObject, at = context()): Promise<JsonObject> =>
  perform(action, { socket: podman.socket, ...input }, at);
const fail = <Input>(action: Action<Input>, input: JsonObject, at = context()): Promise<ActionError> =>
  failureOf(run(action, input, at));

const startCache = async (...args: readonly string[]): Promise<number> => {
  const port = await freePort();
  const redis = ['/bin/redis-server', '--port', String(port), '--bind', '127.0.0.1', '--dir', '/data'];
  podman.run('run', '-d', '--network=host', '--name', 'cache', ...args, 'localhost/tiny:1', ...redis);
  await eventually(async () => (await ask(port, 'PING').catch(() => '')) === '+PONG');
  return port;
};
const inspect = (name: string, format: string): string => podman.run('inspect', name, '--format', format).trim();
const names = (): readonly string[] => podman.run('ps', '-a', '--format', '{{.Names}}').trim().split('\n').toSorted();

beforeAll(async () => {
  if (binaryOf('podman') !== undefined && binaryOf('redis-server') !== undefined) podman = await startPodman();
}, 60_000);
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const double of doubles.splice(0)) double.close();
  if (podman !== undefined) podman.run('rm', '--all', '--force', '--time', '0');
});
afterAll(async () => {
  await podman?.stop();
  await contexts.stop();
}, 30_000);

describe('container.restart', () => {
  itWith('podman', 'redis-server')(
    'R6 a container whose process was stopped inside by SIGSTOP answers again, and is the same container',
    async () => {
      const port = await startCache();
      const id = inspect('cache', '{{.Id}}');
      for (const pid of podman.pids('cache')) process.kill(pid, 'SIGSTOP');
      await expect(ask(port, 'PING', 300)).rejects.toThrow('no answer');
      const at = context();
      const outputs = await run(restart, { container: 'cache', grace: '1s' }, at);
      expect(outputs).toMatchObject({ running: true, status: 'running', was: 'running' });
      expect(at.beganCount()).toBe(1);
      await eventually(async () => (await ask(port, 'PING').catch(() => '')) === '+PONG');
      expect(inspect('cache', '{{.Id}}')).toBe(id);
    },
    30_000,
  );

  itWith('podman', 'redis-server')('touches only what allow.containers names, by its whole name', async () => {
    await startCache();
    const started = inspect('cache', '{{.State.StartedAt}}');
    const at = context();
    const unnamed = await fail(restart, { container: 'shop' }, at);
    expect(unnamed).toMatchObject({ kind: 'permanent', message: expect.stringContaining('allow.containers') });
    const missing = await fail(restart, { container: 'gone' }, at);
    expect(missing).toMatchObject({ kind: 'permanent', message: expect.stringContaining('no container gone') });
    // The engine would take the beginning of an id.
    const id = inspect('cache', '{{.Id}}').slice(0, 12);
    const byId = contexts.make({ allow: { containers: [id] } });
    expect(await fail(restart, { container: id }, byId)).toMatchObject({ kind: 'permanent' });
    expect(at.beganCount() + byId.beganCount()).toBe(0);
    expect(inspect('cache', '{{.State.StartedAt}}')).toBe(started);
  });
});

describe('container.wait-ready', () => {
  itWith('podman', 'redis-server')(
    'F55 a container that ends again and again is not ready, one that runs on is',
    async () => {
      await startCache();
      const outputs = await run(waitReady, { container: 'cache', stable: '1s' });
      expect(outputs).toMatchObject({ running: true, restarts: 0, health: '' });
      const loop = ['--restart=always', 'localhost/tiny:1', '/bin/sh', '-c', 'sleep 0.3; false'];
      podman.run('run', '-d', '--network=host', '--name', 'crasher', ...loop);
      const error = await fail(waitReady, { container: 'crasher', stable: '3s', within: '8s' });
      expect(['permanent', 'retryable']).toContain(error.kind);
      expect(error.message).toMatch(/crasher (?:ends again and again|was not steady|does not run)/);
      podman.run('run', '-d', '--network=host', '--name', 'gone', 'localhost/tiny:1', '/bin/sh', '-c', 'exit 3');
      await eventually(() => inspect('gone', '{{.State.Status}}') === 'exited');
      const ended = await fail(waitReady, { container: 'gone' });
      expect(ended).toMatchObject({ kind: 'permanent', outputs: { exit_code: 3, running: false } });
      expect(ended.message).toContain('exit code 3');
    },
    40_000,
  );
});

describe('container.recreate', () => {
  itWith('podman', 'redis-server')(
    'R6 puts a new container in the place of a frozen one, with its settings and the data in its volumes',
    async () => {
      const port = await startCache('--volume', '/data', '--env', 'GREETING=hello', '--memory-swappiness=-1');
      const before = inspect('cache', '{{.Id}} {{json .Config.Env}} {{json .Config.Cmd}} {{.HostConfig.NetworkMode}}');
      await ask(port, 'SET a lasting');
      await ask(port, 'SAVE');
      for (const pid of podman.pids('cache')) process.kill(pid, 'SIGSTOP');
      const outputs = await run(recreate, { container: 'cache', grace: '1s', stable: '1s' });
      expect(outputs).toMatchObject({ running: true, was: 'running', restarts: 0 });
      await eventually(async () => (await ask(port, 'PING').catch(() => '')) === '+PONG');
      const after = inspect('cache', '{{.Id}} {{json .Config.Env}} {{json .Config.Cmd}} {{.HostConfig.NetworkMode}}');
      expect(after.split(' ')[0]).not.toBe(before.split(' ')[0]);
      expect(after).toContain('GREETING=hello');
      expect(after.split(' ').slice(-1)).toEqual(before.split(' ').slice(-1));
      expect(await ask(port, 'EXISTS a')).toBe(':1');
      expect(names()).toEqual(['cache']);
    },
    40_000,
  );

  itWith('podman', 'redis-server')(
    'F55 when the new one does not stay up, the old one is put back and runs',
    async () => {
      // It starts well once, and never again: what it needs was in its own layer.
      const program =
        '[ -e /tmp/was ] && { sleep 1000; exit; }; [ -e /mark/first ] && exit 1; touch /mark/first /tmp/was; sleep 1000';
      podman.run('volume', 'create', 'mark');
      const args = ['--volume', 'mark:/mark', '--name', 'crasher', 'localhost/tiny:1', '/bin/sh', '-c', program];
      podman.run('run', '-d', '--network=host', ...args);
      await eventually(() => podman.pids('crasher').length > 0);
      const id = inspect('crasher', '{{.Id}}');
      const at = context();
      const error = await fail(recreate, { container: 'crasher', grace: '1s', stable: '1s' }, at);
      expect(error).toMatchObject({ kind: 'permanent', message: expect.stringContaining('the old one is back') });
      expect(at.beganCount()).toBe(1);
      expect(inspect('crasher', '{{.Id}}')).toBe(id);
      expect(inspect('crasher', '{{.State.Status}}')).toBe('running');
      expect(names()).toEqual(['crasher']);
    },
    40_000,
  );

  itWith('podman', 'redis-server')('refuses a container that would be gone as soon as it stops', async () => {
    podman.run('run', '-d', '--rm', '--network=host', '--name', 'throwaway', 'localhost/tiny:1', '/bin/sleep', '1000');
    const at = context();
    const error = await fail(recreate, { container: 'throwaway' }, at);
    expect(error).toMatchObject({ kind: 'permanent', message: expect.stringContaining('--rm') });
    expect(at.beganCount()).toBe(0);
    expect(inspect('throwaway', '{{.State.Status}}')).toBe('running');
  });
});

describe('container.rollback-image', () => {
  itWith('podman', 'redis-server')(
    'goes back to an image that is there, and its undo goes forth again',
    async () => {
      const args = ['localhost/tiny:2', '/bin/sleep', '1000'];
      podman.run('run', '-d', '--network=host', '--name', 'other', ...args);
      const version = (): string => podman.run('exec', 'other', '/bin/cat', '/etc/version');
      expect(version()).toBe('2');
      const input = { socket: podman.socket, container: 'other', stable: '1s', grace: '1s' };
      const parsed = rollbackImage.input.parse({ ...input, image: 'localhost/tiny:1' });
      const { outputs, undo } = await rollbackImage.run(parsed, context());
      expect(version()).toBe('1');
      expect(outputs['replaced_image']).toBe(undo?.['image']);
      const same = await fail(rollbackImage, { ...input, image: 'localhost/tiny:1' });
      expect(same).toMatchObject({ kind: 'permanent', message: expect.stringContaining('already') });
      const unknown = await fail(rollbackImage, { ...input, image: 'localhost/tiny:9' });
      expect(unknown.kind).toBe('permanent');
      await run(rollbackImage, { ...input, image: undo?.['image'] ?? '' });
      expect(version()).toBe('2');
    },
    60_000,
  );
});

describe('an engine that does not do its part', () => {
  const double = async (behave: (socket: Socket) => void): Promise<string> => {
    const path = join(contexts.folder, `engine-${doubles.length}-${process.hrtime.bigint()}.sock`);
    const server = createServer((socket) => {
      sockets.push(socket);
      socket.on('error', () => undefined);
      behave(socket);
    });
    doubles.push(server);
    await new Promise<void>((resolve) => void server.listen(path, resolve));
    return path;
  };

  it('that is not there: retryable, and it says where', async () => {
    const at = context();
    const error = await failureOf(perform(restart, { container: 'cache', socket: '/nowhere/docker.sock' }, at));
    expect(error).toMatchObject({ kind: 'retryable', message: expect.stringContaining('/nowhere/docker.sock') });
    expect(at.beganCount()).toBe(0);
  });

  it.each([
    ['says nothing', () => undefined],
    [
      'drips',
      (socket: Socket) =>
        void socket.once('data', () => {
          socket.write('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n');
          setInterval(() => socket.writable && socket.write(' '), 20).unref();
        }),
    ],
  ])('F51 one that %s is left within a second of being called off', async (_what, behave) => {
    const socket = await double(behave);
    const at = context();
    const failed = perform(restart, { container: 'cache', socket }, at).then(
      () => null,
      (error: unknown) => error,
    );
    await at.clock.sleep(200);
    const from = performance.now();
    at.abort();
    expect(await failed).toMatchObject({ message: 'called off' });
    expect(performance.now() - from).toBeLessThan(1_000);
    expect(at.beganCount()).toBe(0);
  });

  it('F54 one whose answer never ends is left before it fills our memory', async () => {
    const socket = await double((made) =>
      made.once('data', () => {
        made.write('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n');
        const push = (): void => {
          while (!made.destroyed && made.write(Buffer.alloc(65_536, ' ')));
        };
        made.on('drain', push);
        push();
      }),
    );
    const error = await failureOf(perform(restart, { container: 'cache', socket }, context()));
    expect(error.kind).toBe('retryable');
  });
});
