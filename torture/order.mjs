// The same alerts in another order, twice, late, or with a fault on the way: the same rule and the same plan for each
// target, and never more effects than without.
import Database from 'better-sqlite3';
import { digest } from '../src/base/json.ts';
import { StoreUnavailable } from '../src/port/store.ts';
import { configOf, MEND, ruleOf } from './content.mjs';
import { checked, hold, same } from './expect.mjs';
import { openRig } from './rig.ts';

export const covers = [
  'I11 F33 the same alerts in any order within a delivery: the same rule and the same plan for each target',
  'I12 a duplicate, a delay, a restart or a fault of the store never makes more effects',
];

const COMPONENTS = { cache: ['c0', 'c1', 'c2', 'c3', 'c4', 'c5'], shop: ['s0', 's1', 's2', 's3', 's4', 's5'] };
const ALERTNAMES = ['Down', 'Slow', 'Odd'];

const config = configOf(
  {
    attempts: [{ max: 100, per: '1h' }],
    budget: [{ max: 100, per: '1h' }],
    cooldown: { after_failure: '1m', after_success: '10s' },
    max_concurrent: 6,
    max_concurrent_total: 12,
    settle: '0s',
    storm: { min: 100, max: 100, share: '100%', components: 100, gather: '0s' },
  },
  Object.fromEntries(Object.entries(COMPONENTS).map(([name, targets]) => [name, { targets, kind: 'any' }])),
);
/** Several match one alert: the highest priority wins, then the name. */
const rules = [
  ['by-anything', [...ALERTNAMES], 5],
  ['b-down', ['Down'], 20],
  ['a-down', ['Down'], 20],
  ['slow', ['Slow', 'Down'], 15],
].map(([name, alertnames, priority]) => ({
  ...ruleOf(name, '', name === 'slow' ? 'any/other' : 'any/mend'),
  priority,
  conditions: { all: [{ fact: 'alertname', operator: 'in', value: alertnames }] },
}));
const files = {
  ...Object.fromEntries(rules.map((rule) => [`rules/${rule.name}.json`, rule])),
  'runbooks/any/mend.yaml': MEND,
  'runbooks/any/other.yaml': MEND.replace('Mend it.', 'Mend it otherwise.'),
};

const shuffled = (list, random) => {
  const left = [...list];
  return list.map(() => left.splice(random.below(left.length), 1)[0]);
};

/** What fires, each target for one reason or for several. */
const draw = (random) =>
  Object.entries(COMPONENTS).flatMap(([component, targets]) =>
    targets.flatMap((target) =>
      ALERTNAMES.filter(() => random.next() < 0.4).map((alertname) => ({
        labels: { alertname, component, target },
        startsAt: Date.UTC(2026, 0, 6, 11, 59),
      })),
    ),
  );

const never = () => false;

/** Posts in these deliveries, lets an hour pass, and says what was planned and felt. `fails`: of which calls of the store. */
const live = async (deliveries, { crashAt = -1, pauseMs = 0, fails = never, reference } = {}) => {
  let calls = 0;
  const rig = await openRig({
    config,
    files,
    aroundStore: (store) =>
      new Proxy(store, {
        get: (real, name) => {
          if (!['receive', 'decide', 'claim', 'changeRun', 'extendRun'].includes(name)) return real[name];
          return async (...given) => {
            calls += 1;
            if (fails(calls)) throw new StoreUnavailable('the disk is full');
            return real[name](...given);
          };
        },
      }),
  });
  try {
    for (const [index, alerts] of deliveries.entries()) {
      for (let tries = 0; tries < 5; tries += 1) if (await rig.submit(alerts).catch(() => false)) break;
      await rig.settle().catch(() => undefined);
      if (index === crashAt) await rig.crash();
      if (pauseMs > 0) await rig.clock.advance(pauseMs);
    }
    const end = rig.clock.now() + 600_000;
    while (rig.clock.now() < end) {
      await rig.clock.advance(61_000);
      await rig.settle().catch(() => undefined);
    }
    checked('an order of deliveries', {
      database: rig.database,
      ledger: rig.targets.felt(),
      reference,
      oneClock: true,
    });
    const database = new Database(rig.database, { readonly: true });
    const plans = database.prepare('select target, rule, plan from runs order by target, rowid').all();
    database.close();
    return {
      first: Object.fromEntries(
        plans.toReversed().map(({ target, rule, plan }) => [target, [rule, planDigest(JSON.parse(plan))]]),
      ),
      effects: rig.targets.felt().length,
    };
  } finally {
    await rig.close();
  }
};

/** What is to be done and by what leave; when which alert came is not part of it. */
const planDigest = (plan) => digest({ ...plan, alert: null });

export default async ({ quick, random, over }) => {
  const sum = { orders: 0, disturbed: 0, effects: 0, fewer: 0 };
  for (let round = 0; round < (quick ? 4 : 300) && !over(); round += 1) {
    const alerts = draw(random);
    if (alerts.length === 0) continue;
    const plain = await live([alerts]);
    sum.effects += plain.effects;
    for (let turn = 0; turn < 2; turn += 1) {
      const other = await live([shuffled(alerts, random)]);
      same('I11', 'rule and plan of each target in another order', other.first, plain.first);
      sum.orders += 1;
    }
    const reference = plain.effects;
    const faulty = 2 + random.below(20);
    for (const [what, work] of Object.entries({
      'twice in one delivery': () => live([[...alerts, ...shuffled(alerts, random)]], { reference }),
      'the same delivery three times': () => live([alerts, alerts, alerts], { reference }),
      'a delivery late': () => live([alerts, shuffled(alerts, random)], { pauseMs: 30_000, reference }),
      'a restart between': () => live([alerts, alerts], { crashAt: 0, reference }),
      'a store that fails now and then': () =>
        live([alerts, alerts], { fails: (call) => call % faulty === 0, reference }),
    })) {
      const { effects } = await work();
      hold('I12', `${what}: ${effects} effects, ${plain.effects} without`, effects <= plain.effects);
      sum.disturbed += 1;
      if (effects < plain.effects) sum.fewer += 1;
    }
  }
  return `${sum.orders} other orders with the same rules and plans; ${sum.disturbed} disturbances of ${sum.effects} effects, ${sum.fewer} with fewer, 0 with more`;
};
