// Whether a rollout really went well. That it is complete says nothing about pods that end again a moment later: only some
// seconds in which no pod changed and none was started anew do.
import { ActionError } from '../../base/failure.ts';
import type { ActionContext } from '../../port/action.ts';
import type { Cluster } from './cluster.ts';
import { called } from './connect.ts';
import type { Place } from './connect.ts';
import { podsOf, revisionsOf } from './history.ts';
import type { Pod, Workload } from './shapes.ts';
import { conditionOf } from './shapes.ts';
import { incomplete, isReady, partitionOf, restartsOf, rollsNothing, troubleOf, wantedPods } from './workload.ts';

export type Steady = {
  readonly stableMs: number;
  readonly withinMs: number;
  readonly everyMs: number;
  readonly maxPods: number;
  /** So often its pods may be started anew before it is complete. */
  readonly maxRestarts: number;
};
type Look = {
  readonly workload: Workload;
  readonly revision: number;
  /** Those that are to stay: of the newest revision, and those that a partition keeps as they are. */
  readonly pods: readonly Pod[];
  readonly updated: number;
  /** The pod for which its controller waits before it changes any other, or null. */
  readonly blocking: Pod | null;
};

/** Looks in a row that may go without an answer. */
const UNANSWERED = 3;

export const statusOutputs = {
  revision: 'the number of the revision that is rolled out',
  replicas: 'how many pods it wants',
  updated: 'how many of them are of this revision',
  ready: 'how many of those are ready, with those that a partition keeps as they are',
  restarts: 'how often their containers were started anew, in all',
  seen_restarts: 'how often they were while it was watched',
  trouble: 'what the cluster says of its pods that are not ready, or empty',
  stable_seconds: 'for how long it has been complete and unchanged, in seconds',
};

const ordinalOf = ({ metadata }: Pod): number => Number(/-(\d+)$/.exec(metadata.name)?.[1] ?? 'NaN');

const lookOnce = async (cluster: Cluster, place: Place, max: number): Promise<Look> => {
  const workload = await cluster.workload(place);
  const idle = rollsNothing(workload);
  if (idle !== null) throw new ActionError('permanent', `there is no rollout to wait for: ${idle}`);
  const revisions = await revisionsOf(cluster, place, workload);
  const revision = revisions[0]?.revision ?? 0;
  const all = await podsOf(cluster, place, workload, revisions, max);
  const kept = partitionOf(workload) + (workload.kind === 'statefulset' ? workload.spec.ordinals.start : 0);
  const old = all.filter((one) => one.revision !== revision).map(({ pod }) => pod);
  const updated = all.filter((one) => one.revision === revision).map(({ pod }) => pod);
  const pods = [...updated, ...old.filter((pod) => ordinalOf(pod) < kept)];
  const ordered = workload.kind === 'statefulset' && workload.spec.podManagementPolicy === 'OrderedReady';
  const blocking = old.find((pod) => !isReady(pod) && pod.metadata.deletionTimestamp === undefined) ?? null;
  return { workload, revision, pods, updated: updated.length, blocking: ordered ? blocking : null };
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

const shown = ({ workload, revision, pods, updated }: Look, seenRestarts: number, stableMs: number) => ({
  revision,
  replicas: wantedPods(workload),
  updated,
  ready: pods.filter(isReady).length,
  restarts: pods.reduce((sum, pod) => sum + restartsOf(pod), 0),
  seen_restarts: seenRestarts,
  trouble: [...new Set(pods.map(troubleOf))].filter((word) => word !== '').join(', '),
  stable_seconds: Math.floor(stableMs / 1_000),
});
type Shown = ReturnType<typeof shown>;

/** A stateful set in order waits for a broken pod, and never gets to the revision that would mend it. */
const waitingFor = ({ workload, blocking }: Look): string =>
  blocking === null
    ? ''
    : `; its controller waits for ${blocking.metadata.name}, which is of an old revision and not ready (${troubleOf(blocking)}), before it changes any pod; mend: delete that pod: kubectl -n ${workload.metadata.namespace ?? 'default'} delete pod ${blocking.metadata.name}`;

/** Resolves once it is complete and has stayed the same for `stableMs`; throws when that does not come about. */
export const becomesSteady = async (
  cluster: Cluster,
  place: Place,
  { stableMs, withinMs, everyMs, maxPods, maxRestarts }: Steady,
  { clock, signal }: ActionContext,
): Promise<Shown> => {
  const name = called(place);
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
      const missing = incomplete(look.workload);
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
      const progress = look.workload.kind === 'deployment' ? conditionOf(look.workload, 'Progressing') : undefined;
      if (since !== null && seen > restartsAtStart)
        throw failed('permanent', `was complete, and then a pod was started anew: it ends again and again${trouble}`);
      if (seen > maxRestarts)
        throw failed('permanent', `fails: its pods were started anew ${seen} times while it was watched${trouble}`);
      if (missing !== null && progress?.status === 'False' && progress.reason === 'ProgressDeadlineExceeded')
        throw failed('permanent', `is given up by its controller: ${missing}${trouble}`);
      if (since !== null && now - since >= stableMs) return outputs;
      said = `${missing ?? `it has been unchanged for ${Math.round(now - (since ?? now))} ms only`}${trouble}${waitingFor(look)}`;
    }
    if (now >= until) throw failed('retryable', `was not steady for ${stableMs} ms within ${withinMs} ms: ${said}`);
    await clock.sleep(everyMs, signal);
  }
};
