// What is rare and decides all the same is in the journal too: a clock that jumped, an undo that failed, the moment in which
// a halt file was seen and not yet on record. Decided again, each comes out as it did.
import { rmSync, writeFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from '@jest/globals';
import { createLog } from '../../src/base/log.ts';
import { createRedactor } from '../../src/base/secret.ts';
import { createHaltFile } from '../../src/engine/halt-file.ts';
import { createHaltWatch } from '../../src/engine/halt-watch.ts';
import { startEngine } from '../support/engine.ts';
import type { EngineUnderTest } from '../support/engine.ts';
import { decideAgain, everything, linesOf, readLines } from '../support/journal.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const LOOK = 4_000;

const CONFIG = `version: 1
recovery: { mode: auto, settle: 1m, resolve_hold: 1m, attempts: [{ max: 3, per: 1h }, { max: 20, per: 1d }], budget: [{ max: 20, per: 1h }], storm: { min: 10, max: 10, components: 9 } }
components:
  shop: { inventory: { static: [one, two, three, four, five] }, allow: { actions: ["wait.*", "files.*"] } }
  hall: { inventory: { static: [door, gate, hatch] }, allow: { actions: ["wait.*", "http.*"] } }
allow: { hosts: ["127.0.0.1:9"] }
`;
const runbook = (steps: string, verify: string): string => `version: 1
summary: Mend it.
severity: SEV3
timeout: 10s
steps:
${steps}
verify:
  - ${verify}
guide: Look.
`;
const WAIT = '{ id: mend, uses: wait.for, with: { duration: 1ms } }';
const WELL = '{ uses: wait.for, with: { duration: 1ms }, need: 1, of: 1, every: 10ms }';
/** Nobody answers there: not verified, and what is undone cannot be undone. */
const NOBODY = 'http://127.0.0.1:9/';
const UNDOABLE = `  - id: switch
    uses: wait.for
    with: { duration: 1ms }
    undo: { uses: http.request, with: { url: "${NOBODY}", method: POST }, idempotent: true }`;
const UNWELL = `{ uses: http.get, with: { url: "${NOBODY}" }, need: 1, of: 1, every: 10ms }`;
const rule = (name: string, alertname: string, book: string): object => ({
  name,
  priority: 10,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: alertname }] },
  event: { type: 'remediate', params: { runbook: book, mode: 'auto' } },
});
const FILES = {
  'rules/shop.json': rule('shop-down', 'ShopDown', 'shop/mend'),
  'rules/hall.json': rule('hall-dark', 'HallDark', 'hall/light'),
  'runbooks/shop/mend.yaml': runbook(`  - ${WAIT}`, WELL),
  'runbooks/hall/light.yaml': runbook(UNDOABLE, UNWELL),
};

let amends: EngineUnderTest;
afterEach(() => amends.close());

const goOn = async (ms: number): Promise<void> => {
  const to = amends.clock.now() + ms;
  while (amends.clock.now() < to) {
    amends.clock.advance(Math.min(LOOK, to - amends.clock.now()));
    await amends.settle();
  }
};
const shop = (target: string) => ({ alertname: 'ShopDown', component: 'shop', target });
const hall = (target: string) => ({ alertname: 'HallDark', component: 'hall', target });
const fire = (labels: Readonly<Record<string, string>>): Promise<void> => amends.post([{ labels }]);
const over = (labels: Readonly<Record<string, string>>): Promise<void> => amends.post([{ labels, status: 'resolved' }]);

const words = (one: { origin: string; reason: string; rule: string | null; target: string | null }): string =>
  [one.origin, one.rule, one.target, one.reason].join(' ');
/** What live decided, after it was seen that the journal alone gives the same. */
const decidedTwice = async (): Promise<readonly string[]> => {
  const lived = (await everything(amends.store, 'decisions')).map(words);
  const journal = await readLines(await linesOf(amends.store));
  const end = journal.deliveries.at(-1)?.at ?? 0;
  const { decisions, result } = await decideAgain(journal, amends.loaded());
  expect(result.undone).toEqual([]);
  expect(decisions.filter(({ at }) => at <= end).map(words)).toEqual(lived);
  return lived;
};

