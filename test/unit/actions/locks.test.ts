import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { untouchable } from '../../../src/actions/ending.ts';
import { identify, isSameProcess, parseLocks, parseStat, withoutSecrets } from '../../../src/actions/kernel.ts';
import holdersAction from '../../../src/actions/locks/holders.ts';
import check from '../../../src/actions/sqlite/check.ts';
import releaseLock from '../../../src/actions/sqlite/release-lock.ts';
import { noteStuck, stuckFor } from '../../../src/actions/sqlite/sightings.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { createContexts, eventually, failureOf, perform } from '../../support/action-context.ts';
import { endHolder, startHolder, workOn } from '../../support/holder.ts';
import type { HolderOptions } from '../../support/holder.ts';
import { addOrders, countOrders, makeDatabase } from '../../support/sqlite-files.ts';

const contexts = createContexts();
const running: ChildProcess[] = [];

const hold = async (options: HolderOptions, name?: string): Promise<ChildProcess> => {
  const child = await startHolder(contexts.folder, options, name);
  running.push(child);
  return child;
};
const runs = (child: ChildProcess): boolean => child.exitCode === null && child.signalCode === null;

afterEach(async () => {
  await Promise.all(running.splice(0).map(endHolder));
});
afterAll(() => contexts.stop());

describe('what /proc says', () => {
  it('V3: reads locks, and leaves out who only waits', () => {
    const text = [
      '1: POSIX  ADVISORY  WRITE 4711 fe:00:12345 120 120',
      '1: -> POSIX  ADVISORY  WRITE 4712 fe:00:12345 120 120',
      '2: FLOCK  ADVISORY  WRITE 4713 00:19:1 0 EOF',
      '3: OFDLCK ADVISORY  READ -1 00:2a:77 0 EOF',
    ].join('\n');
    expect(parseLocks(text)).toEqual([
      { access: 'WRITE', pid: 4711, file: { device: 'fe:00', inode: '12345' }, start: 120, end: 120 },
      { access: 'READ', pid: -1, file: { device: '00:2a', inode: '77' }, start: 0, end: Number.MAX_SAFE_INTEGER },
    ]);
  });

  it('reads the state of a process whose name holds brackets and blanks', () => {
    const rest = Array.from({ length: 40 }, (_, index) => String(index)).join(' ');
    expect(parseStat(`12 (a) (b c) S 1 12 ${rest}`)).toMatchObject({
      name: 'a) (b c',
      state: 'S',
      parent: 1,
      group: 12,
    });
    expect(parseStat('nonsense')).toBeNull();
  });

  it('a command line is shown without its secrets', () => {
    expect(withoutSecrets('psql --password=hunter22 --db-token abc postgres://u:pw123@h/x -v')).toBe(
      'psql --password=[redacted] --db-token [redacted] postgres://u:[redacted]@h/x -v',
    );
  });

  it("C14: pids that are never signalled: '', 0, -1, 1, NaN, fractions, our own and our parent's", () => {
    for (const pid of ['', '12', Number.NaN, 0, -1, 1, 1.5, 1e9, Infinity, null, process.pid, process.ppid])
      expect(untouchable(pid)).not.toBeNull();
  });

  it('C14: a pid with another start time or executable is another process', () => {
    const own = identify(process.pid);
    expect(own).not.toBeNull();
    if (own === null) return;
    expect(isSameProcess(own)).toBe(true);
    expect(isSameProcess({ ...own, startTicks: own.startTicks + 1 })).toBe(false);
    expect(isSameProcess({ ...own, exe: '/usr/bin/other' })).toBe(false);
  });
});

