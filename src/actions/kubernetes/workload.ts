// What is the same, and what is not, in deployments, stateful sets and daemon sets: how many pods they want, when a rollout of
// theirs is complete, and when none may be started. And what a pod of theirs is up to.
import { ActionError } from '../../base/failure.ts';
import type { Json, JsonObject } from '../../base/json.ts';
import { isObject } from '../../base/json.ts';
import { called } from './connect.ts';
import type { DaemonSet, Deployment, Pod, StatefulSet, Workload } from './shapes.ts';

/** Which step has started it anew: after a crash the same step does not do it twice. */
export const RESTARTED_BY = 'amends/restarted-by';
export const RESTARTED_AT = 'kubectl.kubernetes.io/restartedAt';

/** How often its containers were started anew. */
export const restartsOf = ({ status }: Pod): number =>
  [...status.initContainerStatuses, ...status.containerStatuses].reduce(
    (sum, { restartCount }) => sum + restartCount,
    0,
  );

export const isReady = ({ metadata, status }: Pod): boolean =>
  metadata.deletionTimestamp === undefined &&
  status.conditions.some(({ type, status: is }) => type === 'Ready' && is === 'True');

/** Why it does not run, in the words of the cluster; empty when it does. */
export const troubleOf = (pod: Pod): string => {
  const { metadata, status } = pod;
  if (metadata.deletionTimestamp !== undefined) return 'Terminating';
  for (const { state } of [...status.initContainerStatuses, ...status.containerStatuses]) {
    const reason = state?.waiting?.reason ?? state?.terminated?.reason;
    if (reason !== undefined && reason !== 'Completed') return reason;
  }
  if (isReady(pod)) return '';
  if (status.reason !== undefined) return status.reason;
  const scheduled = status.conditions.find(({ type }) => type === 'PodScheduled');
  return scheduled?.status === 'False' ? (scheduled.reason ?? 'Unschedulable') : 'NotReady';
};

/** How many pods it wants; a daemon set wants one on each node that is meant. */
export const wantedPods = (workload: Workload): number =>
  workload.kind === 'daemonset' ? workload.status.desiredNumberScheduled : workload.spec.replicas;

/** So many pods of a stateful set, from its first on, keep the revision that they have. */
export const partitionOf = (workload: Workload): number =>
  workload.kind === 'statefulset' ? workload.spec.updateStrategy.rollingUpdate.partition : 0;

const deploymentLacks = ({ spec, status }: Deployment): string | null => {
  if (status.updatedReplicas < spec.replicas)
    return `${status.updatedReplicas} of ${spec.replicas} pods are of the new revision`;
  if (status.replicas > status.updatedReplicas)
    return `${status.replicas - status.updatedReplicas} pods of an old revision are still there`;
  if (status.availableReplicas < status.updatedReplicas)
    return `${status.availableReplicas} of ${status.updatedReplicas} pods are available`;
  return null;
};

const statefulSetLacks = ({ spec, status }: StatefulSet): string | null => {
  const { partition } = spec.updateStrategy.rollingUpdate;
  const rolled = spec.replicas - partition;
  if (status.readyReplicas < spec.replicas) return `${status.readyReplicas} of ${spec.replicas} pods are ready`;
  if (status.updatedReplicas < rolled) return `${status.updatedReplicas} of ${rolled} pods are of the new revision`;
  if (partition === 0 && status.currentRevision !== status.updateRevision)
    return `its controller has not ended the change from ${status.currentRevision} to ${status.updateRevision}`;
  return null;
};

const daemonSetLacks = ({ status }: DaemonSet): string | null => {
  const { desiredNumberScheduled: wanted, updatedNumberScheduled: updated, numberAvailable: available } = status;
  if (updated < wanted) return `${updated} of ${wanted} pods are of the new revision`;
  if (available < wanted) return `${available} of ${wanted} pods are available`;
  return null;
};

/** What is missing to a complete rollout, as kubectl rollout status judges it; null: nothing. */
export const incomplete = (workload: Workload): string | null => {
  const { metadata, status } = workload;
  const seen = status.observedGeneration >= (metadata.generation ?? 0);
  if (!seen || (workload.kind !== 'deployment' && status.observedGeneration === 0))
    return 'its controller has not looked at it yet';
  if (workload.kind === 'deployment') return deploymentLacks(workload);
  return workload.kind === 'statefulset' ? statefulSetLacks(workload) : daemonSetLacks(workload);
};

/** Why nothing would be rolled out by itself, whatever is put into its template; or null. */
export const rollsNothing = (workload: Workload): string | null => {
  if (workload.kind === 'deployment') return null;
  const { kind, metadata } = workload;
  const { type } = workload.spec.updateStrategy;
  const what = called({ kind, name: metadata.name });
  if (type !== 'RollingUpdate')
    return `${what} has the updateStrategy ${type}: its pods stay as they are until somebody deletes them; mend: updateStrategy: { type: RollingUpdate }, or delete the pods`;
  const partition = partitionOf(workload);
  if (partition > 0 && partition >= wantedPods(workload))
    return `${what} has ${wantedPods(workload)} replicas and keeps those below ${partition} as they are; mend: a lower updateStrategy.rollingUpdate.partition`;
  return null;
};

/** Why nothing may be rolled out, or null. */
export const refusesRollout = (workload: Workload, maxPods: number): ActionError | null => {
  const no = (why: string) => new ActionError('permanent', `nothing was done: ${why}`);
  const { kind, metadata, status } = workload;
  const what = called({ kind, name: metadata.name });
  if (kind === 'deployment' && workload.spec.paused)
    return no(`${what} is paused: somebody is at work on it; mend: kubectl rollout resume deployment/${metadata.name}`);
  const pods = wantedPods(workload);
  if (kind === 'daemonset' && status.observedGeneration === 0)
    return new ActionError('retryable', `nothing was done: the controller of ${what} has not looked at it yet`);
  if (pods === 0)
    return no(`${what} is ${kind === 'daemonset' ? 'meant for no node' : 'scaled to 0'}: it has no pods to recover`);
  if (pods > maxPods)
    return no(`${what} has ${pods} ${kind === 'daemonset' ? 'pods' : 'replicas'}, and max_pods is ${maxPods}`);
  const idle = rollsNothing(workload);
  return idle === null ? null : no(idle);
};

/** One merge patch of a workload as it was looked at. */
export const patchOf = ({ metadata: { resourceVersion } }: Workload, patch: JsonObject): Json => ({
  ...patch,
  metadata: { ...(isObject(patch['metadata']) ? patch['metadata'] : {}), resourceVersion },
});
