// The objects that the double of a cluster keeps, and what all of its controllers do with them.
import { createHash, randomUUID } from 'node:crypto';
import { canonical } from '../../src/base/json.ts';

export type Meta = {
  name: string;
  uid: string;
  namespace?: string;
  resourceVersion: string;
  generation?: number;
  creationTimestamp: string;
  deletionTimestamp?: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
  ownerReferences?: Array<{ apiVersion: string; kind: string; name: string; uid: string; controller: boolean }>;
  managedFields?: Array<{ manager: string; operation: 'Update'; fieldsType: 'FieldsV1'; fieldsV1: object }>;
};
export type Template = {
  metadata: { labels: Record<string, string>; annotations?: Record<string, string> };
  spec: { containers: Array<{ name: string; image: string }> } & Record<string, unknown>;
};
export type Condition = {
  type: string;
  status: string;
  reason?: string;
  message?: string;
  lastTransitionTime?: string;
};
export type Deployment = {
  metadata: Meta;
  spec: {
    replicas: number;
    paused?: boolean;
    progressDeadlineSeconds: number;
    selector: { matchLabels: Record<string, string> };
    template: Template;
  };
  status: {
    observedGeneration?: number;
    replicas?: number;
    updatedReplicas?: number;
    readyReplicas?: number;
    availableReplicas?: number;
    conditions?: Condition[];
  };
};
/** `partition` and `OnDelete` as in the API. */
export type UpdateStrategy = { type: 'RollingUpdate' | 'OnDelete'; rollingUpdate?: { partition?: number } };
export type StatefulSet = {
  metadata: Meta;
  spec: {
    replicas?: number;
    serviceName: string;
    podManagementPolicy: 'OrderedReady' | 'Parallel';
    updateStrategy: UpdateStrategy;
    selector: { matchLabels: Record<string, string> };
    template: Template;
  };
  status: {
    observedGeneration?: number;
    replicas?: number;
    readyReplicas?: number;
    availableReplicas?: number;
    currentReplicas?: number;
    updatedReplicas?: number;
    currentRevision?: string;
    updateRevision?: string;
  };
};
export type DaemonSet = {
  metadata: Meta;
  spec: { updateStrategy: UpdateStrategy; selector: { matchLabels: Record<string, string> }; template: Template };
  status: {
    observedGeneration?: number;
    desiredNumberScheduled?: number;
    currentNumberScheduled?: number;
    updatedNumberScheduled?: number;
    numberReady?: number;
    numberAvailable?: number;
    numberMisscheduled?: number;
  };
};
export type ControllerRevision = {
  metadata: Meta;
  revision: number;
  data: { spec: { template: Template & { $patch: 'replace' } } };
};
export type ReplicaSet = {
  metadata: Meta;
  spec: { replicas: number; selector: { matchLabels: Record<string, string> }; template: Template };
  status: Record<string, unknown>;
};
type ContainerStatus = {
  name: string;
  image: string;
  ready: boolean;
  restartCount: number;
  state: Record<string, { reason?: string; startedAt?: string }>;
};
export type Pod = {
  metadata: Meta;
  spec: { nodeName?: string; containers: Array<{ name: string; image: string }> };
  status: { phase: string; conditions: Condition[]; containerStatuses: ContainerStatus[] };
};
export type Node = { metadata: Meta; spec: { unschedulable?: boolean }; status: { conditions: Condition[] } };
export type Job = {
  metadata: Meta;
  spec: { activeDeadlineSeconds?: number; template: Template } & Record<string, unknown>;
  status: { active?: number; succeeded?: number; failed?: number; conditions?: Condition[] };
};
export type CronJob = {
  metadata: Meta;
  spec: {
    schedule: string;
    concurrencyPolicy: string;
    jobTemplate: { metadata?: object; spec: Omit<Job['spec'], 'x'> };
  };
  status: { active?: Array<{ name: string }> };
};

/** How pods of an image behave; an image that is not named runs well. */
export type Behaviour = 'crashes' | 'crashes-later' | 'never-ready' | 'not-there' | 'hangs';