describe('locks.holders', () => {
  it.each([
    ['wal', 'write'],
    ['delete', 'write'],
    ['delete', 'exclusive'],
    ['delete', 'read'],
  ] as const)('V2 V3: in journal mode %s names the process that holds %s', async (mode, does) => {
    const { path } = makeDatabase(contexts.folder, mode);
    const child = await hold({ path, does });
    const outputs = await perform(holdersAction, { path, own: ['lock-holder'] }, contexts.make());
    expect(outputs).toMatchObject({
      locked_file: path,
      process_count: 1,
      blocking_count: 1,
      own_process_locked: true,
      operation_that_failed: does === 'read' ? '' : 'write',
      lock_error_message: does === 'read' ? '' : expect.stringContaining('locked'),
      locking_processes: [
        {
          pid: child.pid,
          user: userInfo().username,
          executable: expect.stringContaining('lock-holder'),
          command_line: expect.stringContaining('lock-holder'),
          access: does === 'read' ? 'read' : 'write',
          blocking: true,
        },
      ],
    });
  });

  it('V3: in WAL mode an idle connection is only open, and a reader blocks no writer', async () => {
    const { path } = makeDatabase(contexts.folder, 'wal');
    const idle = await hold({ path, does: 'open' });
    const reader = await hold({ path, does: 'read' });
    const outputs = await perform(holdersAction, { path }, contexts.make());
    expect(outputs).toMatchObject({
      locked_file: '',
      process_count: 1,
      blocking_count: 0,
      own_process_locked: false,
      locking_processes: [{ pid: reader.pid, access: 'read', blocking: false }],
    });
    const openBy = new Set((outputs['open_by'] as Array<{ pid: number }>).map(({ pid }) => pid));
    expect(openBy).toEqual(new Set([idle.pid, reader.pid]));
  });

  it('V2: the age of a lock is counted from when it was first seen', async () => {
    const { path } = makeDatabase(contexts.folder, 'wal');
    await hold({ path, does: 'write' });
    let ahead = 0;
    const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + ahead };
    expect(await perform(holdersAction, { path }, contexts.make({ clock }))).toMatchObject({ lock_age_seconds: 0 });
    ahead = 61_000;
    expect(await perform(holdersAction, { path }, contexts.make({ clock }))).toMatchObject({ lock_age_seconds: 61 });
  });

  it('F31: a database that nobody holds has no holders', async () => {
    const { path } = makeDatabase(contexts.folder, 'wal');
    expect(await perform(holdersAction, { path }, contexts.make())).toMatchObject({
      process_count: 0,
      locking_processes: [],
      locked_file: '',
    });
  });
});

