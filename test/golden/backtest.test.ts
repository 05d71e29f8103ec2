// A live engine's own journal decided again: unchanged rules decide as live did, and a changed one changes what it must.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { Assumption } from '../../src/replay/past.ts';
import type { Journal } from '../../src/replay/journal.ts';
import { compare } from '../../src/replay/summary.ts';
import { startEngine } from '../support/engine.ts';
import type { AlertGiven, EngineUnderTest } from '../support/engine.ts';
import { decideAgain, everything, linesOf, readLines } from '../support/journal.ts';
import type { Again } from '../support/journal.ts';

const MINUTE = 60_000;
const LOOK = 4_000;
const CONFIG = `version: 1
recovery: { mode: auto, settle: 5m, resolve_hold: 2m, storm: { min: 10, max: 10 } }
components:
  shop:
    inventory: { static: [one, two, three, four, five] }
    allow: { actions: ["wait.*"] }
  hall:
    inventory: { static: [door] }
    allow: { actions: ["wait.*"] }
`;
const runbook = (what: string): string => `version: 1
summary: Mend ${what}.
severity: SEV3
steps:
  - { id: mend, uses: wait.for, with: { duration: 1ms } }
verify:
  - { uses: wait.for, with: { duration: 1ms }, need: 1, of: 1, every: 10ms }
guide: Look.
`;
const rule = (name: string, alertname: string, book: string, max: number): object => ({
  name,
  priority: 10,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: alertname }] },
  event: { type: 'remediate', params: { runbook: book, mode: 'auto', limits: { attempts: [{ max, per: '1h' }] } } },
});
const FILES = {
  'rules/shop.json': rule('shop-down', 'ShopDown', 'shop/mend', 3),
  'rules/hall.json': rule('hall-dark', 'HallDark', 'hall/light', 1),
  'runbooks/shop/mend.yaml': runbook('the shop'),
  'runbooks/hall/light.yaml': runbook('the hall'),
};

describe('a journal is decided again', () => {
  let amends: EngineUnderTest;
  let began: number;
  beforeEach(async () => {
    amends = await startEngine({ config: CONFIG, files: FILES });
    began = amends.clock.now();
  });
  afterEach(() => amends.close());

  /** As live does it: a look every few seconds. */
  const goOnTo = async (to: number): Promise<void> => {
    while (amends.clock.now() < to) {
      amends.clock.advance(Math.min(LOOK, to - amends.clock.now()));
      await amends.settle();
    }
  };
  /** An evening: a shop that goes down again and again, a hall, alerts that nobody answers, and each of them over. */
  const live = async (): Promise<void> => {
    const at = async (minute: number, ...alerts: ReadonlyArray<Omit<AlertGiven, 'startsAt'>>): Promise<void> => {
      await goOnTo(began + minute * MINUTE);
      await amends.post(alerts);
    };
    const down = (target: string) => ({ labels: { alertname: 'ShopDown', component: 'shop', target } });
    const over = (target: string) => ({ ...down(target), status: 'resolved' as const });
    const dark = { labels: { alertname: 'HallDark', component: 'hall', target: 'door' } };
    await at(0, down('one'));
    await at(2, over('one'), { labels: { alertname: 'Unknown' } });
    await at(10, dark, down('two'));
    await at(11, down('two'));
    await at(13, over('two'), { ...dark, status: 'resolved' });
    await at(25, down('three'));
    await at(27, over('three'));
    await at(35, dark, down('four'));
    await at(36, over('four'));
    await at(75, { ...dark, status: 'resolved' });
    await at(80, down('five'));
    await at(82, over('five'));
  };
  const journal = async (): Promise<Journal> => readLines(await linesOf(amends.store));
  const again = async (
    recorded: Journal,
    files: Readonly<Record<string, object | string>> = FILES,
    assume: Assumption = 'recorded',
  ): Promise<Again> => {
    await amends.reload(files);
    return decideAgain(recorded, amends.loaded(), assume);
  };

  it('unchanged rules give the live decisions, all of them, in the same order, twice the same', async () => {
    await live();
    const recorded = await journal();
    const words = (one: { origin: string; reason: string; rule: string | null; target: string | null }): string =>
      [one.origin, one.rule, one.target, one.reason].join(' ');
    const end = recorded.deliveries.at(-1)?.at ?? 0;
    const lived = (await everything(amends.store, 'decisions')).map(words);
    const first = await again(recorded);
    // What comes after the last delivery is the backtest's own: live had not got there.
    expect(first.decisions.filter(({ at }) => at <= end).map(words)).toEqual(lived);
    for (const reason of ['admitted', 'resolved', 'duplicate', 'no_match', 'attempts_used_up'])
      expect(lived.some((line) => line.endsWith(reason))).toBe(true);
    expect(lived.some((line) => line.startsWith('retry'))).toBe(true);
    expect(JSON.stringify(await again(recorded))).toBe(JSON.stringify(first));
  });

  it('a tightened cap changes exactly the incidents that it must', async () => {
    await live();
    const recorded = await journal();
    const before = await again(recorded);
    const after = await again(recorded, {
      ...FILES,
      'rules/shop.json': rule('shop-down', 'ShopDown', 'shop/mend', 2),
    });
    expect(compare(before.incidents, after.incidents)).toEqual([
      {
        change: 'no_longer_acts',
        at: expect.any(String) as unknown as string,
        alertname: 'ShopDown',
        component: 'shop',
        target: 'three',
        before: ['admitted: shop-down > mend'],
        after: ['attempts_used_up: shop-down > mend'],
      },
    ]);
    expect(compare(before.incidents, before.incidents)).toEqual([]);
  });

  it('a priority that only changes who is decided first is no difference to any incident', async () => {
    await live();
    const recorded = await journal();
    const before = await again(recorded);
    const first = { ...rule('shop-down', 'ShopDown', 'shop/mend', 3), priority: 20 };
    const after = await again(recorded, { ...FILES, 'rules/shop.json': first });
    expect(compare(before.incidents, after.incidents)).toEqual([]);
  });

  it('what is assumed of runs decides what follows them', async () => {
    await live();
    const recorded = await journal();
    const { summary: helped } = await again(recorded, FILES, 'success');
    const { summary: failed } = await again(recorded, FILES, 'failure');
    expect(helped.runs.every(({ outcome }) => outcome === 'resolved')).toBe(true);
    expect(failed.runs.every(({ outcome }) => outcome === 'unresolved')).toBe(true);
    expect(helped.rules.find(({ rule: name }) => name === 'shop-down')).toMatchObject({ acted: 4, capped: 1 });
  });

  it('a body that cannot be read is said with its line, and the others are decided', async () => {
    await live();
    const recorded = await journal();
    const [first, ...rest] = recorded.deliveries;
    if (first === undefined) throw new Error('no delivery');
    const broken = { ...first, body: () => Buffer.from('{"alerts":7}') };
    const { result } = await again({ ...recorded, deliveries: [broken, ...rest] });
    expect(result.refused).toMatchObject([{ line: first.line }]);
    expect(result.deliveries).toBe(rest.length);
  });
});
