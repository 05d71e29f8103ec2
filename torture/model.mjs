// Commands in any order, on the real store and the real engine with a clock that stands still, compared after each with
// a second, naive implementation of admission.
import Database from 'better-sqlite3';
import fc from 'fast-check';
import { createAlertmanager } from './alertmanager.mjs';
import { configOf, MEND, ruleOf } from './content.mjs';
import { Broken, checked } from './expect.mjs';
import { componentOf, COMPONENTS, H, POLICY } from './model-given.ts';
import { createModel } from './model.ts';
import { openRig } from './rig.ts';

export const covers = [
  'C2 I11 admission against a reference model: ladders of two rungs, one of which asks; silences, alerts that Alertmanager does not have, an Alertmanager that cannot be reached',
  'I1 I2 I3 I4 I5 I6 I7 I8 I10 F33 F50 admission against a reference model: caps, cooldown, busy, concurrency, budget, settling, halt, disable, maintenance, several rules, breaker, storm, approvals, crashes',
  'F34 F35 F36 F37 F40 F46 F47 in any order of alerts, ends, answers, halts and restarts',
];

const WINDOW = {
  schedule: `0 ${POLICY.maintenance.from / H} * * *`,
  duration: `${(POLICY.maintenance.to - POLICY.maintenance.from) / H}h`,
  reason: 'work',
};
const config = (alertmanager) =>
  `${configOf(
    {
      attempts: [
        { max: 3, per: '1h' },
        { max: 5, per: '1d' },
      ],
      budget: [{ max: 6, per: '1h' }],
      cooldown: { after_failure: '5m', factor: 1, max: '1h', after_success: '1m' },
      max_concurrent: 1,
      max_concurrent_total: 2,
      settle: '15m',
      resolve_hold: '15m',
      episode_ttl: '24h',
      stale: '10m',
      approval: { remind: '5m', escalate: '10m', expires: '30m' },
      breaker: { failures: 2, trials: ['1h', '4h'] },
    },
    Object.fromEntries(
      Object.entries(COMPONENTS).map(([name, { targets }]) => [
        name,
        { targets, ...(name === POLICY.maintenance.component ? { maintenance: [WINDOW] } : {}) },
      ]),
    ),
  )}alertmanagers: [ { url: "${alertmanager}" } ]\n`;
/** Of several rules that match one alert the one of higher priority wins: the others must never have a run. */
const files = Object.fromEntries(
  Object.entries(COMPONENTS).flatMap(([name, { ladder }]) => [
    [
      `rules/${name}.json`,
      ruleOf(
        name,
        `${name}Down`,
        ladder.map(({ strategy, asks }) => ({ runbook: `${name}/${strategy}`, mode: asks ? 'approve' : 'auto' })),
        'auto',
      ),
    ],
    ...ladder.map(({ strategy }) => [`runbooks/${name}/${strategy}.yaml`, MEND]),
    [`rules/${name}-later.json`, { ...ruleOf(`${name}-later`, `${name}Down`, `${name}/other`), priority: 5 }],
    [`rules/${name}-zzz.json`, ruleOf(`${name}-zzz`, `${name}Down`, `${name}/other`)],
    [`runbooks/${name}/other.yaml`, MEND],
  ]),
);

const labels = (target) => ({ alertname: `${componentOf(target)}Down`, component: componentOf(target), target });

const shown = (rows) => rows.map((row) => row.join(' ')).join('\n    ');

/** After every command: what was decided since, which effects were felt, how the runs stand. */
const compare = (model, real) => {
  const decisions = real.select('select origin, target, record, reason from decisions order by rowid').map((row) => {
    const target = row.target ?? JSON.parse(row.record).labels?.target ?? real.lastTarget;
    return [row.origin, target, row.reason];
  });
  const runs = real
    .select('select target, state, outcome, cause from runs order by rowid')
    .map((row) => [
      row.target,
      row.state === 'done' ? 'done' : row.state === 'awaiting_approval' ? 'asking' : 'open',
      row.outcome,
      row.cause,
    ]);
  const strange = real.select(`select rule from runs where rule is not null and rule <> component`);
  if (strange.length > 0) throw new Broken(`F33: the rule ${strange[0].rule} has a run`);
  const wantedRuns = model.runs.map((run) => [
    run.target,
    run.state === 'done' ? 'done' : run.state === 'awaiting_approval' ? 'asking' : 'open',
    run.outcome,
    run.cause,
  ]);
  const wanted = model.decisions.map(([origin, target, reason]) => [
    origin,
    reason === 'duplicate' || reason === 'resolved' ? '' : target,
    reason,
  ]);
  const found = decisions.map(([origin, target, reason]) => [
    origin,
    reason === 'duplicate' || reason === 'resolved' ? '' : target,
    reason,
  ]);
  const differ = (what, left, right) => {
    if (JSON.stringify(left) === JSON.stringify(right)) return;
    throw new Broken(
      `the model disagrees about the ${what}\n  amends:\n    ${shown(left.slice(-6))}\n  model:\n    ${shown(right.slice(-6))}`,
    );
  };
  differ('decisions', found, wanted);
  differ('runs', runs, wantedRuns);
  differ(
    'effects',
    real.rig.targets.felt().map(({ target }) => [target]),
    model.effects.map((target) => [target]),
  );
};

