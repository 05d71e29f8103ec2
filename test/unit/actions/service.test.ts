import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { identify } from '../../../src/actions/kernel.ts';
import restart from '../../../src/actions/service/restart.ts';
import start from '../../../src/actions/service/start.ts';
import status from '../../../src/actions/service/status.ts';
import stop from '../../../src/actions/service/stop.ts';
import { parseStatus, parseUnit } from '../../../src/actions/service/supervisor.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import { createContexts, eventually, failureOf, perform } from '../../support/action-context.ts';
import type { TestContext } from '../../support/action-context.ts';
import { startService } from '../../support/service.ts';
import type { Service } from '../../support/service.ts';

const contexts = createContexts();
const running: Service[] = [];
afterEach(async () => {
  for (const service of running.splice(0)) await service.end();
});
afterAll(() => contexts.stop());

const begin = async (settings: Parameters<typeof startService>[1] = {}): Promise<Service> => {
  const service = await startService(contexts.folder, settings);
  running.push(service);
  return service;
};
const context = (): TestContext => contexts.make({ allow: { commands: [process.execPath] } });
const quick: JsonObject = { stable: '300ms', within: '5s' };

describe('service.restart, stop, start and status', () => {
  it('V5: restarts a supervised process and says which was there before and which is now', async () => {
    const service = await begin();
    const before = service.pid();
    const given = context();
    const outputs = await perform(restart, { service: service.connect, ...quick }, given);
    expect(outputs).toMatchObject({
      changed: true,
      active: true,
      main_pid_before: before,
      restarts: 0,
      restarts_before: 0,
    });
    expect(outputs['main_pid']).not.toBe(before);
    expect(given.beganCount()).toBe(1);
    await eventually(() => service.pid() === outputs['main_pid']);
    expect(identify(before)).toBeNull();
    expect(await service.state()).toMatchObject({ pid: outputs['main_pid'] });
  });

  it('V5: without a restart of its own the supervisor is asked to stop and to start', async () => {
    const service = await begin();
    const { restart: _none, ...connect } = service.connect;
    const before = service.pid();
    expect(await perform(restart, { service: connect, ...quick }, context())).toMatchObject({
      changed: true,
      active: true,
    });
    expect(identify(before)).toBeNull();
  });

  it('stop and start do it once: the second time nothing is changed', async () => {
    const service = await begin();
    const down = { service: service.connect };
    expect(await perform(stop, down, context())).toMatchObject({ changed: true, active: false, main_pid: 0 });
    const again = context();
    expect(await perform(stop, down, again)).toMatchObject({ changed: false, active: false });
    expect(again.beganCount()).toBe(0);
    expect(await failureOf(perform(status, down, context()))).toMatchObject({
      kind: 'retryable',
      outputs: { active: false },
    });
    expect(await perform(status, { ...down, required: false }, context())).toMatchObject({ active: false });
    expect(await perform(start, { service: service.connect, ...quick }, context())).toMatchObject({
      changed: true,
      active: true,
    });
    expect(await perform(start, { service: service.connect, ...quick }, context())).toMatchObject({ changed: false });
  });

  it('F55: a service that comes up and crashes again and again is not restarted, and status sees it by the counter', async () => {
    const service = await begin();
    const up = await perform(restart, { service: service.connect, ...quick }, context());
    const known = { service: service.connect, main_pid: up['main_pid'] ?? 0, restarts: up['restarts'] ?? 0 };
    expect(await perform(status, known, context())).toMatchObject({ unchanged: true });
    service.configure({ crashAfter: 400 });
    const error = await failureOf(
      perform(restart, { service: service.connect, stable: '1s', within: '2s' }, context()),
    );
    expect(error).toMatchObject({ kind: 'permanent', message: expect.stringContaining('does not stay up') });
    expect(error.outputs?.['restarts']).toBeGreaterThan(0);
    expect(await failureOf(perform(status, known, context()))).toMatchObject({ kind: 'retryable' });
  });

  it('C4: a command that allow.commands does not name is not run', async () => {
    const service = await begin();
    const given = contexts.make();
    expect(await failureOf(perform(restart, { service: service.connect, ...quick }, given))).toMatchObject({
      kind: 'permanent',
      message: expect.stringContaining('is not allowed'),
    });
    expect(await failureOf(perform(restart, { service: { unit: 'shop.service' } }, given))).toMatchObject({
      message: expect.stringContaining('the command /usr/bin/systemctl is not allowed'),
    });
    for (const unit of ['-H evil', '--force', 'a b', '', '../x', 'a;b'])
      expect([unit, restart.input.safeParse({ service: { unit } }).success]).toEqual([unit, false]);
    expect(restart.input.safeParse({ service: { ...service.connect, start: ['node'] } }).success).toBe(false);
  });
});