export type World = {
  deployments: Map<string, Deployment>;
  replicaSets: Map<string, ReplicaSet>;
  statefulSets: Map<string, StatefulSet>;
  daemonSets: Map<string, DaemonSet>;
  controllerRevisions: Map<string, ControllerRevision>;
  pods: Map<string, Pod>;
  nodes: Map<string, Node>;
  jobs: Map<string, Job>;
  cronJobs: Map<string, CronJob>;
  images: Map<string, Behaviour>;
  /** By pod uid: it is not ready any more, whatever its image does, until it is deleted. */
  hung: Set<string>;
  /** By pod uid: it does not go when it is deleted, as on a node that is lost. */
  undying: Set<string>;
  version: number;
};

export const createWorld = (): World => ({
  deployments: new Map(),
  replicaSets: new Map(),
  statefulSets: new Map(),
  daemonSets: new Map(),
  controllerRevisions: new Map(),
  pods: new Map(),
  nodes: new Map(),
  jobs: new Map(),
  cronJobs: new Map(),
  images: new Map(),
  hung: new Set(),
  undying: new Set(),
  version: 1_000,
});

export const time = (at = Date.now()): string => new Date(at).toISOString().replace(/\.\d+Z$/, 'Z');
export const bump = (world: World, object: { metadata: Meta }): void => {
  world.version += 1;
  object.metadata.resourceVersion = String(world.version);
};
export const newMeta = (world: World, name: string, given: Partial<Meta> = {}): Meta => {
  world.version += 1;
  return {
    name,
    uid: randomUUID(),
    resourceVersion: String(world.version),
    creationTimestamp: time(),
    labels: {},
    annotations: {},
    ...given,
  };
};
export const keyOf = ({ namespace = '', name }: Pick<Meta, 'namespace' | 'name'>): string => `${namespace}/${name}`;
export const isReady = ({ metadata, status }: Pod): boolean =>
  metadata.deletionTimestamp === undefined &&
  status.conditions.some(({ type, status: is }) => type === 'Ready' && is === 'True');

/** Changes the object only if that is a change, so that its version tells. */
export const set = <T extends { metadata: Meta }>(world: World, object: T, change: (copy: T) => void): void => {
  const copy = structuredClone(object);
  change(copy);
  if (JSON.stringify(copy) === JSON.stringify(object)) return;
  Object.assign(object, copy);
  bump(world, object);
};

export const hashOf = (template: Template): string =>
  createHash('sha256')
    .update(canonical(template))
    .digest('hex')
    .replaceAll(/[^0-9a-f]/g, '')
    .slice(0, 10);
export const ownedBy = (object: { metadata: Meta }, uid: string): boolean =>
  object.metadata.ownerReferences?.some((one) => one.controller && one.uid === uid) ?? false;
export const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);

/** A pod as its owner makes it; the scheduler and the kubelet come later. */
export const startPod = (
  world: World,
  owner: { readonly kind: string; readonly metadata: Meta },
  {
    name,
    labels,
    containers,
    node,
  }: {
    readonly name: string;
    readonly labels: Record<string, string>;
    readonly containers: Pod['spec']['containers'];
    readonly node: string | undefined;
  },
): void => {
  const { namespace } = owner.metadata;
  const metadata = newMeta(world, name, {
    ...(namespace === undefined ? {} : { namespace }),
    labels,
    ownerReferences: [ownerOf(owner)],
  });
  world.pods.set(keyOf(metadata), {
    metadata,
    spec: { ...(node === undefined ? {} : { nodeName: node }), containers },
    status: {
      phase: 'Pending',
      conditions: [{ type: 'Ready', status: 'False', lastTransitionTime: time() }],
      containerStatuses: containers.map((one) => ({
        name: one.name,
        image: one.image,
        ready: false,
        restartCount: 0,
        state: { waiting: { reason: 'ContainerCreating' } },
      })),
    },
  });
};

export const ownerOf = ({ kind, metadata }: { readonly kind: string; readonly metadata: Meta }) => ({
  apiVersion: 'apps/v1',
  kind,
  name: metadata.name,
  uid: metadata.uid,
  controller: true,
});

/** The node that the scheduler would take, if there is any. */
export const freeNode = (world: World): string | undefined =>
  [...world.nodes.values()].find(
    ({ spec, status }) =>
      spec.unschedulable !== true &&
      status.conditions.some(({ type, status: is }) => type === 'Ready' && is === 'True'),
  )?.metadata.name;

export const goes = (world: World, pod: Pod): void =>
  set(world, pod, (copy) => void (copy.metadata.deletionTimestamp ??= time()));
