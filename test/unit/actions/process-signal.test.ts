import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pidsWithEnvironment } from '../../../src/actions/kernel.ts';
import signalAction from '../../../src/actions/process/signal.ts';
import { createContexts, eventually, failureOf, perform } from '../../support/action-context.ts';
import { endHolder } from '../../support/holder.ts';

const contexts = createContexts();
const pidFile = join(contexts.folder, 'service.pid');
const running: ChildProcess[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map(endHolder));
});
afterAll(() => contexts.stop());

/** A shell as a service; ready once it has said so. */
const serve = async (text: string): Promise<ChildProcess> => {
  const child = spawn('/bin/sh', ['-c', text], {
    detached: true,
    env: { SERVICE: pidFile },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  running.push(child);
  await new Promise((resolve) => child.stdout?.once('data', resolve));
  writeFileSync(pidFile, `${child.pid}\n`);
  return child;
};
const runs = (child: ChildProcess): boolean => child.exitCode === null && child.signalCode === null;
const only = ['sh', 'dash', 'bash'];

describe('process.signal', () => {
  it('TERM ends the process of the pid file', async () => {
    const child = await serve('echo ready; while true; do sleep 0.02; done');
    const context = contexts.make();
    expect(await perform(signalAction, { pid_file: pidFile, only }, context)).toMatchObject({
      pid: child.pid,
      signalled: true,
      ended: true,
      escalated: false,
    });
    expect(context.beganCount()).toBe(1);
    await eventually(() => !runs(child));
  });

  it('HUP is sent and the process lives on', async () => {
    const child = await serve("trap 'echo hup' HUP; echo ready; while true; do sleep 0.02; done");
    const heard = new Promise<string>((resolve) =>
      child.stdout?.once('data', (chunk: Buffer) => resolve(chunk.toString())),
    );
    expect(await perform(signalAction, { pid_file: pidFile, only, signal: 'HUP' }, contexts.make())).toMatchObject({
      signalled: true,
      ended: false,
    });
    expect(await heard).toBe('hup\n');
    expect(runs(child)).toBe(true);
  });

  it('F51: one that ignores TERM fails without `escalate`, and with it is killed with what it had started', async () => {
    const child = await serve("trap '' TERM; sleep 100 & echo ready; while true; do sleep 0.05; done");
    const input = { pid_file: pidFile, only, grace: '150ms' };
    expect(await failureOf(perform(signalAction, input, contexts.make()))).toMatchObject({
      kind: 'permanent',
      outputs: { ended: false },
    });
    expect(runs(child)).toBe(true);
    expect(await perform(signalAction, { ...input, escalate: true }, contexts.make())).toMatchObject({
      ended: true,
      escalated: true,
    });
    await eventually(() => pidsWithEnvironment('SERVICE', pidFile).length === 0);
  });

  it('F51: a stopped process is ended too', async () => {
    const child = await serve('echo ready; while true; do sleep 0.02; done');
    child.kill('SIGSTOP');
    expect(
      await perform(signalAction, { pid_file: pidFile, only, grace: '1s', escalate: true }, contexts.make()),
    ).toMatchObject({ ended: true });
  });

  it.each([
    '',
    '0',
    '-1',
    '1',
    '1e3',
    '0x1',
    '01',
    ' ',
    'abc',
    '1 2',
    '99999999',
    String(process.pid),
    String(process.ppid),
    '12\n13',
    '9'.repeat(40),
  ])('C14: a pid file that says %j leads to no signal', async (text) => {
    writeFileSync(pidFile, text);
    const context = contexts.make();
    expect(
      await failureOf(
        perform(
          signalAction,
          { pid_file: pidFile, only: [...only, 'node', 'npm', 'systemd', 'init'], signal: 'HUP' },
          context,
        ),
      ),
    ).toMatchObject({ kind: 'permanent' });
    expect(context.beganCount()).toBe(0);
  });

  it('C14: a pid that was given to a younger process, or to one of another name, gets no signal', async () => {
    const child = await serve('echo ready; while true; do sleep 0.02; done');
    const context = contexts.make();
    expect(await failureOf(perform(signalAction, { pid_file: pidFile, only: ['shop'] }, context))).toMatchObject({
      kind: 'permanent',
      message: expect.stringContaining('does not name'),
    });
    const longAgo = new Date('2020-01-01T00:00:00Z');
    utimesSync(pidFile, longAgo, longAgo);
    expect(await failureOf(perform(signalAction, { pid_file: pidFile, only }, context))).toMatchObject({
      kind: 'permanent',
      message: expect.stringContaining('older than process'),
    });
    expect([context.beganCount(), runs(child)]).toEqual([0, true]);
  });

  it('F31: no pid file is a failure; a process that has ended is what TERM wanted', async () => {
    const child = await serve('echo ready; while true; do sleep 0.02; done');
    await endHolder(child);
    expect(await perform(signalAction, { pid_file: pidFile, only }, contexts.make())).toMatchObject({
      signalled: false,
      ended: true,
    });
    expect(
      await failureOf(perform(signalAction, { pid_file: pidFile, only, signal: 'HUP' }, contexts.make())),
    ).toMatchObject({ kind: 'permanent' });
    expect(
      await failureOf(perform(signalAction, { pid_file: join(contexts.folder, 'none.pid'), only }, contexts.make())),
    ).toMatchObject({ kind: 'permanent' });
  });

  it('C8: a pid file that is a link is refused', async () => {
    const link = join(contexts.folder, 'link.pid');
    symlinkSync('/etc/hostname', link);
    expect(await failureOf(perform(signalAction, { pid_file: link, only }, contexts.make()))).toMatchObject({
      message: expect.stringContaining('symbolic link'),
    });
  });
});