describe('sqlite.release-lock', () => {
  it.each([
    ['wal', 'write'],
    ['delete', 'exclusive'],
    ['delete', 'read'],
  ] as const)(
    'D4: in journal mode %s a hung holder (%s) is asked to end and the database can be written again',
    async (mode, does) => {
      const { path } = makeDatabase(contexts.folder, mode);
      const child = await hold({ path, does });
      const context = contexts.make();
      const outputs = await perform(releaseLock, { path, only: ['lock-holder'], busy: '50ms' }, context);
      expect(outputs).toMatchObject({
        lock_released: true,
        processes_stopped: 1,
        processes_killed: 0,
        stopped: [{ pid: child.pid }],
      });
      expect(context.beganCount()).toBe(1);
      await eventually(() => !runs(child));
      addOrders(path, 1);
      expect(countOrders(path)).toBe(501);
    },
  );

  it('D4 F51: a holder that ignores TERM is left alone without `kill`, and ended with it', async () => {
    const { path } = makeDatabase(contexts.folder, 'wal');
    const child = await hold({ path, does: 'write', ignoreTerm: true });
    const error = await failureOf(
      perform(releaseLock, { path, only: ['lock-holder'], busy: '50ms', grace: '200ms' }, contexts.make()),
    );
    expect(error).toMatchObject({ kind: 'permanent', outputs: { lock_released: false, processes_stopped: 0 } });
    expect(runs(child)).toBe(true);
    const outputs = await perform(
      releaseLock,
      { path, only: ['lock-holder'], busy: '50ms', grace: '200ms', kill: true },
      contexts.make(),
    );
    expect(outputs).toMatchObject({ lock_released: true, processes_stopped: 1 });
    expect(outputs['processes_killed']).toBeGreaterThan(0);
  });

  it('D4 F51: a stopped (SIGSTOP) holder is ended too', async () => {
    const { path } = makeDatabase(contexts.folder, 'wal');
    const child = await hold({ path, does: 'write' });
    child.kill('SIGSTOP');
    const outputs = await perform(
      releaseLock,
      { path, only: ['lock-holder'], busy: '50ms', grace: '300ms', kill: true },
      contexts.make(),
    );
    expect(outputs).toMatchObject({ lock_released: true, processes_stopped: 1 });
  });

  it('C14: a holder that `only` does not name is not signalled, and neither is one beside it that it does', async () => {
    const { path } = makeDatabase(contexts.folder, 'delete');
    const named = await hold({ path, does: 'read' });
    const stranger = await hold({ path, does: 'read' }, 'stranger');
    const error = await failureOf(
      perform(releaseLock, { path, only: ['lock-holder'], busy: '50ms', kill: true }, contexts.make()),
    );
    expect(error).toMatchObject({ kind: 'permanent', message: expect.stringContaining(`${stranger.pid}`) });
    expect([runs(named), runs(stranger)]).toEqual([true, true]);
  });

  it('F31: more holders than `max` are not signalled', async () => {
    const { path } = makeDatabase(contexts.folder, 'delete');
    const both = [await hold({ path, does: 'read' }), await hold({ path, does: 'read' })];
    const error = await failureOf(
      perform(releaseLock, { path, only: ['lock-holder'], busy: '50ms', max: 1 }, contexts.make()),
    );
    expect(error).toMatchObject({ kind: 'permanent', message: expect.stringContaining('more than max') });
    expect(both.map(runs)).toEqual([true, true]);
  });

  it('F31: an empty `only` is refused: it never means all', () => {
    expect(releaseLock.input.safeParse({ path: '/x/y', only: [] }).success).toBe(false);
    expect(releaseLock.input.safeParse({ path: '/x/y' }).success).toBe(false);
  });

  it('D4 D8: what a probe has waited for in vain is not waited for again; for another process, or for longer, it is', async () => {
    const { path } = makeDatabase(contexts.folder, 'wal');
    const ask = async (busy: string): Promise<number> => {
      const holder = await hold({ path, does: 'write' });
      if (busy !== '') await failureOf(perform(check, { path, busy }, contexts.make()));
      const from = systemClock.monotonic();
      const done = await perform(releaseLock, { path, only: ['lock-holder'], busy: '2s' }, contexts.make());
      const took = systemClock.monotonic() - from;
      expect([done['lock_released'], done['processes_stopped']]).toEqual([true, 1]);
      // Its lock is gone a moment before it is.
      await eventually(() => !runs(holder));
      return took;
    };
    expect(await ask('2s')).toBeLessThan(1_900);
    // The process is another one, of which nobody knows anything; and then a probe that was less patient.
    expect(await ask('')).toBeGreaterThanOrEqual(1_900);
    expect(await ask('100ms')).toBeGreaterThanOrEqual(1_900);
  }, 30_000);

  it.each(['wal', 'delete'] as const)(
    'D4 C14: who has written since a probe waited in vain is not hung, and is waited for (%s)',
    async (mode) => {
      const { path } = makeDatabase(contexts.folder, mode);
      const holder = await hold({ path, does: 'write' });
      await failureOf(perform(check, { path, busy: '2s' }, contexts.make()));
      await workOn(holder, 700);
      const done = await perform(releaseLock, { path, only: ['lock-holder'], busy: '2s' }, contexts.make());
      expect([done['lock_released'], done['processes_stopped'], runs(holder)]).toEqual([true, 0, true]);
    },
    30_000,
  );

  it('D4: such a wait counts for all who hold it, for a minute and a half, and only until the next look', () => {
    let now = 0;
    const clock = { ...systemClock, monotonic: () => now };
    const seen = (path: string, holders: readonly string[], ms: number): void =>
      noteStuck(path, { holders, ms, written: 'then' }, clock);
    const waited = (path: string, holders: readonly string[], written = 'then'): number =>
      stuckFor(path, holders, written, clock);
    seen('/a', ['1@1', '2@2'], 1_000);
    seen('/b', ['1@1'], 500);
    expect([waited('/a', ['1@1', '2@2']), waited('/a', ['1@1', '3@3'])]).toEqual([1_000, 0]);
    expect([waited('/a', []), waited('/b', ['1@1']), waited('/a', ['1@9'])]).toEqual([0, 500, 0]);
    expect(waited('/b', ['1@1'], 'later')).toBe(0);
    now = 90_001;
    expect(waited('/a', ['1@1'])).toBe(0);
    seen('/a', ['1@1'], 1_000);
    seen('/a', [], 1_000);
    expect(waited('/a', ['1@1'])).toBe(0);
  });

  it('D4: nothing is done when the lock is free by itself, and readers of a WAL live on', async () => {
    const { path } = makeDatabase(contexts.folder, 'wal');
    const reader = await hold({ path, does: 'read' });
    expect(await perform(releaseLock, { path, only: ['lock-holder'] }, contexts.make())).toMatchObject({
      lock_released: true,
      processes_stopped: 0,
    });
    expect(runs(reader)).toBe(true);
  });

  it('D4: what stands in the WAL of a killed holder is in the database afterwards, its files are not deleted', async () => {
    const { path } = makeDatabase(contexts.folder, 'wal', 10);
    const reader = await hold({ path, does: 'read' });
    addOrders(path, 10);
    const wal = readFileSync(`${path}-wal`).length;
    expect(wal).toBeGreaterThan(0);
    const writer = await hold({ path, does: 'write' });
    await perform(releaseLock, { path, only: ['lock-holder'], busy: '50ms', kill: true }, contexts.make());
    await eventually(() => !runs(writer));
    expect(runs(reader)).toBe(true);
    expect(existsSync(`${path}-wal`)).toBe(true);
    expect(countOrders(path)).toBe(20);
  });
});
