// How stateful sets and daemon sets keep and roll their pods, and how both keep what they were as controller revisions: by
// the rules of their controllers in kube-controller-manager.
import {
  freeNode,
  goes,
  hashOf,
  isReady,
  keyOf,
  newMeta,
  ownedBy,
  ownerOf,
  set,
  startPod,
} from './kubernetes-world.ts';
import type { ControllerRevision, DaemonSet, Pod, StatefulSet, Template, World } from './kubernetes-world.ts';

const POD_REVISION = 'controller-revision-hash';
const HASH_LABEL = { StatefulSet: 'controller.kubernetes.io/hash', DaemonSet: POD_REVISION };

const podsOf = (world: World, { metadata }: StatefulSet | DaemonSet): Pod[] =>
  [...world.pods.values()].filter((pod) => ownedBy(pod, metadata.uid));
const isGoing = ({ metadata }: Pod): boolean => metadata.deletionTimestamp !== undefined;

/** The revision of the template as it is: made, or taken up again under the highest number. */
const updateRevision = (
  world: World,
  kind: keyof typeof HASH_LABEL,
  { metadata, spec: { template } }: StatefulSet | DaemonSet,
): ControllerRevision => {
  const owned = [...world.controllerRevisions.values()].filter((one) => ownedBy(one, metadata.uid));
  const highest = Math.max(0, ...owned.map(({ revision }) => revision));
  const hash = hashOf(template);
  const there = owned.find((one) => one.metadata.name === `${metadata.name}-${hash}`);
  if (there !== undefined) {
    if (there.revision < highest) set(world, there, (copy) => void (copy.revision = highest + 1));
    return there;
  }
  const made: ControllerRevision = {
    metadata: newMeta(world, `${metadata.name}-${hash}`, {
      ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
      labels: { ...template.metadata.labels, [HASH_LABEL[kind]]: hash },
      ownerReferences: [ownerOf({ kind, metadata })],
    }),
    revision: highest + 1,
    data: { spec: { template: { ...structuredClone(template), $patch: 'replace' } } },
  };
  world.controllerRevisions.set(keyOf(made.metadata), made);
  return made;
};

/** Zeroes are left out, as the API does. */
const withoutZeroes = <T extends object>(status: T): T =>
  Object.fromEntries(Object.entries(status).filter(([, value]) => value !== 0)) as T;

const ordinalOf = ({ metadata }: Pod): number => Number(metadata.name.slice(metadata.name.lastIndexOf('-') + 1));

const moveStatefulSet = (world: World, owner: StatefulSet, update: ControllerRevision): void => {
  const { replicas = 1, podManagementPolicy, updateStrategy } = owner.spec;
  const partition = updateStrategy.rollingUpdate?.partition ?? 0;
  const inOrder = podManagementPolicy === 'OrderedReady';
  const pods = new Map(podsOf(world, owner).map((pod) => [ordinalOf(pod), pod]));
  const current = [...world.controllerRevisions.values()].find(
    ({ metadata }) => ownedBy({ metadata }, owner.metadata.uid) && metadata.name === owner.status.currentRevision,
  );
  for (let ordinal = 0; ordinal < replicas; ordinal += 1) {
    const pod = pods.get(ordinal);
    if (pod === undefined) {
      const kept = updateStrategy.type === 'RollingUpdate' && ordinal < partition;
      const revision = kept ? (current ?? update) : update;
      const { metadata, spec } = revision.data.spec.template;
      startPod(
        world,
        { kind: 'StatefulSet', metadata: owner.metadata },
        {
          name: `${owner.metadata.name}-${ordinal}`,
          labels: { ...metadata.labels, [POD_REVISION]: revision.metadata.name },
          containers: spec.containers,
          node: freeNode(world),
        },
      );
    }
    // In order, one that is not ready holds up all that come after it, and every update as well.
    if (inOrder && (pod === undefined || !isReady(pod))) return;
  }
  const condemned = [...pods.keys()].filter((ordinal) => ordinal >= replicas).toSorted((left, right) => right - left);
  for (const ordinal of condemned) {
    const pod = pods.get(ordinal);
    if (pod !== undefined) goes(world, pod);
    if (inOrder) return;
  }
  if (updateStrategy.type === 'OnDelete') return;
  for (let ordinal = replicas - 1; ordinal >= partition; ordinal -= 1) {
    const pod = pods.get(ordinal);
    if (pod === undefined) return;
    if (pod.metadata.labels[POD_REVISION] !== update.metadata.name && !isGoing(pod)) return goes(world, pod);
    if (!isReady(pod)) return;
  }
};