/** A supervisor as init scripts are: the command itself puts the service into the background. */
const initScript = (name: string, starting = 'true'): { service: JsonObject; pid: () => number; allow: string[] } => {
  const script = join(contexts.folder, name);
  const pidFile = `${script}.pid`;
  writeFileSync(
    script,
    `#!/bin/sh
case "$1" in
  start) setsid /usr/bin/sleep 1000 </dev/null >/dev/null 2>&1 & echo $! > ${pidFile}; ${starting} ;;
  stop) kill $(cat ${pidFile}); rm -f ${pidFile} ;;
  status) kill -0 $(cat ${pidFile}) 2>/dev/null || exit 3; echo "pid $(cat ${pidFile})" ;;
esac
`,
  );
  chmodSync(script, 0o755);
  const verbs = { status: [script, 'status'], start: [script, 'start'], stop: [script, 'stop'] };
  return { service: verbs, pid: () => Number(readFileSync(pidFile, 'utf8')), allow: [script] };
};

describe('F14: what was started outlives the step that asked for it', () => {
  it('it carries no marker, so that a sweep of the step does not find it', async () => {
    const { service, pid, allow } = initScript('plain');
    const given = contexts.make({ allow: { commands: allow } });
    expect(await perform(start, { service, ...quick }, given)).toMatchObject({ active: true, main_pid: pid() });
    try {
      expect(readFileSync(`/proc/${pid()}/environ`, 'utf8')).not.toContain('AMENDS_MARKER');
      expect(await contexts.spawner.sweep(given.marker)).toBe(0);
      expect(identify(pid())).not.toBeNull();
    } finally {
      await perform(stop, { service }, contexts.make({ allow: { commands: allow } }));
    }
  });

  it('F51: a supervisor that hangs is ended within a second of being called off, and the service lives on', async () => {
    const { service, pid, allow } = initScript('hangs', 'sleep 500');
    const given = contexts.make({ allow: { commands: allow } });
    const failed = perform(start, { service, ...quick }, given).then(
      () => null,
      (error: unknown) => error,
    );
    await eventually(() => existsSync(join(contexts.folder, 'hangs.pid')));
    const begun = given.clock.monotonic();
    given.abort();
    expect(await failed).toBeInstanceOf(Error);
    expect(given.clock.monotonic() - begun).toBeLessThan(1_000);
    try {
      expect(identify(pid())).not.toBeNull();
    } finally {
      await perform(stop, { service }, contexts.make({ allow: { commands: allow } }));
    }
  });
});

describe('what supervisors say', () => {
  it('systemctl show, as systemd 252 prints it', () => {
    const text = 'MainPID=812\nNRestarts=3\nLoadState=loaded\nActiveState=active\nSubState=running\n';
    expect(parseUnit(text)).toEqual({
      loaded: true,
      active: true,
      state: 'active (running)',
      main_pid: 812,
      restarts: 3,
    });
    expect(
      parseUnit('MainPID=0\nNRestarts=0\nLoadState=not-found\nActiveState=inactive\nSubState=dead\n'),
    ).toMatchObject({
      loaded: false,
      active: false,
      main_pid: 0,
    });
    expect(parseUnit('ActiveState=activating\nSubState=auto-restart\nLoadState=loaded\nNRestarts=5')).toMatchObject({
      active: false,
      restarts: 5,
    });
  });

  it('supervisorctl and its like', () => {
    expect(parseStatus(0, 'shop   RUNNING   pid 4711, uptime 0:00:05\n')).toMatchObject({
      active: true,
      main_pid: 4711,
      restarts: -1,
    });
    expect(parseStatus(3, 'shop   STOPPED   Nov 22 03:00 AM')).toMatchObject({ active: false, main_pid: 0 });
    expect(parseStatus(0, 'service RUNNING pid 12, restarts 7')).toMatchObject({ main_pid: 12, restarts: 7 });
  });
});