class Command {
  constructor(name, given, { when = () => true, onModel, onReal }) {
    Object.assign(this, { name, given, when, onModel, onReal });
  }
  check(model) {
    return this.when(model);
  }
  async run(model, real) {
    real.lastTarget = this.given;
    real.commands += 1;
    await this.onReal(real, model);
    this.onModel(model);
    await real.rig.settle();
    model.settle();
    compare(model, real);
  }
  toString() {
    return `${this.name}(${this.given})`;
  }
}

const TARGETS = Object.values(COMPONENTS).flatMap(({ targets }) => targets);
const target = fc.constantFrom(...TARGETS);
const component = fc.constantFrom(...Object.keys(COMPONENTS));
const runOf = (real, name) =>
  real.select(`select id from runs where state = 'awaiting_approval' and target = '${name}'`)[0]?.id ?? '';

/** A crash under a disabled component, in a window or a silence stops the run instead of going on with it: another test's case. */
const nothingHeldIsClosed = (model) =>
  model.runs.every((run) => (run.state !== 'held' && run.state !== 'lost') || !model.isClosed(run.target));

const fire = (name) =>
  new Command('fire', name, {
    onModel: (model) => model.fire(name),
    onReal: ({ rig, alertmanager }, model) => {
      alertmanager.firing.add(name);
      return rig.submit([{ labels: labels(name), startsAt: model.startsAt(name) }]);
    },
  });
const commands = [
  target.map(fire),
  target.map(fire),
  target.map(fire),
  target.map(
    (name) =>
      new Command('resolve', name, {
        onModel: (model) => model.resolve(name),
        onReal: ({ rig, alertmanager }) => {
          alertmanager.firing.delete(name);
          return rig.submit([{ labels: labels(name), status: 'resolved' }]);
        },
      }),
  ),
  fc.tuple(target, fc.boolean()).map(
    ([name, on]) =>
      new Command(on ? 'silence' : 'unsilence', name, {
        onModel: (model) => model.silence(name, on),
        onReal: async ({ alertmanager }) =>
          void (on ? alertmanager.silenced.add(name) : alertmanager.silenced.delete(name)),
      }),
  ),
  target.map(
    (name) =>
      new Command('vanish', name, {
        onModel: (model) => model.vanish(name),
        onReal: async ({ alertmanager }) => void alertmanager.firing.delete(name),
      }),
  ),
  fc.boolean().map(
    (yes) =>
      new Command(yes ? 'reachable' : 'unreachable', '', {
        onModel: (model) => model.reach(yes),
        onReal: async ({ alertmanager }) => void (alertmanager.reachable = yes),
      }),
  ),
  fc.tuple(target, fc.constantFrom('well', 'refuses', 'breaks', 'holds')).map(
    ([name, manner]) =>
      new Command('manner', `${name} ${manner}`, {
        onModel: (model) => model.manner(name, manner),
        onReal: async ({ rig }) => rig.targets.manner(name, manner),
      }),
  ),
  fc.tuple(target, fc.boolean()).map(
    ([name, yes]) =>
      new Command('well', `${name} ${yes}`, {
        onModel: (model) => model.well(name, yes),
        onReal: async ({ rig }) => rig.targets.well(name, yes),
      }),
  ),
  fc.boolean().map(
    (good) =>
      new Command('ends', good ? 'well' : 'badly', {
        when: (model) => model.held().length > 0,
        onModel: (model) => model.release(model.held()[0], good),
        onReal: async ({ rig }, model) => rig.targets.release(model.held()[0], good ? null : 'permanent'),
      }),
  ),
  fc.constantFrom(1_000, 31_000, 61_000, 301_000, 660_000, 901_000, 3_601_000, 5 * 3_600_000).map(
    (ms) =>
      new Command('advance', ms, {
        onModel: (model) => model.advance(ms),
        onReal: ({ rig }) => rig.clock.advance(ms),
      }),
  ),
  fc.constantFrom(61_000, 301_000, 901_000).map(
    (ms) =>
      new Command('advance', ms, {
        onModel: (model) => model.advance(ms),
        onReal: ({ rig }) => rig.clock.advance(ms),
      }),
  ),
  fc.constant(
    new Command('halt', '', {
      when: (model) => !model.halted(),
      onModel: (model) => model.halt(),
      onReal: ({ rig }) => rig.engine.desk.halt({ by: 'ann', reason: 'because', hard: false }),
    }),
  ),
  fc.constant(
    new Command('resume', '', {
      when: (model) => model.halted() && nothingHeldIsClosed(model),
      onModel: (model) => model.resume(),
      onReal: ({ rig }) => rig.engine.desk.resume({ by: 'ann', reason: 'over' }),
    }),
  ),
  fc.tuple(component, fc.constantFrom(120_000, 1_200_000)).map(
    ([name, ms]) =>
      new Command('disable', `${name} ${ms}`, {
        onModel: (model) => model.disable(name, ms),
        onReal: ({ rig }) =>
          rig.engine.desk.disable({ scope: 'component', name, forMs: ms, by: 'ann', reason: 'because' }),
      }),
  ),
  component.map(
    (name) =>
      new Command('enable', name, {
        onModel: (model) => model.enable(name),
        onReal: ({ rig }) => rig.engine.desk.enable({ scope: 'component', name, by: 'ann' }),
      }),
  ),
  fc.boolean().map(
    (yes) =>
      new Command(yes ? 'approve' : 'deny', '', {
        when: (model) => model.asking().length > 0,
        onModel: (model) => model.answer(model.asking()[0], yes),
        onReal: (real, model) => {
          const act = { runId: runOf(real, model.asking()[0]), step: null, by: 'bob', comment: '' };
          return yes ? real.rig.engine.desk.approve(act) : real.rig.engine.desk.deny(act);
        },
      }),
  ),
  target.map(
    (name) =>
      new Command('recover', name, {
        onModel: (model) => model.recover(name),
        onReal: ({ rig }) =>
          rig.engine.desk.recover({
            component: componentOf(name),
            target: name,
            strategy: 'mend',
            failureType: null,
            inputs: {},
            context: {},
            requireApproval: false,
            overrideCooldown: false,
            reason: 'by hand',
            by: 'ann',
          }),
      }),
  ),
  fc.constant(
    new Command('crash', '', {
      when: nothingHeldIsClosed,
      onModel: (model) => model.crash(),
      onReal: ({ rig }) => rig.crash(),
    }),
  ),
];

