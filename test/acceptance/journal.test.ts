// A live engine with a real Alertmanager and a real Prometheus, and people who approve, deny, disable and halt: its journal
// alone is enough to decide everything again exactly as it did.
import { afterAll, afterEach, describe, expect } from '@jest/globals';
import { fire, quietConfig, silence, unsilence } from '../support/alertmanager.ts';
import { startEngine } from '../support/engine.ts';
import type { EngineUnderTest } from '../support/engine.ts';
import { decideAgain, everything, linesOf, readLines } from '../support/journal.ts';
import { itWith } from '../support/requires.ts';
import { startedHere } from '../support/servers.ts';

const MINUTE = 60_000;
const LOOK = 5_000;

const configOf = (alertmanager: string, prometheus: string): string => `version: 1
alertmanagers: [{ url: "${alertmanager}" }]
prometheus: { url: "${prometheus}" }
recovery: { mode: auto, settle: 1m, resolve_hold: 1m, attempts: [{ max: 20, per: 1h }], budget: [{ max: 20, per: 1h }], storm: { min: 10, max: 10, components: 9 } }
components:
  shop:
    inventory: { static: [one, two, three, four, five] }
    min_healthy: { query: "vector(3)", min: 1 }
    allow: { actions: ["wait.*"] }
  hall:
    inventory: { static: [door] }
    allow: { actions: ["wait.*"] }
`;
const runbook = `version: 1
summary: Mend it.
severity: SEV3
steps:
  - { id: mend, uses: wait.for, with: { duration: 1ms } }
verify:
  - { uses: wait.for, with: { duration: 1ms }, need: 1, of: 1, every: 10ms }
guide: Look.
`;
const rule = (name: string, alertname: string, book: string, mode: string, above: number | null): object => ({
  name,
  priority: 10,
  conditions: {
    all: [
      { fact: 'alertname', operator: 'equal', value: alertname },
      ...(above === null
        ? []
        : [{ fact: 'prometheus', params: { query: 'vector(2)', id: 'load' }, operator: 'greaterThan', value: above }]),
    ],
  },
  event: { type: 'remediate', params: { runbook: book, mode } },
});
const FILES = {
  'rules/shop.json': rule('shop-down', 'ShopDown', 'shop/mend', 'auto', 1),
  'rules/slow.json': rule('shop-slow', 'ShopSlow', 'shop/mend', 'auto', 5),
  'rules/hall.json': rule('hall-dark', 'HallDark', 'hall/light', 'approve', null),
  'runbooks/shop/mend.yaml': runbook,
  'runbooks/hall/light.yaml': runbook,
};

const servers = startedHere();
let amends: EngineUnderTest;

afterEach(() => amends.close());
afterAll(() => servers.stopAll(), 30_000);

const goOn = async (minutes: number): Promise<void> => {
  const to = amends.clock.now() + minutes * MINUTE;
  while (amends.clock.now() < to) {
    amends.clock.advance(Math.min(LOOK, to - amends.clock.now()));
    await amends.settle();
  }
};
const shop = (target: string, alertname = 'ShopDown') => ({ alertname, component: 'shop', target });
const door = { alertname: 'HallDark', component: 'hall', target: 'door' };
const by = 'ann';

describe('the journal of a live run', () => {
  itWith('alertmanager', 'prometheus')(
    'with facts from Prometheus, a silence, answers to questions, a disable, a halt and a run by hand gives the live decisions again, all of them, in the same order',
    async () => {
      const alertmanager = await servers.alertmanager({ config: quietConfig });
      const prometheus = await servers.prometheus({ config: {} });
      amends = await startEngine({ config: configOf(alertmanager.url, prometheus.url), files: FILES });
      const { desk } = amends.engine;
      const firing = async (labels: Readonly<Record<string, string>>): Promise<void> => {
        await fire(alertmanager, labels);
        await amends.post([{ labels, startsAt: amends.clock.now() - 1_000 }]);
      };
      const over = async (labels: Readonly<Record<string, string>>): Promise<void> => {
        await amends.post([{ labels, status: 'resolved' }]);
      };
      const waiting = async (): Promise<string> => {
        const run = (await amends.list('runs')).find(({ state }) => state === 'awaiting_approval');
        if (run === undefined) throw new Error('nobody is asked');
        return run.id;
      };

      await firing(shop('one'));
      await firing(shop('one', 'ShopSlow'));
      await goOn(1);
      await over(shop('one'));
      await goOn(3);
      // Silenced, and looked at again until the silence is gone.
      const silenced = await silence(alertmanager, { target: 'two' });
      await firing(shop('two'));
      await goOn(2);
      await unsilence(alertmanager, silenced);
      await goOn(4);
      await over(shop('two'));
      await goOn(2);
      // Asked: yes, no, and nobody answers.
      await firing(door);
      await goOn(2);
      await desk.approve({ runId: await waiting(), step: null, by, comment: 'go' });
      await goOn(1);
      await over(door);
      await goOn(3);
      await firing(door);
      await goOn(1);
      await desk.deny({ runId: await waiting(), step: null, by, comment: 'not now' });
      await over(door);
      await goOn(3);
      await firing(door);
      await goOn(32);
      await over(door);
      // Disabled for a while, then halted.
      await desk.disable({ scope: 'component', name: 'shop', forMs: 3 * MINUTE, by, reason: 'works' });
      await firing(shop('three'));
      await goOn(5);
      await over(shop('three'));
      await goOn(2);
      await desk.halt({ by, reason: 'stop', hard: false });
      await firing(shop('four'));
      await goOn(4);
      await desk.resume({ by, reason: 'go on' });
      await goOn(3);
      await over(shop('four'));
      await goOn(2);
      await desk.recover({
        component: 'shop',
        target: 'five',
        strategy: 'mend',
        failureType: null,
        inputs: {},
        context: {},
        requireApproval: false,
        overrideCooldown: false,
        reason: 'to be sure',
        by,
      });
      await goOn(1);
      await firing(shop('five'));

      const words = (one: {
        origin: string;
        reason: string;
        rule: string | null;
        target: string | null;
        strategy: string | null;
      }): string => [one.origin, one.rule, one.target, one.strategy, one.reason].join(' ');
      const lived = (await everything(amends.store, 'decisions')).map(words);
      const journal = await readLines(await linesOf(amends.store));
      expect(journal.problems).toEqual([]);
      const { decisions, result, summary } = await decideAgain(journal, amends.loaded());
      const end = journal.deliveries.at(-1)?.at ?? 0;
      expect(decisions.filter(({ at }) => at <= end).map(words)).toEqual(lived);
      expect(result.unknown).toEqual({ alerts: {}, queries: {} });
      expect(result.undone).toEqual([]);
      // The question that nobody answered went to a human.
      expect(summary.rules.find(({ rule: name }) => name === 'hall-dark')).toMatchObject({ asked: 3, escalated: 1 });
      for (const reason of ['admitted', 'no_match', 'silenced', 'awaiting_approval', 'disabled', 'halted', 'resolved'])
        expect(lived.filter((line) => line.endsWith(` ${reason}`))).not.toEqual([]);
      expect(lived.some((line) => line.startsWith('manual'))).toBe(true);

      // Without the facts it is said what is missing, and nothing is made up about Prometheus.
      const blind = await decideAgain({ ...journal, facts: [] }, amends.loaded());
      expect(blind.result.unknown.queries['vector(2)']).toBeGreaterThan(0);
      expect(blind.decisions.some(({ reason }) => reason === 'undecidable')).toBe(true);
    },
    120_000,
  );
});
