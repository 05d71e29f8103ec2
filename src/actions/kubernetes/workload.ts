// A deployment with what belongs to it: its revisions, and the pods of its replica sets. Whatever merely carries the same
// labels is somebody else's.
import { ActionError } from '../../base/failure.ts';
import type { Json, JsonObject } from '../../base/json.ts';
import { canonical, isObject } from '../../base/json.ts';
import type { Cluster } from './cluster.ts';
import type { Deployment, Pod, ReplicaSet } from './shapes.ts';
import { labelSelector, ownedBy, replicaSetShape, shaped } from './shapes.ts';

const REVISION = 'deployment.kubernetes.io/revision';
export const HASH = 'pod-template-hash';
/** More than any revisionHistoryLimit that makes sense. */
const MOST_REVISIONS = 100;

export type Revision = {
  readonly revision: number;
  readonly set: ReplicaSet;
  /** `spec.template` as it came, without the hash that the controller puts in. */
  readonly template: JsonObject;
  readonly images: readonly string[];
  readonly hash: string;
};

export const revisionNumber = (object: { readonly metadata: { readonly annotations: Record<string, string> } }) => {
  const number = Number(object.metadata.annotations[REVISION]);
  return Number.isSafeInteger(number) && number > 0 ? number : null;
};

const imagesOf = ({ spec }: ReplicaSet): readonly string[] =>
  spec.template.spec.containers.map(({ image }) => image ?? '');

const withoutHash = (template: JsonObject): JsonObject => {
  const metadata = isObject(template['metadata']) ? template['metadata'] : {};
  const labels = isObject(metadata['labels']) ? metadata['labels'] : {};
  const { [HASH]: _hash, ...rest } = labels;
  return { ...template, metadata: { ...metadata, labels: rest } };
};

/** As the API server has it, or as a revision keeps it. */
export const sameTemplate = (one: object, other: object): boolean =>
  canonical(withoutHash(one as JsonObject)) === canonical(withoutHash(other as JsonObject));

/** Which step has started it anew: after a crash the same step does not do it twice. */
export const RESTARTED_BY = 'amends/restarted-by';
export const RESTARTED_AT = 'kubectl.kubernetes.io/restartedAt';

/** A restart makes a revision of its own, and going back over it would only start the same pods once more. */
export const sameVersion = (left: Revision, right: Revision): boolean => {
  const [one, other] = [left, right].map(({ template }) => {
    const metadata = isObject(template['metadata']) ? template['metadata'] : {};
    const annotations = isObject(metadata['annotations']) ? metadata['annotations'] : {};
    const { [RESTARTED_BY]: _by, [RESTARTED_AT]: _at, ...rest } = annotations;
    return canonical({ ...template, metadata: { ...metadata, annotations: rest } });
  });
  return one === other;
};

/** Throws `retryable` while the newest revision may not be the one that was deployed last. */
export const refuseUnseen = ({ metadata, status }: Deployment): void => {
  if (status.observedGeneration >= (metadata.generation ?? 0)) return;
  throw new ActionError(
    'retryable',
    `nothing was done: the deployment ${metadata.name} was changed, and its controller has not looked at it yet`,
  );
};

/** Newest first. */
export const revisionsOf = async (
  cluster: Cluster,
  namespace: string,
  deployment: Deployment,
): Promise<readonly Revision[]> => {
  const raw = await cluster.rawReplicaSets(namespace, labelSelector(deployment), MOST_REVISIONS);
  return raw
    .flatMap((json): readonly Revision[] => {
      const set = shaped(replicaSetShape, json, 'listing the replica sets');
      const revision = revisionNumber(set);
      if (revision === null || !ownedBy(set, deployment.metadata.uid)) return [];
      const { template } = (json as { readonly spec: { readonly template: JsonObject } }).spec;
      const hash = set.metadata.labels[HASH] ?? '';
      return [{ revision, set, template: withoutHash(template), images: imagesOf(set), hash }];
    })
    .toSorted((left, right) => right.revision - left.revision);
};

/** The pods of its replica sets, each with its revision. Throws `permanent` for more than `max`. */
export const podsOf = async (
  cluster: Cluster,
  namespace: string,
  deployment: Deployment,
  revisions: readonly Revision[],
  max: number,
): Promise<ReadonlyArray<{ readonly pod: Pod; readonly revision: number }>> => {
  const pods = await cluster.pods(namespace, labelSelector(deployment), max);
  return pods.flatMap((pod) => {
    const owner = revisions.find(({ set }) => ownedBy(pod, set.metadata.uid));
    return owner === undefined ? [] : [{ pod, revision: owner.revision }];
  });
};

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

/** Why nothing may be rolled out, or null. */
export const refusesRollout = ({ metadata: { name }, spec }: Deployment, maxPods: number): ActionError | null => {
  const no = (why: string) => new ActionError('permanent', `nothing was done: ${why}`);
  if (spec.paused)
    return no(
      `the deployment ${name} is paused: somebody is at work on it; mend: kubectl rollout resume deployment/${name}`,
    );
  if (spec.replicas === 0) return no(`the deployment ${name} is scaled to 0: it has no pods to recover`);
  if (spec.replicas > maxPods)
    return no(`the deployment ${name} has ${spec.replicas} replicas, and max_pods is ${maxPods}`);
  return null;
};

/** One merge patch of a deployment as it was looked at. */
export const patchOf = (deployment: Deployment, patch: JsonObject): Json => ({
  ...patch,
  metadata: {
    ...(isObject(patch['metadata']) ? patch['metadata'] : {}),
    resourceVersion: deployment.metadata.resourceVersion,
  },
});
