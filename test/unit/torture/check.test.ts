// The checker of the torture has to be able to complain: a sound record and ledger pass, and each of them with one thing
// wrong in it is refused by the id of what is wrong.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, copyFileSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { systemClock } from '../../../src/base/clock.ts';
import { check, checkHeld } from '../../../torture/check.ts';
import type { Checked } from '../../../torture/check.ts';
import type { Felt } from '../../../torture/ledger.ts';
import { distinct } from '../../../torture/licences.ts';
import { countedClock, course, createMemoryWatch, growing, resources } from '../../../torture/resources.ts';
import { openRig } from '../../../torture/rig.ts';

const HOUR = 3_600_000;
const effect = `uses: torture.effect\n    with: { target: "\${{ target.name }}" }`;
const RUNBOOK = `version: 1\nsummary: Mend it.\nseverity: SEV3\ntimeout: 1h\nguide: Look at it.\nsteps:\n  - id: stop\n    ${effect}\n    idempotent: true\n  - id: charge\n    ${effect}\n    idempotent: false\nverify:\n  - { uses: torture.look, with: { target: "\${{ target.name }}" }, need: 1, of: 1, every: 10ms }\n`;
const rule = (name: string, priority: number, mode = 'auto') => ({
  name,
  description: 'It is mended.',
  priority,
  conditions: {
    all: [
      { fact: 'alertname', operator: 'equal', value: name === 'asked' ? 'Odd' : 'Down' },
      { any: [{ fact: 'component', operator: 'equal', value: 'shop' }] },
    ],
  },
  event: { type: 'remediate', params: { runbook: 'shop/mend', mode } },
});
const TARGETS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
const CONFIG = `version: 1
recovery:
  mode: auto
  attempts: [ { max: 6, per: 1h } ]
  cooldown: { after_failure: 5m, after_success: 1m }
  settle: 0s
  storm: { min: 100, max: 100, share: 100%, components: 100, gather: 0s }
components:
  shop: { inventory: { static: [${TARGETS.join(', ')}] }, allow: { actions: ["torture.*"] } }
`;

type Given = { readonly database: string; readonly ledger: readonly Felt[]; readonly acknowledged: readonly string[] };

/** One that works, one that is asked about, one that fails and is tried again, one that is stuck, one decided twice alike. */
const record = async (into: string): Promise<Given> => {
  const rig = await openRig({
    config: CONFIG,
    files: {
      'rules/first.json': rule('first', 20),
      'rules/second.json': rule('second', 10),
      'rules/asked.json': rule('asked', 5, 'approve'),
      'runbooks/shop/mend.yaml': RUNBOOK,
    },
  });
  const alert = (target: string, n: string, alertname = 'Down', status: 'firing' | 'resolved' = 'firing') => ({
    labels: { alertname, component: 'shop', target, n },
    status,
  });
  const post = async (...alerts: ReadonlyArray<ReturnType<typeof alert>>): Promise<void> => {
    await rig.submit(alerts);
    await rig.settle();
    await rig.clock.advance(61_000);
    await rig.settle();
  };
  try {
    await post(alert('a', '1'));
    await post(alert('a', '1', 'Down', 'resolved'));
    rig.targets.manner('b', 'breaks');
    await post(alert('b', '2'));
    rig.targets.manner('b', 'well');
    await rig.clock.advance(301_000);
    await rig.settle();
    await rig.clock.advance(61_000);
    await post(alert('c', '3', 'Odd'));
    const asking = (await rig.store.activeRuns()).find(({ state }) => state === 'awaiting_approval');
    await rig.engine.desk.approve({ runId: asking?.id ?? '', step: null, by: 'ann', comment: '' });
    await rig.settle();
    await rig.clock.advance(61_000);
    // Its second step breaks off when it has begun, and nobody can tell.
    rig.targets.manner('d', 'holds');
    await rig.submit([alert('d', '4'), alert('e', '5')]);
    await rig.settle();
    rig.targets.release('d', null);
    await rig.settle();
    await rig.crash();
    await rig.settle();
    await rig.engine.desk.halt({ by: 'ann', reason: 'because', hard: false });
    await post(alert('f', '6'));
    await rig.clock.advance(HOUR);
    await rig.engine.desk.resume({ by: 'ann', reason: 'over' });
    rig.targets.manner('d', 'well');
    for (let turn = 0; turn < 6; turn += 1) {
      await rig.settle();
      await rig.clock.advance(61_000);
    }
    const ledger = rig.targets.felt();
    const from = new Database(rig.database);
    from.pragma('wal_checkpoint(TRUNCATE)');
    from.close();
    copyFileSync(rig.database, into);
    return { database: into, ledger, acknowledged: ['1', '2', '3', '4', '5', '6'] };
  } finally {
    await rig.close();
  }
};