export const keepStatefulSet = (world: World, owner: StatefulSet): void => {
  const update = updateRevision(world, 'StatefulSet', owner);
  const { name } = update.metadata;
  moveStatefulSet(world, owner, update);
  const pods = podsOf(world, owner);
  const staying = pods.filter((pod) => !isGoing(pod));
  const ready = pods.filter(isReady).length;
  const of = (revision: string): number =>
    staying.filter(({ metadata }) => metadata.labels[POD_REVISION] === revision).length;
  const { replicas = 1, updateStrategy } = owner.spec;
  const ended = updateStrategy.type === 'RollingUpdate' && of(name) === replicas && ready === replicas;
  const currentRevision = ended ? name : (owner.status.currentRevision ?? name);
  set(world, owner, (copy) => {
    copy.status = withoutZeroes({
      observedGeneration: copy.metadata.generation ?? 1,
      replicas: pods.length,
      readyReplicas: ready,
      availableReplicas: ready,
      currentReplicas: of(currentRevision),
      updatedReplicas: of(name),
      currentRevision,
      updateRevision: name,
    });
  });
};

const startOn = (world: World, owner: DaemonSet, template: Template, hash: string, node: string): void =>
  startPod(
    world,
    { kind: 'DaemonSet', metadata: owner.metadata },
    {
      name: `${owner.metadata.name}-${hash.slice(0, 4)}${node}-${world.version}`,
      labels: { ...template.metadata.labels, [POD_REVISION]: hash },
      containers: template.spec.containers,
      node,
    },
  );

/** A pod on each node, cordoned or not; rolled with maxUnavailable 1, those first that do not work anyway. */
export const keepDaemonSet = (world: World, owner: DaemonSet): void => {
  const update = updateRevision(world, 'DaemonSet', owner);
  const hash = update.metadata.labels[POD_REVISION] ?? '';
  const nodes = [...world.nodes.values()].map(({ metadata }) => metadata.name);
  const pods = podsOf(world, owner);
  for (const pod of pods) if (!nodes.includes(pod.spec.nodeName ?? '')) goes(world, pod);
  for (const node of nodes)
    if (!pods.some(({ spec }) => spec.nodeName === node)) startOn(world, owner, owner.spec.template, hash, node);
  const isNew = ({ metadata }: Pod): boolean => metadata.labels[POD_REVISION] === hash;
  const working = (): Pod[] => podsOf(world, owner).filter(isReady);
  if (owner.spec.updateStrategy.type === 'RollingUpdate') {
    const old = pods.filter((pod) => !isNew(pod) && !isGoing(pod));
    for (const pod of old) if (!isReady(pod)) goes(world, pod);
    const next = old.find(isReady);
    if (next !== undefined && working().length === nodes.length) goes(world, next);
  }
  const now = podsOf(world, owner).filter((pod) => !isGoing(pod));
  set(world, owner, (copy) => {
    copy.status = {
      ...withoutZeroes({
        observedGeneration: copy.metadata.generation ?? 1,
        updatedNumberScheduled: now.filter(isNew).length,
        numberAvailable: working().length,
      }),
      currentNumberScheduled: now.length,
      desiredNumberScheduled: nodes.length,
      numberReady: working().length,
      numberMisscheduled: 0,
    };
  });
};
