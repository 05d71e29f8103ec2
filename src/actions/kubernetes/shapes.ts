// The parts of Kubernetes' objects that actions read. What else an object holds is left as it is, and is not looked at.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { called } from './connect.ts';

const text = z.string();
const count = z.int().nonnegative();
const words = z.record(text, text);

const owner = z.looseObject({ kind: text, name: text, uid: text, controller: z.boolean().optional() });
const metadata = z.looseObject({
  name: text,
  uid: text,
  namespace: text.optional(),
  resourceVersion: text.default(''),
  generation: count.optional(),
  creationTimestamp: text.optional(),
  deletionTimestamp: text.optional(),
  labels: words.default({}),
  annotations: words.default({}),
  ownerReferences: z.array(owner).default([]),
});
const condition = z.looseObject({
  type: text,
  status: text,
  reason: text.optional(),
  message: text.optional(),
  lastTransitionTime: text.optional(),
});
const requirement = z.looseObject({ key: text, operator: text, values: z.array(text).optional() });
const selector = z.looseObject({
  matchLabels: words.default({}),
  matchExpressions: z.array(requirement).default([]),
});
const template = z.looseObject({
  metadata: z.looseObject({ labels: words.optional(), annotations: words.optional() }).optional(),
  spec: z.looseObject({ containers: z.array(z.looseObject({ name: text, image: text.optional() })).min(1) }),
});
const conditions = z.array(condition).default([]);

export const deploymentShape = z.looseObject({
  metadata,
  spec: z.looseObject({ replicas: count.default(1), paused: z.boolean().default(false), selector, template }),
  status: z
    .looseObject({
      observedGeneration: count.default(0),
      replicas: count.default(0),
      updatedReplicas: count.default(0),
      readyReplicas: count.default(0),
      availableReplicas: count.default(0),
      conditions,
    })
    .prefault({}),
});
const updateStrategy = z
  .looseObject({
    type: text.default('RollingUpdate'),
    rollingUpdate: z.looseObject({ partition: count.default(0) }).prefault({}),
  })
  .prefault({});
export const statefulSetShape = z.looseObject({
  metadata,
  spec: z.looseObject({
    replicas: count.default(1),
    ordinals: z.looseObject({ start: count.default(0) }).prefault({}),
    podManagementPolicy: text.default('OrderedReady'),
    updateStrategy,
    selector,
    template,
  }),
  status: z
    .looseObject({
      observedGeneration: count.default(0),
      readyReplicas: count.default(0),
      updatedReplicas: count.default(0),
      currentRevision: text.default(''),
      updateRevision: text.default(''),
    })
    .prefault({}),
});
export const daemonSetShape = z.looseObject({
  metadata,
  spec: z.looseObject({ updateStrategy, selector, template }),
  status: z
    .looseObject({
      observedGeneration: count.default(0),
      desiredNumberScheduled: count.default(0),
      updatedNumberScheduled: count.default(0),
      numberAvailable: count.default(0),
    })
    .prefault({}),
});
export const ownedShape = z.looseObject({ metadata });
/** What a stateful set or a daemon set was: its data is a strategic merge patch. */
export const controllerRevisionShape = z.looseObject({
  metadata,
  revision: count,
  data: z.looseObject({ spec: z.looseObject({ template }) }),
});
export const replicaSetShape = z.looseObject({
  metadata,
  spec: z.looseObject({ replicas: count.default(0), template }),
});
const containerState = z.looseObject({
  waiting: z.looseObject({ reason: text.optional(), message: text.optional() }).optional(),
  terminated: z.looseObject({ reason: text.optional(), exitCode: z.int().optional() }).optional(),
});
const containerStatus = z.looseObject({
  name: text,
  ready: z.boolean().default(false),
  restartCount: count.default(0),
  state: containerState.optional(),
  lastState: containerState.optional(),
});
export const podShape = z.looseObject({
  metadata,
  spec: z.looseObject({ nodeName: text.optional() }).prefault({}),
  status: z
    .looseObject({
      phase: text.default('Unknown'),
      reason: text.optional(),
      conditions,
      initContainerStatuses: z.array(containerStatus).default([]),
      containerStatuses: z.array(containerStatus).default([]),
    })
    .prefault({}),
});
const managedFields = z.looseObject({ manager: text.optional(), fieldsV1: z.unknown().optional() });
export const nodeShape = z.looseObject({
  metadata: metadata.extend({ managedFields: z.array(managedFields).default([]) }),
  spec: z.looseObject({ unschedulable: z.boolean().default(false) }).prefault({}),
  status: z.looseObject({ conditions }).prefault({}),
});
export const jobShape = z.looseObject({
  metadata,
  status: z
    .looseObject({ active: count.default(0), succeeded: count.default(0), failed: count.default(0), conditions })
    .prefault({}),
});
export const cronJobShape = z.looseObject({
  metadata,
  spec: z.looseObject({
    concurrencyPolicy: text.default('Allow'),
    jobTemplate: z.looseObject({
      metadata: z.looseObject({ labels: words.optional(), annotations: words.optional() }).optional(),
      spec: z.looseObject({ activeDeadlineSeconds: count.optional(), ttlSecondsAfterFinished: count.optional() }),
    }),
  }),
  status: z.looseObject({ active: z.array(z.looseObject({ name: text.optional() })).default([]) }).prefault({}),
});
export const reviewShape = z.looseObject({ status: z.looseObject({ allowed: z.boolean() }) });
export const namespaceShape = z.looseObject({ metadata });
export const listShape = z.looseObject({
  metadata: z.looseObject({ continue: text.optional() }).prefault({}),
  // The API leaves an empty list out as null.
  items: z.array(z.unknown()).nullable().default([]),
});

