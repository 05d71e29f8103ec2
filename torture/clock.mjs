// The wall clock jumps back an hour and ahead two, in between and over a restart: caps never loosen, rests stay rests.
import { configOf, MEND, ruleOf } from './content.mjs';
import { checked, hold } from './expect.mjs';
import { openRig } from './rig.ts';

export const covers = ['F61 F62 F64 I1 I10 the wall clock jumps by -1 h and +2 h, also over a restart'];

const TARGETS = ['a', 'b', 'c', 'd', 'e'];
const JUMPS = [-3_600_000, 7_200_000, -3_600_000, 30_000, 21_600_000];

const life = async (random, turns) => {
  const rig = await openRig({
    config: configOf(
      {
        attempts: [{ max: 4, per: '1h' }],
        cooldown: { after_failure: '5m', after_success: '1m' },
        settle: '0s',
        resolve_hold: '1m',
        storm: { min: 100, max: 100, share: '100%', components: 100 },
      },
      { shop: { targets: [...TARGETS, 'quiet'] } },
    ),
    files: { 'rules/shop.json': ruleOf('shop-down', 'ShopDown', 'shop/mend'), 'runbooks/shop/mend.yaml': MEND },
  });
  /** Monotonic times at which effects were felt: the clock that did not jump. */
  const felt = [];
  let jumps = 0;
  try {
    for (let turn = 0; turn < turns; turn += 1) {
      const target = random.of(TARGETS);
      const status = random.next() < 0.4 ? 'resolved' : 'firing';
      rig.targets.well(target, random.next() < 0.7);
      await rig.submit([{ labels: { alertname: 'ShopDown', component: 'shop', target }, status }]);
      await rig.settle();
      // While the clock is suspect a human decides.
      for (const run of await rig.store.activeRuns())
        if (run.state === 'awaiting_approval' && random.next() < 0.7)
          await rig.engine.desk.approve({ runId: run.id, step: null, by: 'ann', comment: '' });
      await rig.settle();
      while (felt.length < rig.targets.felt().length) felt.push(rig.clock.monotonic());
      if (random.next() < 0.15) {
        rig.clock.jump(random.of(JUMPS));
        jumps += 1;
        if (random.next() < 0.5) await rig.crash();
      }
      await rig.clock.advance(random.of([5_000, 61_000, 301_000, 601_000]));
    }
    checked(`${jumps} jumps`, { database: rig.database, ledger: rig.targets.felt() });
    return { felt: felt.length, jumps };
  } finally {
    await rig.close();
  }
};

/** Back by an hour: what was counted stays counted until an hour has passed for good. */
const back = async () => {
  const rig = await openRig({
    config: configOf(
      { attempts: [{ max: 1, per: '1h' }], cooldown: { after_failure: '1s', after_success: '1s' }, settle: '0s' },
      { shop: { targets: ['a', 'b', 'c', 'd'] } },
    ),
    files: { 'rules/shop.json': ruleOf('shop-down', 'ShopDown', 'shop/mend'), 'runbooks/shop/mend.yaml': MEND },
  });
  const fire = async (target) => {
    await rig.submit([{ labels: { alertname: 'ShopDown', component: 'shop', target } }]);
    await rig.settle();
  };
  try {
    await fire('a');
    rig.clock.jump(-3_600_000);
    await rig.crash();
    for (const target of ['b', 'c']) {
      await rig.clock.advance(1_750_000);
      await fire(target);
    }
    hold('F61', `${rig.targets.felt().length} effects within an hour of real time`, rig.targets.felt().length === 1);
    checked('back by an hour over a restart', { database: rig.database, ledger: rig.targets.felt() });
  } finally {
    await rig.close();
  }
};

export default async ({ quick, random, over }) => {
  await back();
  const sum = { felt: 0, jumps: 0 };
  for (let round = 0; round < (quick ? 4 : 200) && !over(); round += 1) {
    const lived = await life(random, quick ? 60 : 150);
    sum.felt += lived.felt;
    sum.jumps += lived.jumps;
  }
  return `${sum.jumps} jumps, ${sum.felt} effects`;
};
