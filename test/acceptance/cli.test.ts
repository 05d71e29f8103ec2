// Every command as people and scripts run it: a process of its own against a real `amends serve`.
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createLauncher } from '../support/command.ts';
import type { Ended, Launched } from '../support/command.ts';
import type { Running } from '../support/servers.ts';
import { getJson, root, startedHere, until } from '../support/servers.ts';
import { makeDatabase } from '../support/sqlite-files.ts';

type Row = Record<string, unknown>;

const servers = startedHere();
const launcher = createLauncher();
let folder: string;
let config: string;
let server: Running;

const amends = (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> =>
  launcher.launch(args, { cwd: folder, env }).ended;

/** Against the server of this file, with its answer as JSON. */
const asked = async (code: number, ...args: readonly string[]): Promise<Row> => {
  const ran = await amends([...args, `--url=${server.url}`, '--output=json']);
  expect({ args, code: ran.code, err: ran.code === code ? '' : ran.err }).toEqual({ args, code, err: '' });
  return JSON.parse(ran.out) as Row;
};

const configuration = (at: string): string => {
  const orders = makeDatabase(at, 'wal');
  return JSON.stringify({
    version: 1,
    rule_files: [join(root, 'rules/database/*.json')],
    runbook_files: [join(root, 'runbooks/database/*.yaml'), 'runbooks/**/*.yaml'],
    recovery: { mode: 'auto', attempts: [{ max: 20, per: '1h' }], budget: [{ max: 50, per: '1h' }] },
    components: {
      'shop-db': {
        kind: 'database',
        inventory: { static: [{ target: 'orders', connect: { path: orders.path, backups: orders.backups } }] },
        allow: { actions: ['sqlite.*', 'locks.*', 'inbox.*'] },
      },
      slow: {
        kind: 'slow',
        inventory: { static: ['one'] },
        cooldown: { after_failure: '0s', after_success: '0s' },
        allow: { actions: ['wait.*'] },
      },
    },
    degraded_modes: { database_unavailable: { available: [], unavailable: ['orders'], impact: 'nothing is sold' } },
    allow: { paths: [at] },
  });
};

const SLOW = `version: 1
summary: Waits.
severity: SEV4
inputs: { length: { type: duration, default: 25s } }
timeout: 60s
steps:
  - { id: linger, uses: wait.for, with: { duration: "\${{ inputs.length }}" } }
verify:
  - { uses: wait.for, with: { duration: 1ms } }
guide: |
  Nothing to do.
`;

const post = async (labels: Readonly<Record<string, string>>): Promise<void> => {
  const alert = {
    status: 'firing',
    labels,
    annotations: {},
    startsAt: new Date().toISOString(),
    endsAt: '0001-01-01T00:00:00Z',
    generatorURL: '',
    fingerprint: '1',
  };
  const body = {
    version: '4',
    groupKey: 'g',
    truncatedAlerts: 0,
    status: 'firing',
    receiver: 'amends',
    groupLabels: {},
    commonLabels: labels,
    commonAnnotations: {},
    externalURL: '',
    alerts: [alert],
  };
  const response = await fetch(`${server.url}/webhook/alertmanager`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  expect(response.status).toBe(202);
};

beforeAll(async () => {
  folder = await servers.folder();
  mkdirSync(join(folder, 'runbooks/slow'), { recursive: true });
  writeFileSync(join(folder, 'runbooks/slow/linger.yaml'), SLOW);
  config = join(folder, 'amends.yaml');
  writeFileSync(config, configuration(folder));
  server = await servers.amends({ config, args: [`--storage.path=${join(folder, 'data')}`] });
}, 60_000);

afterAll(async () => {
  await launcher.endAll();
  await servers.stopAll();
});

describe('the command line by itself', () => {
  it('R21 every command says how it is used, with examples', async () => {
    const { out } = await amends(['--help']);
    const commands = [...out.matchAll(/^ {2}([a-z][a-z-]*) /gm)]
      .map((match) => match[1] ?? '')
      .filter((name) => name !== 'help');
    expect(commands).toEqual(
      expect.arrayContaining([
        'serve',
        'demo',
        'check',
        'recover',
        'runs',
        'history',
        'status',
        'approve',
        'deny',
        'halt',
        'resume',
        'disable',
        'enable',
      ]),
    );
    for (const command of commands) {
      const help = await amends([command, '--help']);
      expect(help).toMatchObject({ code: 0, err: '' });
      expect(help.out).toMatch(new RegExp(`Examples:\n {2}amends ${command}`));
    }
  }, 60_000);

  it.each([
    [['stauts'], /no command "stauts"\. Did you mean status\?/],
    [['status', '--bogus'], /unknown option '--bogus'/],
    [['runs', 'show'], /missing required argument 'run'/],
    [['history', '--hours=soon'], /--hours: a whole number/],
    [['status', '--url=nowhere'], /is not an http or https address/],
    [['status', '--output=xml'], /Allowed choices are table, json/],
    [['recover', '--component=cache'], /either a --strategy or a --failure-type/],
    [['recover', '--component=cache', '--strategy=reconnect', '--override=cooldown'], /takes a --reason/],
    [['recover', '--component=cache', '--strategy=reconnect', '--context=[1]'], /a JSON object is expected/],
    [['disable'], /either a component or a --rule/],
    [['serve', '--recovery.mode=bold'], /"bold" is not a mode/],
    [[], /Usage: amends/],
  ])('a wrong command line (%j) is refused with what is wrong, exit 2', async (args, message) => {
    const ran = await amends(args);
    expect(ran.err).toMatch(message);
    expect(ran).toMatchObject({ code: 2, out: '' });
  });

  it('a server that does not answer is said with what to do, exit 1', async () => {
    const ran = await amends(['status'], { AMENDS_URL: 'http://127.0.0.1:9' });
    expect(ran).toMatchObject({ code: 1, out: '' });
    expect(ran.err).toMatch(/amends does not answer at http:\/\/127\.0\.0\.1:9 \(.+\)\.\nStart it with: amends serve/);
  });
});

describe('check', () => {
  it('good files are exit 0, with what was found', async () => {
    const only = ['rules', 'runbooks'].map((what) => join(root, what, 'database'));
    const ran = await amends(['check', `--config.file=${config}`, ...only, '--output=json']);
    expect(ran).toMatchObject({ code: 0, err: '' });
    const shipped = (what: string): number =>
      readdirSync(join(root, what, 'database')).filter((name) => !name.includes('.test.')).length;
    const [rules, runbooks] = [shipped('rules'), shipped('runbooks') + 1];
    expect(JSON.parse(ran.out)).toMatchObject({ ok: true, problems: [], components: 2, rules, runbooks });
  });

  it('R21 runbook test says whether a strategy is valid for what is configured, with place and mend, and runs nothing', async () => {
    const valid = await amends(['runbook', 'test', 'database/restore-backup', '--component=shop-db', '--output=json']);
    expect([valid.code, JSON.parse(valid.out)]).toEqual([
      0,
      expect.objectContaining({
        ok: true,
        runbook: 'database/restore-backup',
        targets: ['shop-db/orders'],
        problems: [],
      }),
    ]);
    // It asks for what this target's connect does not say, and for an action that its component does not allow.
    const unfit = await amends(['runbook', 'test', 'database/release-lock', '--output=json']);
    expect(unfit.code).toBe(1);
    expect(JSON.parse(unfit.out)).toMatchObject({
      ok: false,
      problems: [
        {
          code: 'missing-connect',
          message: 'orders has no connect.holders, which sqlite.release-lock needs',
          pointer: '/steps/0/with/only',
        },
      ],
    });
    const inputs = (text: string): Promise<Ended> =>
      amends(['runbook', 'test', 'slow/linger', `--inputs=${text}`, '--output=json']);
    expect(JSON.parse((await inputs('{"lenght":"1s"}')).out)).toMatchObject({
      ok: false,
      problems: [{ code: expect.any(String) }],
    });
    for (const args of [['database/no-such'], ['database/restore-backup', '--component=slow']])
      expect((await amends(['runbook', 'test', ...args])).code).toBe(1);
    const near = await amends(['runbook', 'test', 'database/restore-backups']);
    expect([near.code, near.out]).toEqual([1, expect.stringContaining('mend: did you mean database/restore-backup?')]);
    expect((await amends(['runbook', 'test', 'restore-backup'])).code).toBe(2);
  }, 60_000);

  it('every problem of configuration, rules and runbooks is said at once, with place and mend, exit 1', async () => {
    const at = await servers.folder();
    mkdirSync(join(at, 'rules/x'), { recursive: true });
    mkdirSync(join(at, 'runbooks/x'), { recursive: true });
    writeFileSync(join(at, 'amends.yaml'), 'version: 1\nrecovery:\n  mode: bold\n');
    writeFileSync(join(at, 'rules/x/a.json'), '{\n  "name": "a",\n  "conditions": { "all": [] }\n}\n');
    writeFileSync(join(at, 'runbooks/x/b.yaml'), 'version: 1\nsteps:\n  - { id: a, uses: no.such }\n');
    const ran = await amends(['check', `--config.file=${join(at, 'amends.yaml')}`, '--output=json']);
    expect(ran.code).toBe(1);
    const { problems } = JSON.parse(ran.out) as { problems: Row[] };
    expect(problems.find(({ file }) => String(file).endsWith('amends.yaml'))).toMatchObject({
      pointer: '/recovery/mode',
      line: 3,
    });
    for (const name of ['amends.yaml', 'a.json', 'b.yaml']) {
      const own = problems.filter(({ file }) => String(file).endsWith(name));
      expect(own.length).toBeGreaterThan(0);
      expect(own.every(({ line, mend }) => typeof line === 'number' && typeof mend === 'string')).toBe(true);
    }
    const text = await amends(['check', join(at, 'amends.yaml')]);
    expect(text.code).toBe(1);
    expect(text.out).toMatch(/amends\.yaml:3:\d+: .* at \/recovery\/mode \[[a-z-]+\]\n {2}mend: /);
  });
});

describe('against a server', () => {
  it('R19 R21 a recovery is asked for, waited for, and found again by runs, history and explain', async () => {
    expect(await asked(0, 'status')).toMatchObject({ attention: false, halt: { on: false } });
    const run = await asked(
      0,
      'recover',
      '--component=shop-db',
      '--strategy=checkpoint-wal',
      '--context={"ticket":"OPS-12"}',
      '--reason=routine',
      '--by=ada',
      '--wait',
    );
    expect(run).toMatchObject({
      component: 'shop-db',
      target: 'orders',
      strategy: 'checkpoint-wal',
      state: 'done',
      outcome: 'resolved',
    });
    const id = String(run['id']);

    const { items: runs } = (await asked(0, 'runs', 'list', '--component=shop-db')) as { items: Row[] };
    expect(runs.map((one) => one['id'])).toEqual([id]);
    const shown = await amends(['runs', 'show', id, `--url=${server.url}`]);
    expect(shown.code).toBe(0);
    expect(shown.out).toMatch(
      /outcome: +resolved[^]*steps\/checkpoint succeeded after \d+ ms[^]*verification passed[^]*done: resolved/,
    );

    expect(await asked(0, 'history', '--hours=1', '--component=shop-db')).toMatchObject({
      total: 1,
      outcomes: { resolved: 1 },
    });
    for (const command of ['history', 'metrics']) {
      const unknown = await amends([command, '--component=shop-bd', `--url=${server.url}`]);
      expect([unknown.code, unknown.out, unknown.err.trim()]).toEqual([
        1,
        '',
        'There is no component shop-bd.\nDid you mean shop-db?',
      ]);
    }
    const byRun = await asked(0, 'explain', id);
    expect(byRun).toMatchObject({ decision: { reason: 'admitted', origin: 'manual', runId: id } });
    expect(JSON.stringify(byRun)).toContain('ada');
    expect(await asked(0, 'explain', String(run['decisionId']))).toEqual(byRun);
    await asked(1, 'explain', '00000000-0000-7000-8000-000000000000');
  }, 60_000);

  it('R21 what refuses a recovery is said with its end, exit 1; only cooldown can be overridden', async () => {
    const held = await amends(['recover', '--component=shop-db', '--strategy=checkpoint-wal', `--url=${server.url}`]);
    expect(held.code).toBe(1);
    expect(held.err).toMatch(/Held: cooldown: .*rests for another/);
    await asked(
      0,
      'recover',
      '--component=shop-db',
      '--strategy=checkpoint-wal',
      '--override=cooldown',
      '--reason=watching it',
      '--wait',
    );
    await asked(1, 'recover', '--component=shop-bd', '--strategy=checkpoint-wal');
    await asked(1, 'recover', '--component=shop-db', '--strategy=no-such');
  }, 60_000);

  it('R21 a recovery that needs approval waits for approve, or ends by deny or cancel', async () => {
    const ask = [
      'recover',
      '--component=slow',
      '--strategy=linger',
      '--inputs={"length":"10ms"}',
      '--require-approval',
    ];
    const stateOf = async (id: string): Promise<Row> => asked(0, 'runs', 'show', id);
    const ended = (id: string): Promise<Row> =>
      until(`the end of ${id}`, async () => stateOf(id).then((run) => run['state'] === 'done' && run));

    const first = String((await asked(0, ...ask))['runId']);
    expect(await stateOf(first)).toMatchObject({ state: 'awaiting_approval' });
    const { items } = (await asked(1, 'inbox', 'list')) as { items: Row[] };
    expect(items).toEqual([expect.objectContaining({ kind: 'approval', runId: first })]);
    await asked(0, 'approve', first, '--comment=go', '--by=ada');
    expect(await ended(first)).toMatchObject({ outcome: 'resolved' });
    await asked(1, 'approve', first);

    const second = String((await asked(0, ...ask))['runId']);
    await asked(0, 'deny', second, '--comment=not now');
    expect(await ended(second)).toMatchObject({ outcome: 'withdrawn', cause: 'denied' });

    const third = String((await asked(0, ...ask))['runId']);
    await asked(0, 'cancel', third, '--reason=wrong target');
    expect(await ended(third)).toMatchObject({ outcome: 'withdrawn', cause: 'cancelled' });
    await asked(0, 'inbox', 'list');
  }, 60_000);

  it('a halt by API or by file holds everything until it is lifted', async () => {
    const ask = ['recover', '--component=slow', '--strategy=linger', '--inputs={"length":"10ms"}'];
    await asked(0, 'halt', '--reason=fire drill', '--by=ada');
    expect(await asked(1, 'status')).toMatchObject({
      attention: true,
      halt: { on: true, by: 'ada', reason: 'fire drill' },
    });
    expect(JSON.stringify(await asked(1, ...ask))).toContain('halted');
    expect(await asked(0, 'resume', '--by=ada', '--reason=over')).toMatchObject({ on: false, changed: true });
    await asked(0, 'status');
    const again = await amends(['resume', '--by=ada', `--url=${server.url}`]);
    expect([again.code, again.out.trim()]).toEqual([0, 'Nothing was halted.']);
    for (const where of [`--halt.file=${join(folder, 'stop')}`, `--storage.path=${join(folder, 'data')}`])
      for (const command of ['halt', 'resume'])
        expect(await amends([command, where, `--url=${server.url}`])).toMatchObject({
          code: 2,
          err: expect.stringContaining('says where the halt file is: add --file') as unknown,
        });
    await asked(0, 'status');

    const elsewhere = await amends(['halt', '--file', `--storage.path=${join(folder, 'elsewhere')}`]);
    expect([elsewhere.code, elsewhere.err]).toEqual([0, expect.stringContaining('There is no record of amends in')]);
    const file = await amends(['halt', '--file', `--storage.path=${join(folder, 'data')}`, '--output=json']);
    expect([file.code, file.err]).toEqual([0, '']);
    expect(existsSync(String((JSON.parse(file.out) as Row)['file']))).toBe(true);
    expect(await asked(1, 'status')).toMatchObject({ halt: { on: true, by: 'file' } });
    await asked(1, ...ask);
    expect(await amends(['resume', '--file', `--storage.path=${join(folder, 'data')}`])).toMatchObject({ code: 0 });
    expect((await amends(['resume', '--file', `--storage.path=${join(folder, 'data')}`])).out).toContain(
      'There is no halt file',
    );
    await until(
      'it is seen that the file is gone',
      async () => (await amends(['status', `--url=${server.url}`])).code === 0,
    );
    await asked(0, ...ask, '--wait');
  }, 60_000);

  it('R21 a component or a rule is disabled for a while, and enabled again', async () => {
    const { until: end } = await asked(0, 'disable', 'slow', '--for=2h', '--reason=migration');
    expect(Date.parse(String(end))).toBeGreaterThan(Date.now() + 7_100_000);
    const table = await amends(['status', `--url=${server.url}`]);
    expect(table.out).toMatch(/slow +slow +disabled .*disabled by .* until .*: migration/);
    await asked(1, 'recover', '--component=slow', '--strategy=linger');
    await asked(0, 'enable', 'slow');
    await asked(0, 'disable', '--rule=database-locked', '--reason=too eager');
    await asked(0, 'enable', '--rule=database-locked');
    const rules = await amends(['status', `--url=${server.url}`]);
    expect(rules.out).not.toContain('disabled rules');
    await asked(0, 'disable', '--rule=database-locked');
    const shown = await amends(['status', `--url=${server.url}`]);
    expect(shown.out).toMatch(/^disabled rules: +database-locked \(by \S+ until it is enabled\)$/m);
    await asked(0, 'enable', '--rule=database-locked');
    await asked(1, 'disable', 'no-such');
    await asked(1, 'enable', 'no-such');
    await asked(1, 'enable', '--rule=no-such');
  }, 60_000);

  it('a value that cannot be meant is exit 2 with what is expected, before anything is asked', async () => {
    const wrong = async (...args: readonly string[]): Promise<string> => {
      const ended = await amends([...args, `--url=${server.url}`]);
      expect([args, ended.code, ended.out]).toEqual([args, 2, '']);
      return ended.err;
    };
    expect(await wrong('disable', 'slow', '--for=soon')).toContain('--for: a duration such as 30m');
    expect(await wrong('disable', 'slow', '--for=0s')).toContain('--for: a duration such as 30m');
    expect(await wrong('runs', 'list', '--state=finished')).toContain('awaiting_approval, queued, running');
    expect(await wrong('runs', 'list', '--outcome=good')).toContain('resolved, unresolved, stuck, withdrawn');
    expect(await wrong('journal', 'export', '--since=lately')).toContain('--since: a duration such as 30d');
  }, 60_000);

  it('what was handed to a human is listed, and closed with a comment', async () => {
    await post({ alertname: 'DatabaseUnreadable', component: 'shop-db', target: 'orders' });
    const [entry] = await until('the escalation', async () => {
      const ran = await amends(['inbox', 'list', '--component=shop-db', `--url=${server.url}`, '--output=json']);
      return ran.code === 1 && (JSON.parse(ran.out) as { items: Row[] }).items;
    });
    expect(entry).toMatchObject({ kind: 'escalation', severity: 'SEV2', status: 'open' });
    await asked(0, 'inbox', 'close', String(entry?.['id']), '--comment=chmod by hand', '--by=ada');
    expect(await asked(0, 'inbox', 'list')).toEqual({ items: [] });
    const { items } = (await asked(0, 'inbox', 'list', '--all', '--component=shop-db')) as { items: Row[] };
    expect(items[0]).toMatchObject({ status: 'closed', closedBy: 'ada', comment: 'chmod by hand' });
  }, 60_000);

  it('runbooks are listed, and shown with their guide', async () => {
    const { items } = (await asked(0, 'runbook', 'list')) as { items: Row[] };
    expect(items.map((runbook) => runbook['name'])).toContain('database/restore-backup');
    const shown = await amends(['runbook', 'show', 'database/restore-backup', `--url=${server.url}`]);
    expect(shown.code).toBe(0);
    expect(shown.out).toMatch(/step +restore: sqlite\.restore[^]*What happened:/);
    await asked(1, 'runbook', 'show', 'database/no-such');
  });
});

describe('serve', () => {
  const start = async (args: readonly string[]): Promise<Launched> =>
    launcher.launch(['serve', '--web.listen-address=127.0.0.1:0', ...args], { cwd: await servers.folder() });
  const urlOf = (running: Launched): Promise<string> =>
    until('the line that says ready', () => /"url":"([^"]+)"/.exec(running.output())?.[1]);

  it('without a configuration file it starts in shadow mode and says what to do next; SIGTERM ends it', async () => {
    const running = await start([]);
    const url = await urlOf(running);
    await until('the advice', () => running.output().includes('What to do next:'));
    expect(running.output()).toContain(`${url}/webhook/alertmanager`);
    process.kill(running.pid, 'SIGTERM');
    expect(await running.ended).toMatchObject({ code: 0 });
  }, 60_000);

  it('F28 a reload that is refused leaves the last good configuration in place', async () => {
    const at = await servers.folder();
    mkdirSync(join(at, 'runbooks/slow'), { recursive: true });
    mkdirSync(join(at, 'rules'));
    copyFileSync(join(folder, 'runbooks/slow/linger.yaml'), join(at, 'runbooks/slow/linger.yaml'));
    const file = join(at, 'amends.yaml');
    writeFileSync(file, 'version: 1\ncomponents: { slow: { kind: slow } }\n');
    const running = await start([`--config.file=${file}`, `--storage.path=${join(at, 'data')}`]);
    const url = await urlOf(running);
    writeFileSync(file, 'version: 1\ncomponents: { slow: { kind: slow, colour: red } }\n');
    process.kill(running.pid, 'SIGHUP');
    await until('the refusal in the log', () => running.output().includes('the last good configuration stays'));
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(metrics).toMatch(/^amends_config_last_reload_successful 0$/m);
    // With its place and its mend.
    expect(running.output()).toMatch(
      /amends\.yaml:2:\d+: .*colour.* at \/components\/slow\/colour \[unknown-key\]; mend: remove it/,
    );
    const status = await amends(['status', `--url=${url}`, '--output=json']);
    expect((JSON.parse(status.out) as { components: Row[] }).components.map(({ name }) => name)).toEqual(['slow']);
  }, 60_000);

  it('an address that is taken is said with what to do, exit 1', async () => {
    const first = await start([`--storage.path=${join(await servers.folder(), 'data')}`]);
    const taken = new URL(await urlOf(first)).host;
    const second = await start([
      `--web.listen-address=${taken}`,
      `--storage.path=${join(await servers.folder(), 'data')}`,
    ]);
    expect(await second.ended).toMatchObject({
      code: 1,
      err: expect.stringMatching(/EADDRINUSE.*\n {2}mend: end what listens there, or name another/),
    });
  }, 60_000);

  /** A server of its own with a run whose only step is under way. */
  const lingering = async (
    storage: string,
    length: string,
  ): Promise<{ running: Launched; url: string; runId: string }> => {
    const running = await start([`--config.file=${config}`, `--storage.path=${storage}`]);
    const url = await urlOf(running);
    const ran = await amends([
      'recover',
      '--component=slow',
      '--strategy=linger',
      `--inputs={"length":"${length}"}`,
      `--url=${url}`,
      '--output=json',
    ]);
    const { runId } = JSON.parse(ran.out) as { runId: string };
    await until('its first step', async () => {
      const { events } = await getJson<{ events: Row[] }>(`${url}/api/v1/runs/${runId}`);
      return events.some(({ type }) => type === 'step_started');
    });
    return { running, url, runId };
  };

  it('F12 a signal lets the running step end, takes nothing more, and the run goes on at the next start', async () => {
    const storage = join(await servers.folder(), 'data');
    const { running, runId } = await lingering(storage, '2s');
    process.kill(running.pid, 'SIGTERM');
    expect(await running.ended).toMatchObject({ code: 0 });
    const url = await urlOf(await start([`--config.file=${config}`, `--storage.path=${storage}`]));
    const run = await until('its end', async () => {
      const seen = await getJson<{ state: string; outcome: string; events: Row[] }>(`${url}/api/v1/runs/${runId}`);
      return seen.state === 'done' && seen;
    });
    expect(run.outcome).toBe('resolved');
    expect(run.events.filter(({ type }) => type === 'step_started')).toHaveLength(1);
  }, 60_000);

  it('F12 a second signal ends it at once', async () => {
    const { running, url } = await lingering(join(await servers.folder(), 'data'), '25s');
    process.kill(running.pid, 'SIGTERM');
    const ready = (): Promise<boolean> =>
      fetch(`${url}/-/ready`).then(
        (response) => response.ok,
        () => false,
      );
    await until('the first signal to be taken', async () => !(await ready()), 10_000, 20);
    expect(running.exited()).toBe(false);
    process.kill(running.pid, 'SIGTERM');
    expect(await running.ended).toMatchObject({ code: 143 });
  }, 60_000);

  it('files that are refused keep it from starting, with every problem, exit 1', async () => {
    const at = await servers.folder();
    writeFileSync(join(at, 'amends.yaml'), 'version: 1\ncolour: red\n');
    const ran = await amends([
      'serve',
      `--config.file=${join(at, 'amends.yaml')}`,
      `--storage.path=${join(at, 'data')}`,
    ]);
    expect(ran.code).toBe(1);
    expect(ran.err).toMatch(/amends\.yaml:2:\d+: .*colour/);
    expect((await amends(['serve', `--config.file=${join(at, 'none.yaml')}`])).code).toBe(1);
  });

  it('F19 F20 a damaged or missing record is refused with what to do, exit 78, and never replaced', async () => {
    const at = await servers.folder();
    const args = ['serve', `--config.file=${config}`, `--storage.path=${at}`, '--web.listen-address=127.0.0.1:0'];
    const running = await servers.amends({ config, args: [`--storage.path=${at}`] });
    await running.stop();
    const file = readdirSync(at).find((name) => name.endsWith('.db')) ?? '';
    const size = readFileSync(join(at, file)).length;
    truncateSync(join(at, file), Math.floor(size / 2));
    const ran = await amends(args);
    expect(ran.code).toBe(78);
    expect(ran.err).toMatch(/mend: /);
    expect(readFileSync(join(at, file)).length).toBe(Math.floor(size / 2));
  }, 60_000);
});