export type Deployment = z.output<typeof deploymentShape>;
export type Pod = z.output<typeof podShape>;
export type Node = z.output<typeof nodeShape>;
export type Job = z.output<typeof jobShape>;
export type CronJob = z.output<typeof cronJobShape>;
export type StatefulSet = z.output<typeof statefulSetShape>;
export type DaemonSet = z.output<typeof daemonSetShape>;
export type Template = z.output<typeof template>;
export type Workload =
  | (Deployment & { readonly kind: 'deployment' })
  | (StatefulSet & { readonly kind: 'statefulset' })
  | (DaemonSet & { readonly kind: 'daemonset' });

/** Throws `permanent` for what is not the object it should be. */
export const shaped = <T>(shape: z.ZodType<T>, json: unknown, what: string): T => {
  const parsed = shape.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new ActionError(
    'permanent',
    `${what} was answered with something else (${issue?.path.map(String).join('.') ?? ''}: ${issue?.message ?? ''}); mend: is that the address of an API server?`,
  );
};

/** As the API takes it in `labelSelector`. Throws `permanent` for one that would choose everything. */
export const labelSelector = ({ kind, metadata: { name }, spec }: Workload): string => {
  const parts = Object.entries(spec.selector.matchLabels).map(([key, value]) => `${key}=${value}`);
  for (const { key, operator, values = [] } of spec.selector.matchExpressions) {
    if (operator === 'In') parts.push(`${key} in (${values.join(',')})`);
    else if (operator === 'NotIn') parts.push(`${key} notin (${values.join(',')})`);
    else parts.push(operator === 'Exists' ? key : `!${key}`);
  }
  if (parts.length > 0) return parts.join(',');
  throw new ActionError('permanent', `${called({ kind, name })} has no selector: it would choose every pod`);
};

export const ownedBy = (object: { readonly metadata: z.output<typeof metadata> }, uid: string): boolean =>
  object.metadata.ownerReferences.some((one) => one.controller === true && one.uid === uid);

export const conditionOf = (
  object: { readonly status: { readonly conditions: ReadonlyArray<z.output<typeof condition>> } },
  type: string,
): z.output<typeof condition> | undefined => object.status.conditions.find((one) => one.type === type);
