import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { setMaxListeners } from 'node:events';
import { chmodSync, existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import command from '../../../src/actions/command/run.ts';
import { compiled } from '../../../src/actions/compiled.ts';
import { pidsWithEnvironment } from '../../../src/actions/kernel.ts';
import { createOutputWindow } from '../../../src/actions/output-window.ts';
import { MARKER } from '../../../src/actions/spawner-child.ts';
import { createSpawner } from '../../../src/actions/spawner.ts';
import { systemClock } from '../../../src/base/clock.ts';
import { createLog } from '../../../src/base/log.ts';
import { createRedactor } from '../../../src/base/secret.ts';
import type { CommandRequest } from '../../../src/port/action.ts';
import { createContexts, eventually, failureOf, perform } from '../../support/action-context.ts';

const contexts = createContexts();
const log = createLog('silent', createRedactor());
let count = 0;
const nextMarker = (): string => `run-${process.pid}-${(count += 1)}/step`;
const never = new AbortController().signal;
setMaxListeners(1_000, never);

const request = (argv: readonly string[], more: Partial<CommandRequest> = {}): CommandRequest => ({
  file: argv[0] ?? '',
  args: argv.slice(1),
  env: { PATH: '/usr/bin:/bin' },
  cwd: '/',
  stdin: null,
  timeoutMs: 10_000,
  graceMs: 200,
  ...more,
});
// The tests' own programs; a shell is what a hostile command would use.
const shell = (text: string): readonly string[] => ['/bin/sh', '-c', text];
const alive = (marker: string): number => pidsWithEnvironment(MARKER, marker).length;

const used: string[] = [];
const fresh = (): string => {
  const marker = nextMarker();
  used.push(marker);
  return marker;
};
afterEach(async () => {
  for (const marker of used.splice(0)) await contexts.spawner.sweep(marker);
});
afterAll(() => contexts.stop());

describe('the spawner', () => {
  it('C4: hands over arguments as they are, without a shell, and nothing of our environment', async () => {
    const nasty = ['$(id)', '; rm -rf /', '`id`', '*', '', ' a  b ', '"', "'", '\n', '\\', '--', 'ü'];
    const result = await contexts.spawner.run(request(['/usr/bin/printf', '<%s>', ...nasty]), fresh(), never);
    expect(result).toMatchObject({ started: true, exitCode: 0, signal: null, timedOut: false, error: null });
    expect(result.stdout.text).toBe(nasty.map((item) => `<${item}>`).join(''));
    const marker = fresh();
    const environment = await contexts.spawner.run(request(['/usr/bin/env'], { env: { A: 'b' } }), marker, never);
    expect(environment.stdout.text.trim().split('\n').toSorted()).toEqual(['A=b', `${MARKER}=${marker}`]);
  });

  it('gives stdin, exit code, signal and stderr back', async () => {
    expect(await contexts.spawner.run(request(['/bin/cat'], { stdin: 'hello' }), fresh(), never)).toMatchObject({
      exitCode: 0,
      stdout: { text: 'hello', dropped: 0 },
    });
    expect(await contexts.spawner.run(request(shell('echo oops >&2; exit 3')), fresh(), never)).toMatchObject({
      exitCode: 3,
      stderr: { text: 'oops\n' },
    });
    expect(await contexts.spawner.run(request(shell('kill -SEGV $$')), fresh(), never)).toMatchObject({
      exitCode: null,
      signal: 'SIGSEGV',
      timedOut: false,
    });
    expect(await contexts.spawner.run(request(shell('exit 124')), fresh(), never)).toMatchObject({
      exitCode: 124,
      timedOut: false,
    });
  });

  it('F53: what cannot be started has not started', async () => {
    const notExecutable = join(contexts.folder, 'plain');
    writeFileSync(notExecutable, 'text');
    const noFormat = join(contexts.folder, 'no-format');
    writeFileSync(noFormat, 'echo run by a shell that nobody asked for');
    chmodSync(noFormat, 0o755);
    const noInterpreter = join(contexts.folder, 'no-interpreter');
    writeFileSync(noInterpreter, '#!/no/such/interpreter\n');
    chmodSync(noInterpreter, 0o755);
    for (const file of ['/no/such/file', notExecutable, noFormat, noInterpreter, contexts.folder]) {
      const result = await contexts.spawner.run(request([file]), fresh(), never);
      expect(result).toMatchObject({ started: false, exitCode: null, error: expect.stringMatching(/./) });
    }
    const tooLong = await contexts.spawner.run(request(['/bin/echo', 'x'.repeat(200_000)]), fresh(), never);
    expect(tooLong).toMatchObject({ started: false, error: expect.stringContaining('E2BIG') });
  });

  it.each([
    ['hangs', 'sleep 100'],
    ['ignores TERM', "trap '' TERM; while true; do sleep 1; done"],
    ['double-forks with setsid', '(setsid sleep 100 & ) ; setsid sh -c "trap \'\' TERM; sleep 100 & wait" & wait'],
    ['stops itself', 'sleep 100 & kill -STOP $$'],
    ['closes its output', 'exec >&- 2>&-; sleep 100'],
  ])('F51 F14: a child that %s is gone with all it started soon after the deadline', async (_what, text) => {
    const marker = fresh();
    const start = systemClock.monotonic();
    const result = await contexts.spawner.run(request(shell(text), { timeoutMs: 300 }), marker, never);
    expect(result).toMatchObject({ started: true, timedOut: true });
    expect(systemClock.monotonic() - start).toBeLessThan(5_000);
    expect(alive(marker)).toBe(0);
  });

  it('F51: a child that heeds TERM gets its grace', async () => {
    const result = await contexts.spawner.run(
      request(shell("trap 'echo tidied; exit 0' TERM; while true; do sleep 0.02; done"), {
        timeoutMs: 300,
        graceMs: 3_000,
      }),
      fresh(),
      never,
    );
    expect(result).toMatchObject({ timedOut: true, stdout: { text: 'tidied\n' } });
  });

  it('F51: called off, everything is gone within a second', async () => {
    const marker = fresh();
    const controller = new AbortController();
    const run = contexts.spawner.run(
      request(shell("trap '' TERM; setsid sleep 100 & sleep 100"), { graceMs: 60_000, timeoutMs: 60_000 }),
      marker,
      controller.signal,
    );
    await eventually(() => alive(marker) >= 3);
    const start = systemClock.monotonic();
    controller.abort(new Error('called off'));
    await run;
    expect(systemClock.monotonic() - start).toBeLessThan(1_000);
    expect(alive(marker)).toBe(0);
  });

  it('F51: a daemon that holds the output does not delay the result, and lives on', async () => {
    const marker = fresh();
    const start = systemClock.monotonic();
    const result = await contexts.spawner.run(request(shell('setsid sleep 100 & echo started')), marker, never);
    expect(result).toMatchObject({ exitCode: 0, stdout: { text: 'started\n' } });
    expect(systemClock.monotonic() - start).toBeLessThan(2_000);
    expect(alive(marker)).toBe(1);
    expect(await contexts.spawner.sweep(marker)).toBe(1);
    expect(alive(marker)).toBe(0);
  });

  it('F52: a flood of output costs no memory, and its two ends are kept', async () => {
    const marker = fresh();
    const started = systemClock.monotonic();
    const before = process.memoryUsage().rss;
    const result = await contexts.spawner.run(
      request(shell('echo first; head -c 1000000000 /dev/zero; echo last'), { timeoutMs: 25_000 }),
      marker,
      never,
    );
    expect(systemClock.monotonic() - started).toBeLessThan(25_000);
    expect(result.stdout.text.startsWith('first\n')).toBe(true);
    expect(result.stdout.text.endsWith('last\n')).toBe(true);
    expect(result.stdout.text.length + result.stdout.dropped).toBe(1_000_000_000 + 6 + 5);
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024);
  });

  it('F52: the window keeps exactly both ends, in pieces of any size', () => {
    for (const piece of [1, 7, 64, 1_000]) {
      const window = createOutputWindow(10);
      const all = Buffer.from(Array.from({ length: 1_000 }, (_, index) => 97 + (index % 26)));
      for (let at = 0; at < all.length; at += piece) window.add(all.subarray(at, at + piece));
      expect(window.read()).toEqual({
        text: all.subarray(0, 10).toString() + all.subarray(-10).toString(),
        dropped: 980,
      });
    }
    const small = createOutputWindow(10);
    small.add(Buffer.from('fifteen letters'));
    expect(small.read()).toEqual({ text: 'fifteen letters', dropped: 0 });
  });

  it('F53: descriptors are given back: as many after a hundred commands as before', async () => {
    const spawner = createSpawner({ log, clock: systemClock });
    const descriptors = (): number => readdirSync('/proc/self/fd').length;
    await spawner.run(request(['/bin/true']), fresh(), never);
    const before = descriptors();
    await Promise.all(Array.from({ length: 100 }, () => spawner.run(request(['/bin/true']), 'run/many', never)));
    expect(descriptors()).toBeLessThanOrEqual(before + 1);
    await spawner.stop();
  });

  it('F14: the helper ends when it is idle, starts again when needed, and stop() leaves nothing', async () => {
    const spawner = createSpawner({ log, clock: systemClock, idleMs: 50 });
    const parentOf = async (): Promise<string> =>
      (await spawner.run(request(shell('cut -d" " -f4 /proc/$$/stat')), 'run/parent', never)).stdout.text.trim();
    const first = Number(await parentOf());
    await eventually(() => !existsSync(`/proc/${first}`));
    expect(Number(await parentOf())).not.toBe(first);
    const marker = fresh();
    const hanging = spawner
      .run(request(shell('setsid sleep 100 & sleep 100')), marker, never)
      .catch((error: unknown) => error);
    await eventually(() => alive(marker) >= 3);
    await spawner.stop();
    expect(alive(marker)).toBe(0);
    expect(await hanging).toMatchObject({ kind: 'indeterminate' });
    await expect(spawner.run(request(['/bin/true']), marker, never)).rejects.toThrow(/stopping/);
  });

  it('F14: kill -9 of amends ends the children within 5 s, those in sessions of their own too', async () => {
    const marker = fresh();
    const program = `
      import { createSpawner } from ${JSON.stringify(compiled('../../../src/actions/spawner.ts', import.meta.url).href)};
      import { systemClock } from ${JSON.stringify(compiled('../../../src/base/clock.ts', import.meta.url).href)};
      const spawner = createSpawner({ log: console, clock: systemClock });
      spawner.run({ file: '/bin/sh', args: ['-c', "trap '' TERM; setsid sleep 100 & sleep 100"], env: {}, cwd: '/', stdin: null, timeoutMs: 60000, graceMs: 60000 }, ${JSON.stringify(marker)}, new AbortController().signal);`;
    const amends = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'ignore' });
    await eventually(() => alive(marker) >= 3);
    amends.kill('SIGKILL');
    await eventually(() => alive(marker) === 0, 5_000);
  });

  it('F14: kill -9 of the helper ends the command by the death signal, and the run is not known to have done anything', async () => {
    const spawner = createSpawner({ log, clock: systemClock });
    const helper = Number(
      (await spawner.run(request(shell('cut -d" " -f4 /proc/$PPID/stat')), 'run/helper', never)).stdout.text.trim(),
    );
    const marker = fresh();
    const run = failureOf(spawner.run(request(['/bin/sleep', '100']), marker, never));
    await eventually(() => alive(marker) > 0);
    expect(readFileSync(`/proc/${helper}/cmdline`, 'utf8')).toContain('spawner-child');
    process.kill(helper, 'SIGKILL');
    expect((await run).kind).toBe('indeterminate');
    await eventually(() => alive(marker) === 0, 5_000);
    expect(await spawner.run(request(['/bin/true']), fresh(), never)).toMatchObject({ exitCode: 0 });
    await spawner.stop();
  });
});

