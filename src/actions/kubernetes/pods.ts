// What the pods of a workload are doing: evidence for people, and the stuck ones by name for the step that deletes one.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { ActionContext } from '../../port/action.ts';
import { defineAction } from '../../port/action.ts';
import { duration } from '../inputs.ts';
import { withCluster } from './cluster.ts';
import { called, declaredWorkload, kindName, placeOf } from './connect.ts';
import { podsOf, revisionsOf } from './history.ts';
import type { Pod } from './shapes.ts';
import { conditionOf } from './shapes.ts';
import { isReady, restartsOf, troubleOf, wantedPods } from './workload.ts';

/** For how long it has not been ready, or has been going away; 0 for one that is ready. */
const stuckMs = (pod: Pod, now: number): number => {
  const { metadata } = pod;
  if (isReady(pod)) return 0;
  const since =
    metadata.deletionTimestamp ?? conditionOf(pod, 'Ready')?.lastTransitionTime ?? metadata.creationTimestamp;
  const at = Date.parse(since ?? '');
  return Number.isNaN(at) ? 0 : Math.max(0, now - at);
};

const shownPod = (pod: Pod, revision: number, context: ActionContext) => ({
  name: pod.metadata.name,
  uid: pod.metadata.uid,
  revision,
  phase: pod.status.phase,
  ready: isReady(pod),
  restarts: restartsOf(pod),
  trouble: troubleOf(pod),
  stuck_seconds: Math.round(stuckMs(pod, context.clock.now()) / 1_000),
  node: pod.spec.nodeName ?? '',
});

export default defineAction({
  summary:
    'Looks at the pods of a declared deployment, stateful set or daemon set: which are ready, how often they were started anew, which are stuck.',
  effect: 'read',
  input: z.strictObject({
    connect: declaredWorkload(),
    max_pods: z.int().min(1).max(200).default(50),
    /** Not ready, or going away, for longer than this counts as stuck. */
    stuck_after: duration.default(300_000),
    allow_none: z.boolean().default(false),
  }),
  outputs: {
    kind: 'deployment, stateful set or daemon set',
    name: 'of the workload',
    replicas: 'how many pods it wants',
    ready: 'how many are ready',
    restarts: 'how often their containers were started anew, in all',
    pods: 'each with name, uid, revision, phase, ready, restarts, trouble, stuck_seconds, node',
    stuck: 'how many are stuck',
    stuck_pod: 'the name of the one that has been stuck longest, or empty',
    stuck_uid: 'its uid, or empty',
    stuck_why: 'what the cluster says of it, or empty',
  },
  undo: 'nothing to undo: it only reads',
  defaultTimeout: 30_000,
  run: ({ connect, max_pods: max, stuck_after: stuckAfter, allow_none: allowNone }, context) =>
    withCluster(connect, context, [], async (cluster) => {
      const place = placeOf(connect);
      const found = await cluster.workload(place);
      const revisions = await revisionsOf(cluster, place, found);
      const pods = (await podsOf(cluster, place, found, revisions, max)).map(({ pod, revision }) =>
        shownPod(pod, revision, context),
      );
      if (pods.length === 0 && !allowNone)
        throw new ActionError(
          'permanent',
          `${called(place)} in ${place.namespace} has no pods; mend: allow_none: true where that is no surprise`,
        );
      const stuck = pods
        .filter((pod) => pod.stuck_seconds * 1_000 >= Math.max(1, stuckAfter))
        .toSorted((left, right) => right.stuck_seconds - left.stuck_seconds);
      return {
        outputs: {
          kind: kindName(place),
          name: place.name,
          replicas: wantedPods(found),
          ready: pods.filter(({ ready }) => ready).length,
          restarts: pods.reduce((sum, { restarts }) => sum + restarts, 0),
          pods,
          stuck: stuck.length,
          stuck_pod: stuck[0]?.name ?? '',
          stuck_uid: stuck[0]?.uid ?? '',
          stuck_why: stuck[0]?.trouble ?? '',
        },
      };
    }),
});
