// Whether a rollout really went well. That it is complete says nothing about pods that end again a moment later: only some
// seconds in which no pod changed and none was started anew do.
import { ActionError } from '../../base/failure.ts';
import type { ActionContext } from '../../port/action.ts';
import type { Cluster } from './cluster.ts';
import type { Deployment, Pod } from './shapes.ts';
import { conditionOf } from './shapes.ts';
import { isReady, podsOf, restartsOf, revisionsOf, troubleOf } from './workload.ts';

export type Steady = {
  readonly stableMs: number;
  readonly withinMs: number;
  readonly everyMs: number;
  readonly maxPods: number;
  /** So often its pods may be started anew before it is complete. */
  readonly maxRestarts: number;
};
type Place = { readonly namespace: string; readonly deployment: string };
type Look = { readonly deployment: Deployment; readonly revision: number; readonly pods: readonly Pod[] };

/** Looks in a row that may go without an answer. */
const UNANSWERED = 3;

export const statusOutputs = {
  revision: 'the number of the revision that is rolled out',
  replicas: 'how many pods it wants',
  updated: 'how many of them are of this revision',
  ready: 'how many of those are ready',
  restarts: 'how often their containers were started anew, in all',
  seen_restarts: 'how often they were while it was watched',
  trouble: 'what the cluster says of its pods that are not ready, or empty',
  stable_seconds: 'for how long it has been complete and unchanged, in seconds',
};

/** What is missing to a complete rollout, as kubectl rollout status judges it; null: nothing. */
export const incomplete = ({ metadata, spec, status }: Deployment): string | null => {
  if (status.observedGeneration < (metadata.generation ?? 0)) return 'its controller has not looked at it yet';
  if (status.updatedReplicas < spec.replicas)
    return `${status.updatedReplicas} of ${spec.replicas} pods are of the new revision`;
  if (status.replicas > status.updatedReplicas)
    return `${status.replicas - status.updatedReplicas} pods of an old revision are still there`;
  if (status.availableReplicas < status.updatedReplicas)
    return `${status.availableReplicas} of ${status.updatedReplicas} pods are available`;
  return null;
};

const lookOnce = async (cluster: Cluster, { namespace, deployment: name }: Place, max: number): Promise<Look> => {
  const deployment = await cluster.deployment(namespace, name);
  const revisions = await revisionsOf(cluster, namespace, deployment);
  const revision = revisions[0]?.revision ?? 0;
  const all = await podsOf(cluster, namespace, deployment, revisions, max);
  return { deployment, revision, pods: all.filter((one) => one.revision === revision).map(({ pod }) => pod) };
};

/** Counts by pod, so that one that is replaced by a fresh one does not hide what it went through. */
const restartWatch = () => {
  const first = new Map<string, number>();
  const last = new Map<string, number>();
  return (pods: readonly Pod[]): number => {
    for (const pod of pods) {
      const { uid } = pod.metadata;
      if (!first.has(uid)) first.set(uid, restartsOf(pod));
      last.set(uid, restartsOf(pod));
    }
    return [...last].reduce((sum, [uid, count]) => sum + count - (first.get(uid) ?? 0), 0);
  };
};

const shown = ({ deployment, revision, pods }: Look, seenRestarts: number, stableMs: number) => ({
  revision,
  replicas: deployment.spec.replicas,
  updated: pods.length,
  ready: pods.filter(isReady).length,
  restarts: pods.reduce((sum, pod) => sum + restartsOf(pod), 0),
  seen_restarts: seenRestarts,
  trouble: [...new Set(pods.map(troubleOf))].filter((word) => word !== '').join(', '),
  stable_seconds: Math.floor(stableMs / 1_000),
});
type Shown = ReturnType<typeof shown>;

/** Resolves once it is complete and has stayed the same for `stableMs`; throws when that does not come about. */
export const becomesSteady = async (
  cluster: Cluster,
  place: Place,
  { stableMs, withinMs, everyMs, maxPods, maxRestarts }: Steady,
  { clock, signal }: ActionContext,
): Promise<Shown> => {
  const name = place.deployment;
  const until = clock.monotonic() + withinMs;
  const count = restartWatch();
  let since: number | null = null;
  let restartsAtStart = 0;
  let same = '';
  let unanswered = 0;
  let said = 'it was not looked at';
  let outputs: Shown | undefined;
  const failed = (kind: 'permanent' | 'retryable', why: string): ActionError =>
    new ActionError(kind, `the rollout of ${name} ${why}`, outputs === undefined ? {} : { outputs });
  for (;;) {
    const look = await lookOnce(cluster, place, maxPods).catch((error: unknown) => {
      unanswered += 1;
      const passing = error instanceof ActionError && error.kind === 'retryable' && !signal.aborted;
      if (!passing || unanswered > UNANSWERED) throw error;
      said = error.message;
      return null;
    });
    const now = clock.monotonic();
    if (look !== null) {
      unanswered = 0;
      const seen = count(look.pods);
      const missing = incomplete(look.deployment);
      const state = look.pods
        .map(({ metadata }) => metadata.uid)
        .toSorted()
        .join(' ');
      if (missing !== null) since = null;
      else if (since === null || state !== same) {
        since = now;
        restartsAtStart = seen;
      }
      same = state;
      outputs = shown(look, seen, since === null ? 0 : now - since);
      const trouble = outputs.trouble === '' ? '' : ` (${outputs.trouble})`;
      const progress = conditionOf(look.deployment, 'Progressing');
      if (since !== null && seen > restartsAtStart)
        throw failed('permanent', `was complete, and then a pod was started anew: it ends again and again${trouble}`);
      if (seen > maxRestarts)
        throw failed('permanent', `fails: its pods were started anew ${seen} times while it was watched${trouble}`);
      if (missing !== null && progress?.status === 'False' && progress.reason === 'ProgressDeadlineExceeded')
        throw failed('permanent', `is given up by its controller: ${missing}${trouble}`);
      if (since !== null && now - since >= stableMs) return outputs;
      said = `${missing ?? `it has been unchanged for ${Math.round(now - (since ?? now))} ms only`}${trouble}`;
    }
    if (now >= until) throw failed('retryable', `was not steady for ${stableMs} ms within ${withinMs} ms: ${said}`);
    await clock.sleep(everyMs, signal);
  }
};
