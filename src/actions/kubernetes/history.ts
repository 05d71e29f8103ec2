// What a workload was: a deployment keeps its revisions as replica sets, the others keep theirs as controller revisions. And
// the pods of each revision: whatever merely carries the same labels is somebody else's.
import { ActionError } from '../../base/failure.ts';
import type { Json, JsonObject } from '../../base/json.ts';
import { canonical, isObject } from '../../base/json.ts';
import type { Cluster } from './cluster.ts';
import { called } from './connect.ts';
import type { Place } from './connect.ts';
import type { Pod, Template, Workload } from './shapes.ts';
import { controllerRevisionShape, labelSelector, ownedBy, ownedShape, replicaSetShape, shaped } from './shapes.ts';
import { RESTARTED_AT, RESTARTED_BY } from './workload.ts';

const REVISION = 'deployment.kubernetes.io/revision';
export const HASH = 'pod-template-hash';
/** On the pods of a stateful set the name of their revision, on those of a daemon set its hash. */
const POD_REVISION = 'controller-revision-hash';
/** Where a stateful set and a daemon set note the hash of a revision. */
const REVISION_HASHES = ['controller.kubernetes.io/hash', POD_REVISION];
/** More than any revisionHistoryLimit that makes sense. */
const MOST_REVISIONS = 100;

export type Revision = {
  readonly revision: number;
  readonly hash: string;
  /** `spec.template` as it came, without what its controller puts in. */
  readonly template: JsonObject;
  readonly containers: Template['spec']['containers'];
  /** RFC 3339, or empty. */
  readonly madeAt: string;
  isOf(this: void, pod: Pod): boolean;
};

/** Without the hash that the deployment controller puts in, and the empty time that older versions write. */
const asDeclared = (template: JsonObject): JsonObject => {
  const { creationTimestamp, ...metadata } = isObject(template['metadata']) ? template['metadata'] : {};
  const { [HASH]: _hash, ...labels } = isObject(metadata['labels']) ? metadata['labels'] : {};
  const time = creationTimestamp === undefined || creationTimestamp === null ? {} : { creationTimestamp };
  return { ...template, metadata: { ...metadata, ...time, labels } };
};

/** As the API server has it, or as a revision keeps it. */
export const sameTemplate = (one: object, other: object): boolean =>
  canonical(asDeclared(one as JsonObject)) === canonical(asDeclared(other as JsonObject));

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

export const imagesOf = ({ containers }: Revision): readonly string[] => containers.map(({ image }) => image ?? '');

/** Throws `retryable` while the newest revision may not be the one that was deployed last. */
export const refuseUnseen = ({ kind, metadata, status }: Workload): void => {
  if (status.observedGeneration >= (metadata.generation ?? 0)) return;
  throw new ActionError(
    'retryable',
    `nothing was done: ${called({ kind, name: metadata.name })} was changed, and its controller has not looked at it yet`,
  );
};

/** Null: one that the deployment controller has not numbered yet. */
const fromReplicaSet = (json: Json): Revision | null => {
  const set = shaped(replicaSetShape, json, 'listing the replica sets');
  const revision = Number(set.metadata.annotations[REVISION]);
  if (!Number.isSafeInteger(revision) || revision <= 0) return null;
  const { template } = (json as { readonly spec: { readonly template: JsonObject } }).spec;
  return {
    revision,
    hash: set.metadata.labels[HASH] ?? '',
    template: asDeclared(template),
    containers: set.spec.template.spec.containers,
    madeAt: set.metadata.creationTimestamp ?? '',
    isOf: (pod) => ownedBy(pod, set.metadata.uid),
  };
};

const fromControllerRevision = (json: Json, owner: string): Revision => {
  const { metadata, revision, data } = shaped(controllerRevisionShape, json, 'listing the controller revisions');
  const { template } = (json as { readonly data: { readonly spec: { readonly template: JsonObject } } }).data.spec;
  const { $patch: _directive, ...declared } = template;
  const hash = REVISION_HASHES.map((label) => metadata.labels[label]).find((one) => one !== undefined) ?? '';
  return {
    revision,
    hash,
    template: asDeclared(declared),
    containers: data.spec.template.spec.containers,
    madeAt: metadata.creationTimestamp ?? '',
    isOf: (pod) => ownedBy(pod, owner) && [metadata.name, hash].includes(pod.metadata.labels[POD_REVISION] ?? ''),
  };
};

/** Newest first. */
export const revisionsOf = async (cluster: Cluster, place: Place, workload: Workload): Promise<readonly Revision[]> => {
  const { uid } = workload.metadata;
  const raw = await cluster.history(place, labelSelector(workload), MOST_REVISIONS);
  return raw
    .filter((json) => ownedBy(shaped(ownedShape, json, `listing the revisions of ${called(place)}`), uid))
    .map((json) => (place.kind === 'deployment' ? fromReplicaSet(json) : fromControllerRevision(json, uid)))
    .filter((one) => one !== null)
    .toSorted((left, right) => right.revision - left.revision);
};

/** The pods of its revisions, each with the number of its own. Throws `permanent` for more than `max`. */
export const podsOf = async (
  cluster: Cluster,
  place: Place,
  workload: Workload,
  revisions: readonly Revision[],
  max: number,
): Promise<ReadonlyArray<{ readonly pod: Pod; readonly revision: number }>> => {
  const pods = await cluster.pods(place.namespace, labelSelector(workload), max);
  return pods.flatMap((pod) => {
    const owner = revisions.find((one) => one.isOf(pod));
    if (owner !== undefined) return [{ pod, revision: owner.revision }];
    // Of a revision that is not kept any more.
    return ownedBy(pod, workload.metadata.uid) ? [{ pod, revision: 0 }] : [];
  });
};

/** The patch that takes it back to a revision, as kubectl rollout undo does it for its kind. */
export const goBack = (cluster: Cluster, place: Place, { metadata }: Workload, { template }: Revision) => {
  const { resourceVersion } = metadata;
  if (place.kind === 'deployment')
    return cluster.patchWorkload(
      place,
      [
        { op: 'replace', path: '/metadata/resourceVersion', value: resourceVersion },
        { op: 'replace', path: '/spec/template', value: template },
      ],
      'JsonPatch',
    );
  const patch = { metadata: { resourceVersion }, spec: { template: { ...template, $patch: 'replace' } } };
  return cluster.patchWorkload(place, patch, 'StrategicMergePatch');
};
