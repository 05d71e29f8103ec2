// I12: nothing but the alerts and what the targets answered may lead to an effect. Each run that reached its target is
// held against what allowed it; a fault, a delay, a duplicate or a restart is no leave to act again. Where a case has a
// reference, the same alerts without its faults, it is held against that as well.
import type { Felt } from './ledger.ts';
import type { Alert, Known, Run } from './record.ts';

type Say = (what: string) => void;

/** What was done to which target in which runs: a repetition of a step within its run (I6) is no other effect. */
export const distinct = (ledger: readonly Felt[]): ReadonlySet<string> =>
  new Set(ledger.map(({ run, step, target }) => `${run} ${step} ${target}`));

type Leaves = { readonly opened: number; readonly reopened: readonly Alert[] };

/** What an episode gave leave for: a first run when it was opened, another one whenever its alert came back. */
const leavesOf = ({ alerts }: Known): ReadonlyMap<string, Leaves> => {
  const found = new Map<string, { opened: number; reopened: Alert[] }>();
  for (const alert of alerts) {
    if (alert.episode_id === null) continue;
    const leaves = found.get(alert.episode_id) ?? { opened: 0, reopened: [] };
    found.set(alert.episode_id, leaves);
    if (alert.change === 'opened') leaves.opened += 1;
    if (alert.change === 'reopened') leaves.reopened.push(alert);
  }
  return found;
};

/** After one that did not help another may follow; after one that did, only when the alert had been gone and came back. */
const isLeave = (before: Run, after: Run, reopened: readonly Alert[], since: number): boolean => {
  if (before.outcome === 'unresolved') return true;
  const came = ({ seq, at }: Alert): boolean => seq > since && at >= before.created_at && at <= after.created_at;
  return before.outcome === 'resolved' && (before.ended_at ?? NEVER) <= after.created_at && reopened.some(came);
};
const NEVER = Number.POSITIVE_INFINITY;

export const licensed = (known: Known, ledger: readonly Felt[], reference: number | undefined, say: Say): void => {
  const { runs, decisions } = known;
  const effects = distinct(ledger);
  if (reference !== undefined && effects.size > reference)
    say(`${effects.size} effects, without what was done to it ${reference}`);
  const felt = new Set(ledger.map(({ run }) => run));
  const of = new Map(decisions.map((decision) => [decision.run_id, decision]));
  const leaves = leavesOf(known);
  const seqs = new Map(known.alerts.map(({ id, seq }) => [id, seq]));
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
    const { opened, reopened } = leaves.get(episode) ?? { opened: 0, reopened: [] };
    if (opened === 0) say(`the run ${run.id} acted for an episode that no alert opened`);
    const before = last.get(episode);
    const since = seqs.get(of.get(before?.id ?? '')?.alert_id ?? '') ?? 0;
    if (before !== undefined && !isLeave(before, run, reopened, since))
      say(
        `the run ${run.id} acted although ${before.id} of its episode was ${before.outcome} and the alert had not come back`,
      );
    last.set(episode, run);
  }
};
