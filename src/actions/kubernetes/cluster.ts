// What actions ask of a cluster, each in one call: who it is, what it has, and the few changes that are made to it.
import type { HttpLibrary } from '@kubernetes/client-node';
import type { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { Json, JsonObject } from '../../base/json.ts';
import type { ActionContext } from '../../port/action.ts';
import { loadClient } from './client.ts';
import type { Client } from './client.ts';
import { called, findEndpoint } from './connect.ts';
import type { Connect, Place } from './connect.ts';
import { checkPermissions, need } from './permissions.ts';
import type { Need } from './permissions.ts';
import type { CronJob, Job, Node, Pod, Workload } from './shapes.ts';
import {
  cronJobShape,
  daemonSetShape,
  deploymentShape,
  jobShape,
  listShape,
  namespaceShape,
  nodeShape,
  podShape,
  reviewShape,
  shaped,
  statefulSetShape,
} from './shapes.ts';
import type { Answer, Call } from './transport.ts';
import { createTransport } from './transport.ts';

/** Small, since every page has to fit into the 1 MiB of a reply. */
const PAGE = 25;
/** Under which the cluster notes which fields amends has set. */
export const MANAGER = 'amends';
const NOT_FOUND = 404;
const CONFLICT = 409;

/** False: it has changed since it was looked at, and nothing was done. */
export type Changed = boolean;
/** By RFC 7386, by RFC 6902, or by Kubernetes' own, which knows `$patch: replace`. */
export type PatchKind = 'MergePatch' | 'JsonPatch' | 'StrategicMergePatch';

export type Cluster = {
  workload(place: Place): Promise<Workload>;
  /** The replica sets or controller revisions as they came, members that nobody here knows included. */
  history(place: Place, selector: string, max: number): Promise<readonly Json[]>;
  /** The patch holds the resource version, so that only what was looked at is changed. */
  patchWorkload(place: Place, patch: Json, how: PatchKind): Promise<Changed>;
  pods(namespace: string, selector: string, max: number): Promise<readonly Pod[]>;
  /** Null: there is none of that name. */
  pod(namespace: string, name: string): Promise<Pod | null>;
  /** False: it is gone already, or another one has its name. */
  deletePod(namespace: string, pod: Pod, graceSeconds: number | null): Promise<Changed>;
  node(name: string): Promise<Node>;
  nodes(max: number): Promise<readonly Node[]>;
  patchNode(name: string, patch: JsonObject): Promise<Changed>;
  cronJob(namespace: string, name: string): Promise<CronJob>;
  job(namespace: string, name: string): Promise<Job | null>;
  /** False: there is one of that name. */
  createJob(namespace: string, name: string, job: JsonObject): Promise<Changed>;
};

type Options = { readonly httpApi: HttpLibrary };
type Ask = (call: Call, invoke: (options: Options) => Promise<unknown>) => Promise<Answer>;
type Apis = {
  readonly apps: InstanceType<Client['AppsV1Api']>;
  readonly core: InstanceType<Client['CoreV1Api']>;
  readonly batch: InstanceType<Client['BatchV1Api']>;
  readonly authorization: InstanceType<Client['AuthorizationV1Api']>;
};

/** Does `work` on the declared cluster, once it is known to be that one and to allow all of `needs`. */
export const withCluster = async <T>(
  connect: Connect,
  context: ActionContext,
  needs: readonly Need[],
  work: (cluster: Cluster) => Promise<T>,
): Promise<T> => {
  context.signal.throwIfAborted();
  const client = await loadClient();
  const endpoint = await findEndpoint(() => new client.KubeConfig(), connect, context);
  const transport = createTransport(client, endpoint, context);
  const config = client.createConfiguration({ baseServer: new client.ServerConfiguration(endpoint.server, {}) });
  const apis: Apis = {
    apps: new client.AppsV1Api(config),
    core: new client.CoreV1Api(config),
    batch: new client.BatchV1Api(config),
    authorization: new client.AuthorizationV1Api(config),
  };
  const ask: Ask = (call, invoke) => transport.ask(call, (httpApi) => invoke({ httpApi }));
  await checkIdentity(apis, ask, connect.cluster_uid, endpoint.server);
  await checkPermissions((one) => review(apis, ask, one), needs);
  return work({ ...workloads(client, apis, ask), ...podsAndNodes(client, apis, ask), ...jobs(apis, ask) });
};

const checkIdentity = async (apis: Apis, ask: Ask, expected: string | undefined, server: string): Promise<void> => {
  if (expected === undefined) return;
  const what = 'looking at the namespace kube-system, for the cluster’s identity';
  const { json } = await ask({ what, need: need.kubeSystem(), changes: false }, (options) =>
    apis.core.readNamespace({ name: 'kube-system' }, options),
  );
  const { uid } = shaped(namespaceShape, json, what).metadata;
  if (uid.toLowerCase() === expected.toLowerCase()) return;
  throw new ActionError(
    'permanent',
    `nothing was done: another cluster answers at ${server}: its kube-system has the uid ${uid}, and connect.cluster_uid is ${expected}`,
  );
};

/** Asking changes nothing, though it is a POST. */
const review = async (apis: Apis, ask: Ask, wanted: Need): Promise<boolean> => {
  const [resource = '', subresource] = wanted.resource.split('/');
  const { verb, group, namespace, name } = wanted;
  const what = `asking whether amends may ${verb} ${wanted.resource}`;
  const own: Need = {
    group: '',
    resource: 'selfsubjectaccessreviews',
    verb: 'create',
    namespace: null,
    name: null,
  };
  const { json } = await ask({ what, need: own, changes: false }, (options) =>
    apis.authorization.createSelfSubjectAccessReview(
      {
        body: {
          apiVersion: 'authorization.k8s.io/v1',
          kind: 'SelfSubjectAccessReview',
          spec: {
            resourceAttributes: {
              group,
              resource,
              verb,
              ...(subresource === undefined ? {} : { subresource }),
              ...(namespace === null ? {} : { namespace }),
              ...(name === null ? {} : { name }),
            },
          },
        },
      },
      options,
    ),
  );
  return shaped(reviewShape, json, what).status.allowed;
};

/** All of a list, page by page; throws `permanent` when it is longer than `max`: empty and too many never mean all. */
const listAll = async (
  ask: Ask,
  call: Call,
  max: number,
  page: (limit: number, _continue: string | undefined, options: Options) => Promise<unknown>,
): Promise<readonly unknown[]> => {
  const found: unknown[] = [];
  for (let mark: string | undefined; ;) {
    const { json } = await ask(call, (options) => page(Math.min(PAGE, max + 1 - found.length), mark, options));
    const list = shaped(listShape, json, call.what);
    found.push(...(list.items ?? []));
    const more = list.metadata.continue ?? '';
    if (found.length > max || (found.length === max && more !== ''))
      throw new ActionError(
        'permanent',
        `nothing was done: ${call.what} found more than ${max}; mend: raise the maximum if that is meant`,
      );
    if (more === '') return found;
    mark = more;
  }
};

const orAbsent = <T>({ status, json }: Answer, shape: z.ZodType<T>, what: string): T | null =>
  status === NOT_FOUND ? null : shaped(shape, json, what);

const SHAPES = { deployment: deploymentShape, statefulset: statefulSetShape, daemonset: daemonSetShape };

const workloads = (client: Client, { apps }: Apis, ask: Ask) => ({
  async workload(place: Place): Promise<Workload> {
    const { kind, namespace, name } = place;
    const what = `looking at ${called(place)} in ${namespace}`;
    const { json } = await ask({ what, need: need.workload('get', place), changes: false }, (options) => {
      if (kind === 'deployment') return apps.readNamespacedDeployment({ namespace, name }, options);
      if (kind === 'statefulset') return apps.readNamespacedStatefulSet({ namespace, name }, options);
      return apps.readNamespacedDaemonSet({ namespace, name }, options);
    });
    const found: unknown = { ...shaped<object>(SHAPES[kind], json, what), kind };
    return found as Workload;
  },
  async history(place: Place, selector: string, max: number): Promise<readonly Json[]> {
    const { kind, namespace } = place;
    const kept = kind === 'deployment' ? 'replica sets' : 'controller revisions';
    const call = { what: `listing the ${kept} in ${namespace}`, need: need.history(place), changes: false };
    return (await listAll(ask, call, max, (limit, _continue, options) => {
      const page = { namespace, labelSelector: selector, limit, ...(_continue === undefined ? {} : { _continue }) };
      return kind === 'deployment'
        ? apps.listNamespacedReplicaSet(page, options)
        : apps.listNamespacedControllerRevision(page, options);
    })) as readonly Json[];
  },
  async patchWorkload(place: Place, patch: Json, how: PatchKind): Promise<Changed> {
    const { kind, namespace, name } = place;
    const request = { namespace, name, body: patch, fieldManager: MANAGER };
    const { status } = await ask(
      {
        what: `changing ${called(place)} in ${namespace}`,
        need: need.workload('patch', place),
        changes: true,
        taken: [CONFLICT],
      },
      (options) => {
        const typed = client.setHeaderOptions('Content-Type', client.PatchStrategy[how], options);
        if (kind === 'deployment') return apps.patchNamespacedDeployment(request, typed);
        if (kind === 'statefulset') return apps.patchNamespacedStatefulSet(request, typed);
        return apps.patchNamespacedDaemonSet(request, typed);
      },
    );
    return status !== CONFLICT;
  },
});

const podsAndNodes = (client: Client, { core }: Apis, ask: Ask) => ({
  async pods(namespace: string, selector: string, max: number): Promise<readonly Pod[]> {
    const call = { what: `listing the pods in ${namespace}`, need: need.pods(namespace), changes: false };
    const found = await listAll(ask, call, max, (limit, _continue, options) =>
      core.listNamespacedPod(
        { namespace, labelSelector: selector, limit, ...(_continue === undefined ? {} : { _continue }) },
        options,
      ),
    );
    return found.map((json) => shaped(podShape, json, call.what));
  },
  async pod(namespace: string, name: string): Promise<Pod | null> {
    const what = `looking at the pod ${name} in ${namespace}`;
    const call = { what, need: need.pod('get', namespace), changes: false, taken: [NOT_FOUND] };
    return orAbsent(await ask(call, (options) => core.readNamespacedPod({ namespace, name }, options)), podShape, what);
  },
  async deletePod(namespace: string, { metadata }: Pod, graceSeconds: number | null): Promise<Changed> {
    const { status } = await ask(
      {
        what: `deleting the pod ${metadata.name} in ${namespace}`,
        need: need.pod('delete', namespace),
        changes: true,
        taken: [NOT_FOUND, CONFLICT],
      },
      (options) =>
        core.deleteNamespacedPod(
          {
            namespace,
            name: metadata.name,
            body: {
              apiVersion: 'v1',
              kind: 'DeleteOptions',
              preconditions: { uid: metadata.uid },
              ...(graceSeconds === null ? {} : { gracePeriodSeconds: graceSeconds }),
            },
          },
          options,
        ),
    );
    return status !== NOT_FOUND && status !== CONFLICT;
  },
  async node(name: string): Promise<Node> {
    const what = `looking at the node ${name}`;
    const { json } = await ask({ what, need: need.node('get', name), changes: false }, (options) =>
      core.readNode({ name }, options),
    );
    return shaped(nodeShape, json, what);
  },
  async nodes(max: number): Promise<readonly Node[]> {
    const call = { what: 'listing the nodes', need: need.nodes(), changes: false };
    const found = await listAll(ask, call, max, (limit, _continue, options) =>
      core.listNode({ limit, ...(_continue === undefined ? {} : { _continue }) }, options),
    );
    return found.map((json) => shaped(nodeShape, json, call.what));
  },
  async patchNode(name: string, patch: JsonObject): Promise<Changed> {
    const { status } = await ask(
      { what: `changing the node ${name}`, need: need.node('patch', name), changes: true, taken: [CONFLICT] },
      (options) =>
        core.patchNode(
          { name, body: patch, fieldManager: MANAGER },
          client.setHeaderOptions('Content-Type', client.PatchStrategy.MergePatch, options),
        ),
    );
    return status !== CONFLICT;
  },
});

const jobs = ({ batch }: Apis, ask: Ask) => ({
  async cronJob(namespace: string, name: string): Promise<CronJob> {
    const what = `looking at the cron job ${name} in ${namespace}`;
    const { json } = await ask({ what, need: need.cronJob(namespace, name), changes: false }, (options) =>
      batch.readNamespacedCronJob({ namespace, name }, options),
    );
    return shaped(cronJobShape, json, what);
  },
  async job(namespace: string, name: string): Promise<Job | null> {
    const what = `looking at the job ${name} in ${namespace}`;
    const call = { what, need: need.jobs('get', namespace), changes: false, taken: [NOT_FOUND] };
    return orAbsent(
      await ask(call, (options) => batch.readNamespacedJob({ namespace, name }, options)),
      jobShape,
      what,
    );
  },
  async createJob(namespace: string, name: string, job: JsonObject): Promise<Changed> {
    const { status } = await ask(
      {
        what: `starting the job ${name} in ${namespace}`,
        need: need.jobs('create', namespace),
        changes: true,
        taken: [CONFLICT],
        // As it is: the client would leave out members of the template that are newer than it.
        body: job,
      },
      (options) => batch.createNamespacedJob({ namespace, body: {}, fieldManager: MANAGER }, options),
    );
    return status !== CONFLICT;
  },
});

/** Changes what others change too: looks, changes what it saw, and looks anew when somebody was faster. */
export const untilUnchanged = async <T>(what: string, attempt: () => Promise<T | null>): Promise<T> => {
  for (let tries = 0; tries < 6; tries += 1) {
    const done = await attempt();
    if (done !== null) return done;
  }
  throw new ActionError('retryable', `nothing was done: ${what} is being changed by somebody else all the time`);
};