let folder: string;
let sound: Given;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'amends-check-'));
  sound = await record(join(folder, 'sound.db'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const idsOf = (given: Checked): readonly string[] => [
  ...new Set(check({ atRest: true, oneClock: true, ...given }).map(({ id }) => id)),
];

/** Changes a copy of the record behind the back of its triggers and unique indexes. */
const doctored = (...statements: readonly string[]): string => {
  const file = join(folder, 'doctored.db');
  rmSync(file, { force: true });
  copyFileSync(sound.database, file);
  const database = new Database(file);
  try {
    const guards = database
      .prepare<[], { name: string; type: string }>(
        `select name, type from sqlite_master where type = 'trigger' or (type = 'index' and sql is not null)`,
      )
      .all();
    for (const { name, type } of guards) database.exec(`drop ${type} "${name}"`);
    let changes = 0;
    database.pragma('foreign_keys = off');
    for (const statement of statements) changes += database.prepare(statement).run().changes;
    if (changes === 0) throw new Error(`nothing was changed by ${statements.join('; ')}`);
    return file;
  } finally {
    database.close();
  }
};

const readSound = <T>(text: string): readonly T[] => {
  const database = new Database(sound.database, { readonly: true });
  try {
    return database.prepare<[], T>(text).all();
  } finally {
    database.close();
  }
};

/** The ledger with something more or else in it. */
const felt = (change: (effects: Felt[]) => void): readonly Felt[] => {
  const effects = sound.ledger.map((one) => ({ ...one }));
  change(effects);
  return effects;
};
const firstOf = (effects: readonly Felt[], step = 'steps/charge'): Felt =>
  effects.find((one) => one.step === step) as Felt;
const runWith = (where: string): string =>
  readSound<{ id: string }>(`select id from runs where ${where} order by created_at`)[0]?.id ?? '';

describe('what the checker is given', () => {
  it('I1 I2 I3 I4 I5 I6 I7 I8 I9 I10 I11 I12 I13 a sound record and its ledger pass', () => {
    const given = { ...sound, secrets: ['nowhere'], reference: distinct(sound.ledger).size };
    expect(check({ ...given, atRest: true, oneClock: true })).toEqual([]);
    const runs = readSound<{ outcome: string; cause: string }>('select outcome, cause from runs');
    const ends = new Set(runs.map(({ outcome, cause }) => `${outcome} ${cause}`));
    expect([...ends].toSorted()).toEqual(['resolved verified', 'stuck indeterminate', 'unresolved step_failed']);
    const reasons = readSound<{ reason: string }>('select distinct reason from decisions').map(({ reason }) => reason);
    expect(reasons).toEqual(
      expect.arrayContaining(['admitted', 'awaiting_approval', 'halted', 'resolved', 'cooldown']),
    );
  });

  const inJson = (column: string, path: string, value: string): string =>
    `${column} = json_set(${column}, '${path}', ${value})`;
  const DECIDED = `rule = 'first' and reason = 'admitted'`;
  it.each([
    [
      'I1',
      'more attempts in a window than its cap',
      Array.from(
        { length: 6 },
        (_, index) =>
          `insert into attempts (id, ledger, component, kind, target, strategy, rung, at) select 'more-${index}', ledger, component, kind, target, strategy, rung, at from attempts order by at limit 1`,
      ),
    ],
    [
      'I2',
      'two runs on one target at once',
      [`update runs set ended_at = ended_at + ${HOUR} where target = 'b' and outcome = 'unresolved'`],
    ],
    [
      'I2',
      'more runs at once than allowed',
      [`update run_events set at = (select min(at) from run_events) where type = 'started'`],
    ],
    ['I3', 'an alert without its decision', [`delete from decisions where reason = 'resolved'`]],
    [
      'I3',
      'an alert with two decisions',
      [
        `insert into decisions select 'more', at, origin, reason, caller, alert_id, delivery_id, episode_id, component, target, rule, strategy, null, record from decisions where reason = 'resolved' limit 1`,
      ],
    ],
    ['I3', 'a retry of no episode', [`update decisions set episode_id = null where origin = 'retry'`]],
    [
      'I4',
      'a run that ended twice',
      [
        `insert into run_events (run_id, seq, at, type, event) select run_id, seq + 1, at, type, event from run_events where type = 'done'`,
      ],
    ],
    [
      'I4',
      'a run without an end',
      [`delete from run_events where type = 'done' and run_id in (select id from runs where target = 'a')`],
    ],
    ['I4', 'a step that was never begun and went well', [`delete from run_events where type = 'step_started'`]],
    ['I5', 'an effect without an intent', [`delete from run_events where type = 'step_started'`]],
    ['I5', 'an effect of an attempt that was given back', [`update attempts set released_at = at where target = 'a'`]],
    ['I5', 'an effect of a run that nobody admitted', [`update decisions set run_id = null where target = 'a'`]],
    ['I5', 'an effect that nobody approved', [`delete from run_events where type = 'approved'`]],
    ['I7', 'a run of a shadow', [`update attempts set ledger = 'shadow:first' where target = 'a'`]],
    ['I8', 'a changed audit row', [`update audit set actor = 'bob' where seq = 2`]],
    [
      'I8',
      'a swapped pair of audit rows',
      [
        `update audit set seq = -1 where seq = 2`,
        `update audit set seq = 2 where seq = 3`,
        `update audit set seq = 3 where seq = -1`,
      ],
    ],
    ['I8', 'an audit row that is gone', [`delete from audit where seq = 3`]],
    [
      'I8',
      'an audit that was cut before a run ended',
      [`delete from audit where seq >= (select max(seq) from audit where action like 'run.%')`],
    ],
    ['I8', 'a run in another state than its events', [`update runs set outcome = 'withdrawn' where target = 'a'`]],
    [
      'I8',
      'a run that was admitted at another time',
      [`update runs set created_at = created_at - 1 where target = 'c'`],
    ],
    ['I9', 'a stuck run that nobody was told of', [`delete from inbox where kind = 'escalation'`]],
    ['I9', 'a stuck run without a page', [`delete from outbox where topic = 'escalation'`]],
    [
      'I9',
      'an episode that is given up and nobody was told of',
      [`update episodes set exhausted = 1 where target = 'a'`],
    ],
    [
      'I9',
      'an alert that is lost',
      [`delete from alerts where id in (select alert_id from decisions where target = 'b')`],
    ],
    [
      'I10',
      'a rest that was cut short',
      [`update attempts set ended_at = ended_at + 100000 where outcome = 'unresolved'`],
    ],
    ['I11', 'another rule than the conditions say', [`update decisions set rule = 'second' where ${DECIDED}`]],
    [
      'I11',
      'a condition that came out otherwise',
      [`update decisions set ${inJson('record', '$.trace[0].matched', `json('false')`)} where ${DECIDED}`],
    ],
    [
      'I11',
      'a fact that was something else',
      [`update decisions set ${inJson('record', '$.facts.alertname', `'Odd'`)} where ${DECIDED}`],
    ],
    [
      'I11',
      'a guard that says no to what it should let pass',
      [
        `update decisions set ${inJson('record', '$.verdicts[0][12].inputs.used', '0')}, reason = 'budget' where reason = 'cooldown'`,
      ],
    ],
    [
      'I11',
      'a guard that lets pass what it should not',
      [`update decisions set ${inJson('record', '$.verdicts[0][7].inputs.targets', '1000')} where ${DECIDED}`],
    ],
    [
      'I11',
      'an admission that a guard refused',
      [`update decisions set reason = 'admitted' where reason = 'cooldown'`],
    ],
    ['I11', 'the other of two refusals', [`update decisions set reason = 'budget' where reason = 'halted'`]],
    [
      'I11',
      'rules that were asked in another order',
      [
        `update decisions set ${inJson('record', '$.candidates', `json('["second","first"]')`)} where ${DECIDED} and target = 'a'`,
      ],
    ],
    [
      'I11',
      'another plan than was asked about',
      [`update run_events set ${inJson('event', '$.planDigest', `'sha256:0'`)} where type = 'approval_requested'`],
    ],
    [
      'I11',
      'another plan than was decided on',
      [`update runs set ${inJson('plan', '$.digests.runbook', `'sha256:0'`)} where target = 'a'`],
    ],
    [
      'I11',
      'another rung on the same knowledge',
      [
        `insert into decisions select 'more', at, origin, reason, caller, null, delivery_id, episode_id, component, target, rule, strategy, null, json_set(record, '$.plans[0].runbook', 'shop/other') from decisions where target = 'a' and rule = 'first'`,
      ],
    ],
    [
      'I12',
      'a second run after one that went well',
      [`update runs set outcome = 'resolved' where outcome = 'unresolved'`],
    ],
    ['I12', 'a second run after one that is stuck', [`update runs set outcome = 'stuck' where outcome = 'unresolved'`]],
    [
      'I12',
      'a run of an episode that nothing opened',
      [`update alerts set change = 'repeated' where change = 'opened'`],
    ],
  ])('%s: %s is found', (id, _, statements) => {
    const database = doctored(...statements);
    expect(idsOf({ ...sound, database })).toContain(id);
  });

  it.each<[string, string, () => Partial<Checked>]>([
    [
      'I2',
      'effects of two runs that overlap on a target',
      () => ({
        ledger: felt((effects) => {
          const first = firstOf(effects.filter(({ run }) => run === runWith(`target = 'a'`)));
          const other = runWith(`target = 'b'`);
          effects.push(
            { ...first, left: first.at + 10 },
            { ...first, run: other, at: first.at + 5, left: first.at + 6 },
          );
        }),
      }),
    ],
    [
      'I5',
      'an effect of nobody',
      () => ({ ledger: felt((effects) => void effects.push({ ...firstOf(effects), run: 'nobody' })) }),
    ],
    [
      'I5',
      'an effect before its approval',
      () => ({
        ledger: felt((effects) =>
          effects.forEach(
            (one, at) => void (effects[at] = one.run === runWith(`target = 'c'`) ? { ...one, at: 1 } : one),
          ),
        ),
      }),
    ],
    [
      'I6',
      'a step that may happen once and happened twice',
      () => ({ ledger: felt((effects) => void effects.push({ ...firstOf(effects) })) }),
    ],
    [
      'I6',
      'a step that may be repeated and was too often',
      () => ({
        ledger: felt(
          (effects) => void effects.push({ ...firstOf(effects, 'steps/stop') }, { ...firstOf(effects, 'steps/stop') }),
        ),
      }),
    ],
    [
      'I7',
      'an effect while everything stood still',
      () => {
        const [halt] = readSound<{ at: number }>(`select at from audit where action = 'halt'`);
        return {
          ledger: felt((effects) => void (effects[0] = { ...(effects[0] as Felt), at: (halt?.at ?? 0) + 1_001 })),
        };
      },
    ],
    ['I9', 'an acknowledged alert that is nowhere', () => ({ acknowledged: [...sound.acknowledged, '7'] })],
    ['I12', 'more effects than without faults', () => ({ reference: distinct(sound.ledger).size - 1 })],
    ['I13', 'a secret on record', () => ({ secrets: ['because'] })],
    [
      'I13',
      'a secret that was shown in another form',
      () => ({
        secrets: ['nowhere+else/at=all'],
        emitted: [{ where: 'the log', text: `it said ${Buffer.from('nowhere+else/at=all').toString('base64')}` }],
      }),
    ],
  ])('%s: %s is found', (id, _, change) => {
    expect(idsOf({ ...sound, ...change() })).toContain(id);
  });

  it('I13: a secret beside the record, in an archive, or in what others were shown is found with its place', () => {
    const place = mkdtempSync(join(tmpdir(), 'amends-check-'));
    try {
      copyFileSync(sound.database, join(place, 'amends.db'));
      const given = { ...sound, database: join(place, 'amends.db'), secrets: ['s+cret'] };
      expect(check(given)).toEqual([]);
      writeFileSync(join(place, 'old.ndjson.gz'), gzipSync('a line with s+cret in it'));
      writeFileSync(join(place, 'emergency.ndjson'), 'a line with s%2Bcret in it');
      const emitted = [
        { where: 'the log', text: 'nothing' },
        { where: 'a notification', text: 'it is s+cret' },
        { where: 'the answer to /api/v1/runs', text: '{"detail":"732b63726574"}' },
      ];
      expect(check({ ...given, emitted }).map(({ what }) => what)).toEqual(
        expect.arrayContaining([
          `a secret is in ${join(place, 'old.ndjson.gz')}`,
          `a secret is in ${join(place, 'emergency.ndjson')}`,
          'a secret is in a notification',
          'a secret is in the answer to /api/v1/runs',
        ]),
      );
    } finally {
      rmSync(place, { recursive: true, force: true });
    }
  });

  it('I13: what a case shows to others is kept: its log, its notifications, its metrics and the answers of its API', async () => {
    const secret = 'correct-horse+battery/staple=7';
    const place = mkdtempSync(join(tmpdir(), 'amends-check-'));
    const token = join(place, 'token');
    writeFileSync(token, secret);
    const rig = await openRig({
      config: CONFIG,
      files: {
        'rules/first.json': rule('first', 20),
        'rules/asked.json': rule('asked', 5, 'approve'),
        'runbooks/shop/mend.yaml': RUNBOOK.replaceAll(
          '{ target: "${{ target.name }}" }\n    idempotent',
          `{ target: "\${{ target.name }}", secret_file: "${token}" }\n    idempotent`,
        ),
      },
      listen: true,
    });
    try {
      rig.targets.manner('a', 'breaks');
      await rig.submit([
        { labels: { alertname: 'Down', component: 'shop', target: 'a' } },
        { labels: { alertname: 'Odd', component: 'shop', target: 'b' } },
      ]);
      await rig.settle();
      const emitted = await rig.emitted();
      const text = (where: string): string =>
        emitted
          .filter((one) => one.where === where)
          .map((one) => one.text)
          .join('\n');
      expect(emitted.filter(({ text: said }) => said.includes('Internal error'))).toEqual([]);
      expect(text('the log')).toContain('a run ended');
      expect(
        emitted.some(({ where, text: said }) => where.includes('/runs/') && said.includes('it broke with [redacted]')),
      ).toBe(true);
      expect(text('a notification')).toContain('"topic":"approval"');
      expect(text('the answer to /metrics')).toContain('amends_steps_total{action="torture.effect",result="failed"} 1');
      expect(text('the answer to /api/v1/runs')).toContain('"target":"a"');
      expect(emitted.some(({ where }) => where.startsWith('the answer to /api/v1/decisions/'))).toBe(true);
      const given = { database: rig.database, ledger: rig.targets.felt(), emitted };
      expect(check({ ...given, secrets: [secret] })).toEqual([]);
      // What stands there in its place is found, so it was really looked at.
      expect(check({ ...given, secrets: ['it broke'] }).map(({ id }) => id)).toContain('I13');
    } finally {
      await rig.close();
      rmSync(place, { recursive: true, force: true });
    }
  });

  it('I7: a run that began during maintenance is found', () => {
    const all = { schedule: '0 0 * * *', timezone: 'UTC', duration: 86_400_000, reason: 'work' };
    const database = doctored(
      `update runs set ${inJson('plan', '$.policy.maintenance', `json('${JSON.stringify([all])}')`)} where target = 'a'`,
    );
    expect(idsOf({ ...sound, database })).toContain('I7');
  });
});

describe('what a process held', () => {
  const before = {
    processes: ['1'],
    descriptors: 20,
    open: ['/dev/null'],
    timers: 3,
    files: ['/tmp/a'],
    memory: 50_000_000,
  };

  it.each([
    ['nothing else', {}, []],
    ['less', { processes: [], descriptors: 1, timers: 0, files: [], memory: 1_000_000 }, []],
    ['a tenth more memory', { memory: 55_000_000 }, []],
    ['a process', { processes: ['1', '2'] }, ['1 processes are left: 2']],
    ['a process in the place of another', { processes: ['2'] }, ['1 processes are left: 2']],
    ['a file descriptor', { descriptors: 21 }, ['21 descriptors, 20 before']],
    ['a timer', { timers: 4 }, ['4 timers, 3 before']],
    [
      'a descriptor to what another one leads to',
      { descriptors: 22, open: ['/dev/null', '/dev/null'] },
      ['22 descriptors, 20 before; new are /dev/null'],
    ],
    ['a temporary file', { files: ['/tmp/a', '/tmp/b'] }, ['1 temporary files are left: /tmp/b']],
    ['more than a tenth more memory', { memory: 57_000_000 }, ['54.4 MiB of memory, 47.7 MiB before']],
  ])('I14: %s', (_, change, found) => {
    expect(checkHeld({ before, after: { ...before, ...change } })).toEqual(found.map((what) => ({ id: 'I14', what })));
  });

  it('I14: a process, a file descriptor, a timer, a file in memory and memory that are not given back are seen', async () => {
    const sharedName = join('/dev/shm', `amends-check-${process.pid}`);
    const clock = countedClock(systemClock);
    const start = resources(clock.waiting(), true);
    writeFileSync(sharedName, '');
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    // More than whoever runs the tests may close meanwhile.
    const opened = Array.from({ length: 50 }, () => openSync(sharedName, 'r'));
    const timers = Array.from({ length: 50 }, () => clock.after(60_000, () => undefined));
    const held = Buffer.alloc(128 * 1_048_576, 1);
    try {
      const found = checkHeld({ before: start, after: resources(clock.waiting(), true) }).map(({ what }) => what);
      expect(found).toEqual([
        `1 processes are left: ${child.pid}`,
        `1 temporary files are left: ${sharedName}`,
        expect.stringMatching(/descriptors, \d+ before; new are /),
        expect.stringMatching(/timers, \d+ before$/),
        expect.stringMatching(/MiB of memory, [\d.]+ MiB before$/),
      ]);
      expect(held.length).toBeGreaterThan(0);
    } finally {
      for (const timer of timers) timer.cancel();
      for (const file of opened) closeSync(file);
      rmSync(sharedName);
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    expect(clock.waiting()).toBe(0);
    const { processes, files } = resources();
    expect({ processes, files }).toEqual({ processes: start.processes, files: start.files });
  });
});

describe('I14: memory over a torment', () => {
  const MIB = 1_048_576;
  /** As many looks, each by so much more than the one before, with noise. */
  const looks = (count: number, more: number): readonly number[] =>
    Array.from({ length: count }, (_, index) => (40 + index * more + (index % 3) * 0.3) * MIB);

  it('that goes up and up is found, however little it is each time', () => {
    expect(growing(looks(300, 0.05))).toMatch(/^memory goes up from 45(\.\d)? to 55(\.\d)? MiB over 300 looks/);
    expect(growing(looks(300, 0.01))).toBeNull();
  });

  it('that comes to rest after a while, goes down, or was hardly looked at is none', () => {
    expect(growing([20, 30, 40, 40, 40.2, 40.1, 39.9, 40, 40.1].map((mib) => mib * MIB))).toBeNull();
    expect(growing(looks(30, -0.5))).toBeNull();
    expect(course(looks(5, 10))).toBeNull();
  });

  it('is really measured: what is kept shows, what is let go of does not', () => {
    const watch = createMemoryWatch(0);
    const kept: number[][] = [];
    for (let turn = 0; turn < 12; turn += 1) {
      const made = Array.from({ length: 1_500_000 }, (_, index) => index + turn + 0.5);
      if (turn >= 4) kept.push(made);
      watch.look();
    }
    expect(kept).toHaveLength(8);
    // Other tests may have left this process a heap of which a tenth is more than all that is kept here.
    const [first = 0] = watch.seen;
    expect(growing(watch.seen.map((bytes) => bytes - first + 20 * MIB))).toMatch(/^memory goes up/);
  });
});