describe('command.run', () => {
  const allow = { commands: ['/bin/echo', '/bin/sleep', '/bin/false', '/no/such/file', '/bin/cat'] };

  it('C4: only what allow.commands names is run, by its whole path', async () => {
    const context = contexts.make({ allow });
    const error = await failureOf(perform(command, { argv: ['/bin/sh', '-c', 'id'] }, context));
    expect(error).toMatchObject({
      kind: 'permanent',
      message: expect.stringContaining('add "/bin/sh" to allow.commands'),
    });
    expect(context.beganCount()).toBe(0);
    for (const argv of [['echo'], ['./echo'], ['/bin/../bin/echo'], ['/bin//echo'], [], ['/bin/echo', 'a\0b']])
      expect(command.input.safeParse({ argv }).success).toBe(false);
  });

  it('C4: an argument that looks like shell stays an argument', async () => {
    const context = contexts.make({ allow });
    expect(await perform(command, { argv: ['/bin/echo', '$(id)', '; id'] }, context)).toMatchObject({
      exit_code: 0,
      stdout: '$(id) ; id\n',
    });
    expect(context.beganCount()).toBe(1);
  });

  it('another exit code than expected fails, with the outputs', async () => {
    expect(await failureOf(perform(command, { argv: ['/bin/false'] }, contexts.make({ allow })))).toMatchObject({
      kind: 'retryable',
      outputs: { exit_code: 1 },
    });
    expect(await perform(command, { argv: ['/bin/false'], expect: [1] }, contexts.make({ allow }))).toMatchObject({
      exit_code: 1,
    });
    expect(await perform(command, { argv: ['/bin/cat'], stdin: 'in' }, contexts.make({ allow }))).toMatchObject({
      stdout: 'in',
    });
  });

  it('F53: a missing executable fails for good: nothing happened', async () => {
    expect(await failureOf(perform(command, { argv: ['/no/such/file'] }, contexts.make({ allow })))).toMatchObject({
      kind: 'permanent',
    });
  });

  it('F51: at the time limit of the step the command is gone, and what it did is not known', async () => {
    const context = contexts.make({ allow, timeout: 600 });
    const error = await failureOf(perform(command, { argv: ['/bin/sleep', '100'] }, context));
    expect(error).toMatchObject({ kind: 'indeterminate' });
    expect(context.clock.monotonic()).toBeLessThan(context.deadline + 1_000);
    expect(alive(context.marker)).toBe(0);
  });
});
