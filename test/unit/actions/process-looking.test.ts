import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { chmodSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import handles from '../../../src/actions/process/handles.ts';
import limits from '../../../src/actions/process/limits.ts';
import memory from '../../../src/actions/process/memory.ts';
import signal from '../../../src/actions/process/signal.ts';
import waitReady from '../../../src/actions/process/wait-ready.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import type { Action } from '../../../src/port/action.ts';
import { createContexts, eventually, failureOf, perform } from '../../support/action-context.ts';
import { SERVICE_NAME, startService } from '../../support/service.ts';
import type { Service } from '../../support/service.ts';
import { itAsRoot } from '../../support/small-disk.ts';

const contexts = createContexts();
chmodSync(contexts.folder, 0o755);
let service: Service;
beforeAll(async () => {
  service = await startService(contexts.folder, { leakMegabytes: 150, handles: 300 });
});
afterAll(async () => {
  await service.end();
  await contexts.stop();
});
afterEach(() => writeFileSync(service.pidFile, readFileSync(service.pidFile)));

const named = (): JsonObject => ({ pid_file: service.pidFile, only: [SERVICE_NAME] });
const run = <Input>(action: Action<Input>, input: JsonObject = {}): Promise<JsonObject> =>
  perform(action, { ...named(), ...input }, contexts.make());

describe('process.memory', () => {
  it('R15: measures a real process before and after it was asked by a signal to collect', async () => {
    const before = await run(memory);
    expect(before).toMatchObject({ pid: service.pid(), name: SERVICE_NAME, freed_bytes: 0 });
    expect(before['rss_bytes']).toBeGreaterThan(150 * 2 ** 20);
    expect(before['available_bytes']).toBeGreaterThan(before['rss_bytes'] as number);
    await run(signal, { signal: 'USR2' });
    const freed = await eventually(async () => {
      const now = await run(memory, { since_rss_bytes: before['rss_bytes'] ?? 0 });
      return (now['freed_bytes'] as number) > 100 * 2 ** 20 ? now : null;
    });
    expect(freed['peak_bytes']).toBeGreaterThan((before['rss_bytes'] as number) * 0.9);
    expect(freed['memory_used_percent']).toBeLessThan(before['memory_used_percent'] as number);
  });
});

describe('process.handles and process.limits', () => {
  itAsRoot(
    'R16: counts what a leaking process has open, raises its limit, and sees what its owner lets go of',
    async () => {
      // Node takes all that its hard limit allows; this one was given less.
      execFileSync('prlimit', ['--pid', String(service.pid()), '--nofile=400:']);
      const before = await run(handles);
      expect(before).toMatchObject({
        pid: service.pid(),
        most: [{ path: join(service.folder, 'settings.json'), count: 300 }, ...(before['most'] as []).slice(1)],
      });
      expect((before['kinds'] as JsonObject)['file']).toBeGreaterThanOrEqual(300);
      expect(before['open_handles']).toBeGreaterThan(300);
      const soft = before['soft_limit'] as number;
      const context = contexts.make();
      const raised = await perform(limits, { ...named(), raise_to: soft + 1_000, max: soft + 1_000 }, context);
      expect(raised).toMatchObject({ raised: true, soft_before: soft, soft_limit: soft + 1_000 });
      expect(context.beganCount()).toBe(1);
      expect(readFileSync(`/proc/${service.pid()}/limits`, 'utf8')).toMatch(
        new RegExp(`^Max open files +${soft + 1_000} `, 'm'),
      );
      expect(await run(limits, { raise_to: soft, max: soft + 1_000 })).toMatchObject({
        raised: false,
        soft_limit: soft + 1_000,
      });
      await run(signal, { signal: 'HUP' });
      const after = await eventually(async () => {
        const now = await run(handles, { since_handles: before['open_handles'] ?? 0 });
        return (now['released_handles'] as number) > 0 ? now : null;
      });
      expect(after['released_handles']).toBe(300);
      expect(after['handles_used_percent']).toBeLessThan(before['handles_used_percent'] as number);
    },
  );

  it('R16: never beyond the declared maximum', async () => {
    const context = contexts.make();
    expect(await failureOf(perform(limits, { ...named(), raise_to: 5_000, max: 4_000 }, context))).toMatchObject({
      kind: 'permanent',
      message: expect.stringContaining('more than the declared maximum (4000)'),
    });
    expect(context.beganCount()).toBe(0);
  });
});

describe('C14: which process', () => {
  it.each([
    ['handles', handles],
    ['memory', memory],
    ['limits', limits],
  ])('process.%s leaves alone one of another name, a younger one, and what is no process', async (_name, action) => {
    const more: JsonObject = action === (limits as unknown) ? { raise_to: 10, max: 10 } : {};
    const failed = (input: JsonObject): Promise<{ kind: string; message: string }> =>
      failureOf(run(action as Action, { ...more, ...input }));
    expect(await failed({ only: ['other'] })).toMatchObject({
      kind: 'permanent',
      message: expect.stringContaining('does not name'),
    });
    const longAgo = new Date('2020-01-01T00:00:00Z');
    utimesSync(service.pidFile, longAgo, longAgo);
    expect(await failed({})).toMatchObject({
      kind: 'permanent',
      message: expect.stringContaining('older than process'),
    });
    const bad = join(contexts.folder, 'bad.pid');
    for (const text of ['', '0', '-1', '1', 'abc', '4194304', String(process.pid)]) {
      writeFileSync(bad, text);
      expect([text, (await failed({ pid_file: bad })).kind]).toEqual([text, 'permanent']);
    }
  });
});

describe('process.wait-ready', () => {
  it('says which process it is once it has been the same for a while and listens', async () => {
    const outputs = await run(waitReady, { listens_on: service.port(), stable: '300ms' });
    expect(outputs).toMatchObject({ pid: service.pid(), name: SERVICE_NAME, restarts_seen: 0 });
    expect(outputs['waited_seconds']).toBeGreaterThanOrEqual(0.3);
  });

  it('F55: a process that is started again and again, the one before the restart, or one on another port is not ready', async () => {
    const crashing = await startService(contexts.folder, { crashAfter: 300 });
    try {
      const error = await failureOf(
        perform(
          waitReady,
          { pid_file: crashing.pidFile, only: [SERVICE_NAME], stable: '2s', within: '3s' },
          contexts.make(),
        ),
      );
      expect(error).toMatchObject({ kind: 'retryable', message: expect.stringMatching(/started anew [1-9]\d* times/) });
    } finally {
      await crashing.end();
    }
    for (const [input, why] of [
      [{ not_pid: service.pid() }, `it is still process ${service.pid()}`],
      [{ listens_on: 1 }, 'does not listen on port 1'],
      [{ pid_file: join(contexts.folder, 'none.pid') }, 'cannot be read'],
    ] as const)
      expect(await failureOf(run(waitReady, { ...input, within: '200ms' }))).toMatchObject({
        kind: 'retryable',
        message: expect.stringContaining(why),
      });
  });
});