describe('a journal has what is rare', () => {
  it('F62 a wall clock that jumped ahead: what was held is asked about, caps are not refilled, and again so', async () => {
    amends = await startEngine({ config: CONFIG, files: FILES });
    await fire(shop('one'));
    await goOn(2 * MINUTE);
    await over(shop('one'));
    await fire(shop('two'));
    await goOn(2 * MINUTE);
    await over(shop('two'));
    await fire(shop('three'));
    await goOn(2 * MINUTE);
    await over(shop('three'));
    // Held by the cooldown; then there are two hours in one moment.
    await fire(shop('four'));
    amends.clock.setWall(2 * HOUR);
    await amends.settle();
    await goOn(MINUTE);
    await fire(shop('five'));
    await goOn(70 * MINUTE);
    await over(shop('four'));
    await fire(hall('gate'));
    const lived = await decidedTwice();
    expect(lived).toContain('retry shop-down four awaiting_approval');
    expect(lived).toContain('delivery shop-down five attempts_used_up');
  }, 60_000);

  it('F61 a wall clock that was set back: a human decides for one window, and again so', async () => {
    amends = await startEngine({ config: CONFIG, files: FILES });
    await fire(shop('one'));
    await goOn(2 * MINUTE);
    await over(shop('one'));
    amends.clock.setWall(-HOUR);
    await amends.settle();
    await goOn(MINUTE);
    await fire(shop('two'));
    await goOn(5 * MINUTE);
    await over(shop('two'));
    await fire(shop('three'));
    const lived = await decidedTwice();
    expect(lived.some((line) => line.endsWith('two awaiting_approval'))).toBe(true);
  }, 60_000);

  it('F57 an undo that failed: its component is disabled until somebody enables it, and again so', async () => {
    amends = await startEngine({ config: CONFIG, files: FILES });
    await fire(hall('door'));
    await goOn(MINUTE);
    expect((await amends.list('runs'))[0]).toMatchObject({ outcome: 'stuck', cause: 'undo_failed' });
    await fire(hall('gate'));
    await goOn(10 * MINUTE);
    await amends.engine.desk.enable({ scope: 'component', name: 'hall', by: 'ann' });
    await goOn(6 * MINUTE);
    await fire(hall('hatch'));
    const lived = await decidedTwice();
    expect(lived.filter((line) => line.endsWith('gate disabled'))).toHaveLength(1);
    expect(lived.filter((line) => line.endsWith('gate admitted'))).toHaveLength(1);
  }, 60_000);

  it('F45 a halt file: what was decided before it was on record, and again so', async () => {
    amends = await startEngine({ config: CONFIG, files: FILES });
    const log = createLog('silent', createRedactor());
    const { store, clock, haltFile } = amends;
    const watch = createHaltWatch({ store, clock, log, halt: createHaltFile(haltFile) }, { wake: () => undefined });
    // Gone before anybody put it on record.
    writeFileSync(haltFile, '');
    await fire(shop('one'));
    rmSync(haltFile);
    await fire(shop('two'));
    await goOn(MINUTE / 2);
    await over(shop('two'));
    await goOn(MINUTE);
    await over(shop('one'));
    await goOn(3 * MINUTE);
    // There to stay for a while.
    writeFileSync(haltFile, '');
    await fire(shop('three'));
    clock.advance(SECOND);
    await watch.tick();
    await amends.settle();
    await fire(shop('four'));
    await goOn(2 * MINUTE);
    rmSync(haltFile);
    await watch.tick();
    await amends.settle();
    await goOn(MINUTE / 2);
    await over(shop('three'));
    await goOn(5 * MINUTE);
    await fire(shop('five'));
    const lived = await decidedTwice();
    expect(lived.slice(0, 2)).toEqual(['delivery shop-down one halted', 'delivery shop-down two admitted']);
    for (const target of ['one', 'three'])
      expect(lived).toContainEqual(expect.stringMatching(`retry shop-down ${target} (admitted|cooldown)`));
  }, 60_000);
});
