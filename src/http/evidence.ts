// Reads from the record what a rule has shown.
import { evidenceOf } from '../replay/evidence.ts';
import type { Evidence } from '../replay/evidence.ts';
import type { Rule } from '../rule/rule.ts';
import type { Ledger } from '../run/history.ts';
import type { FiguresContext } from './figures.ts';

/** The newest runs that are looked at. */
const MOST_RUNS = 1_000;

export const readEvidence = async ({ store, loaded }: FiguresContext, rule: Rule): Promise<Evidence> => {
  const { config, catalog } = loaded();
  const attempts = (ledger: Ledger) => store.attempts({ component: null, ledger, since: 0 });
  const shadow = rule.mode === 'shadow';
  const [runs, own, everyone, live, controls] = await Promise.all([
    store.list('runs', { limit: MOST_RUNS, cursor: null, filters: { rule: rule.name }, since: null }),
    shadow ? attempts(`shadow:${rule.name}`) : [],
    shadow ? attempts('shadow') : [],
    shadow ? attempts('live') : [],
    store.controls(),
  ]);
  const wouldBe = [...own, ...everyone].filter((attempt) => attempt.rule === rule.name);
  return evidenceOf({
    rule,
    destructive: rule.ladder.some(({ runbook }) => catalog.runbooks.get(runbook)?.effect === 'destroy'),
    promotion: config.recovery.promotion,
    demoted: controls.demotions.get(rule.name) ?? null,
    now: controls.now,
    runs: runs.items,
    shadow: wouldBe.toSorted((left, right) => right.at - left.at),
    live,
  });
};
