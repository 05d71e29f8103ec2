// I12: nothing but the alerts and what the targets answered may lead to an effect. Each run that reached its target is
// held against what allowed it; a fault, a delay, a duplicate or a restart is no leave to act again. Where a case has a
// reference, the same alerts without its faults, it is held against that as well.
import type { Felt } from './ledger.ts';
import type { Known, Run } from './record.ts';

type Say = (what: string) => void;

/** What was done to which target in which runs: a repetition of a step within its run (I6) is no other effect. */
export const distinct = (ledger: readonly Felt[]): ReadonlySet<string> =>
  new Set(ledger.map(({ run, step, target }) => `${run} ${step} ${target}`));

/** When an episode gave leave for a first run: it was opened, or came back. */
const leaves = ({ alerts }: Known): ReadonlyMap<string, readonly number[]> => {
  const found = new Map<string, number[]>();
  for (const { episode_id: id, change, at } of alerts) {
    if (id === null || (change !== 'opened' && change !== 'reopened')) continue;
    found.set(id, [...(found.get(id) ?? []), at]);
  }
  return found;
};

const isLeave = (before: Run, after: Run, reopened: readonly number[]): boolean => {
  if (before.outcome === 'unresolved') return true;
  const end = before.ended_at ?? Number.POSITIVE_INFINITY;
  return (
    before.outcome === 'resolved' &&
    reopened.some((at) => at >= before.created_at && at <= after.created_at && end <= after.created_at)
  );
};

export const licensed = (known: Known, ledger: readonly Felt[], reference: number | undefined, say: Say): void => {
  const { runs, decisions } = known;
  const effects = distinct(ledger);
  if (reference !== undefined && effects.size > reference)
    say(`${effects.size} effects, without what was done to it ${reference}`);
  const felt = new Set(ledger.map(({ run }) => run));
  const of = new Map(decisions.map((decision) => [decision.run_id, decision]));
  const allowed = leaves(known);
  const last = new Map<string, Run>();
  const perDecision = new Map<string, string>();
  for (const run of runs) {
    if (!felt.has(run.id)) continue;
    const other = perDecision.get(run.decision_id);
    if (other !== undefined) say(`the decision ${run.decision_id} led to effects of two runs, ${other} and ${run.id}`);
    perDecision.set(run.decision_id, run.id);
    const decision = of.get(run.id);
    // Who asks by hand is the leave, once for each time.
    if (decision === undefined || decision.episode_id === null) continue;
    const episode = decision.episode_id;
    if ((allowed.get(episode) ?? []).length === 0) say(`the run ${run.id} acted for an episode that no alert opened`);
    const before = last.get(episode);
    if (before !== undefined && !isLeave(before, run, allowed.get(episode) ?? []))
      say(
        `the run ${run.id} acted although ${before.id} of its episode was ${before.outcome}, and the alert had not come back`,
      );
    last.set(episode, run);
  }
};
