// Deletes one pod of a workload, so that another takes its place. Which one is known by its uid: a name may belong to
// another pod by now. A pod that nobody would replace, or that works, is left alone.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { ActionContext } from '../../port/action.ts';
import { defineAction } from '../../port/action.ts';
import { afterChange } from '../http/service.ts';
import { duration } from '../inputs.ts';
import type { Cluster } from './cluster.ts';
import { withCluster } from './cluster.ts';
import { called, declaredWorkload, placeOf, podName, uid } from './connect.ts';
import type { Place } from './connect.ts';
import { revisionsOf } from './history.ts';
import { need } from './permissions.ts';
import type { Pod } from './shapes.ts';
import { ownedBy } from './shapes.ts';
import { isReady, restartsOf, troubleOf } from './workload.ts';

const LOOK_EVERY_MS = 500;

type Wanted = {
  readonly place: Place;
  readonly pod: string;
  readonly uid: string;
  readonly allow_ready: boolean;
  readonly within: number;
};

/** Throws `permanent` unless it is a pod of the workload that another would take the place of. */
const mayBeDeleted = async (cluster: Cluster, pod: Pod, wanted: Wanted): Promise<void> => {
  const { place } = wanted;
  const no = (why: string): never => {
    throw new ActionError('permanent', `nothing was done: the pod ${wanted.pod} ${why}`);
  };
  const controller = pod.metadata.ownerReferences.find((one) => one.controller === true);
  if (controller === undefined) no('is a bare one: nothing would start another in its place');
  const found = await cluster.workload(place);
  const revisions = await revisionsOf(cluster, place, found);
  if (!revisions.some((one) => one.isOf(pod)) && !ownedBy(pod, found.metadata.uid))
    no(`belongs to ${controller?.kind} ${controller?.name}, and not to ${called(place)}`);
  if (isReady(pod) && !wanted.allow_ready)
    no('is ready: it works; mend: allow_ready: true if it is to go all the same');
};

/** True once no pod of this uid is there any more. */
const isGone = async (cluster: Cluster, wanted: Wanted, { clock, signal }: ActionContext): Promise<boolean> => {
  const until = clock.monotonic() + wanted.within;
  for (;;) {
    const now = await cluster.pod(wanted.place.namespace, wanted.pod);
    if (now === null || now.metadata.uid !== wanted.uid) return true;
    if (clock.monotonic() >= until) return false;
    await clock.sleep(LOOK_EVERY_MS, signal);
  }
};

export default defineAction({
  summary:
    'Deletes one pod of a declared deployment, stateful set or daemon set by its name and uid, if it is not ready, and waits until it is gone.',
  effect: 'destroy',
  input: z.strictObject({
    connect: declaredWorkload(),
    pod: podName,
    uid,
    allow_ready: z.boolean().default(false),
    /** From TERM to KILL; the pod's own without it. It is never forced out without the node's word. */
    grace: duration.refine((ms) => ms >= 1_000 && ms <= 3_600_000, { message: 'from 1s to 1h' }).optional(),
    within: duration.default(60_000),
  }),
  outputs: {
    deleted: 'this try has deleted it; false: it was gone already, or going',
    trouble: 'what the cluster said of it before, or empty when it was gone',
    restarts: 'how often its containers were started anew before',
    node: 'where it ran, or empty',
  },
  undo: 'it cannot be undone: what it held in memory and in its own file system is gone',
  defaultTimeout: 90_000,
  run: ({ connect, grace, ...given }, context) => {
    const place = placeOf(connect);
    const wanted: Wanted = { ...given, place };
    const { pod: name } = wanted;
    const { namespace: space } = place;
    const needs = [need.workload('get', place), need.history(place), need.pod('get', space), need.pod('delete', space)];
    return withCluster(connect, context, needs, async (cluster) => {
      const pod = await cluster.pod(space, name);
      if (pod === null || pod.metadata.uid !== wanted.uid)
        return { outputs: { deleted: false, trouble: '', restarts: 0, node: '' } };
      await mayBeDeleted(cluster, pod, wanted);
      const going = pod.metadata.deletionTimestamp !== undefined;
      const deleted =
        !going && (await cluster.deletePod(space, pod, grace === undefined ? null : Math.ceil(grace / 1_000)));
      const outputs = {
        deleted,
        trouble: troubleOf(pod),
        restarts: restartsOf(pod),
        node: pod.spec.nodeName ?? '',
      };
      if (await afterDeletion(cluster, wanted, deleted, outputs, context)) return { outputs };
      throw new ActionError(
        'retryable',
        `the pod ${name} was told to go and is still there after ${wanted.within} ms; mend: is its node there? kubectl get node ${outputs.node}, and has it finalizers?`,
        { outputs },
      );
    });
  },
});

/** Once it was deleted nobody may say that nothing happened, whatever comes of the looking. */
const afterDeletion = async (
  cluster: Cluster,
  wanted: Wanted,
  deleted: boolean,
  outputs: { readonly [name: string]: string | number | boolean },
  context: ActionContext,
): Promise<boolean> =>
  deleted
    ? afterChange(`the pod ${wanted.pod} was deleted`, outputs, () => isGone(cluster, wanted, context))
    : isGone(cluster, wanted, context);