const QUICK_MS = 50_000;
/** A timer knows no longer time. */
const LONGEST_MS = 2 ** 31 - 1;

export default async ({ quick, seed, ms }) => {
  const sum = { runs: 0, commands: 0, decisions: 0, effects: 0, second: 0, ineffective: 0, reasons: new Set() };
  const live = async (list) => {
    const alertmanager = await createAlertmanager(labels);
    const rig = await openRig({ config: config(alertmanager.url), files });
    let database = null;
    const real = {
      rig,
      alertmanager,
      commands: 0,
      lastTarget: null,
      select(text) {
        database ??= new Database(rig.database, { readonly: true });
        return database.prepare(text).all();
      },
    };
    const model = createModel(rig.clock.now());
    try {
      await fc.asyncModelRun(() => ({ model, real }), list);
      for (const name of rig.targets.holding()) rig.targets.release(name, null);
      await rig.settle();
      checked('a run of commands', { database: rig.database, ledger: rig.targets.felt(), oneClock: true });
    } finally {
      database?.close();
      await alertmanager.close();
      await rig.close();
      sum.runs += 1;
      sum.commands += real.commands;
      sum.decisions += model.decisions.length;
      sum.effects += model.effects.length;
      sum.second += model.runs.filter(({ rung }) => rung > 0).length;
      sum.ineffective += model.runs.filter(({ cause }) => cause === 'ineffective').length;
      for (const [, , reason] of model.decisions) sum.reasons.add(reason);
    }
  };
  /** When the time is up the last run is not over. */
  const underWay = new Set();
  const property = fc.asyncProperty(fc.commands(commands, { maxCommands: 60, size: 'max' }), (list) => {
    const run = live(list).finally(() => void underWay.delete(run));
    underWay.add(run);
    return run;
  });
  await fc.assert(property, {
    seed,
    numRuns: quick ? 1_000 : 20_000,
    interruptAfterTimeLimit: quick ? QUICK_MS : Math.min(ms, LONGEST_MS),
    markInterruptAsFailure: false,
  });
  await Promise.all(underWay);
  return `${sum.runs} runs of ${sum.commands} commands agree: ${sum.decisions} decisions, ${sum.effects} effects, ${sum.second} runs of a second rung, ${sum.ineffective} ineffective; reasons seen: ${[...sum.reasons].toSorted((left, right) => left.localeCompare(right)).join(' ')}`;
};
