// How the API server of the double answers: routes, verbs, RBAC, lists in pages, patches by RFC 6902 and 7386 and
// Kubernetes' own, conflicts.
import { randomUUID } from 'node:crypto';
import { bump, keyOf, newMeta } from './kubernetes-world.ts';
import type { Meta, World } from './kubernetes-world.ts';
import type { AskedOfCluster } from './kubernetes.ts';

/** What of the double decides an answer. */
type Served = { readonly world: World; readonly denied: ReadonlySet<string>; readonly clusterUid: string };

export class Refused extends Error {
  readonly status: number;
  readonly reason: string;
  constructor(status: number, reason: string, message: string) {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}
export const statusBody = ({ status, reason, message }: Refused): object => ({
  kind: 'Status',
  apiVersion: 'v1',
  metadata: {},
  status: 'Failure',
  message,
  reason,
  code: status,
});

const ROUTE =
  /^\/(?:api|apis\/(?<group>[a-z0-9.]+))\/v1(?:\/namespaces\/(?<namespace>[^/]+))?\/(?<resource>[a-z]+)(?:\/(?<name>[^/]+)(?:\/(?<sub>[a-z]+))?)?$/;
type Route = { group: string; namespace: string; resource: string; name: string; sub: string };
const routeOf = (path: string): Route => {
  const plain = /^\/api\/v1\/namespaces\/([^/]+)$/.exec(path);
  if (plain !== null) return { group: '', namespace: '', resource: 'namespaces', name: plain[1] ?? '', sub: '' };
  const { group = '', namespace = '', resource = '', name = '', sub = '' } = ROUTE.exec(path)?.groups ?? {};
  return { group, namespace, resource, name, sub };
};

const matches = (selector: string, labels: Record<string, string>): boolean =>
  selector === '' ||
  selector.split(/,(?![^(]*\))/).every((part) => {
    const listed = /^(\S+) (in|notin) \((.*)\)$/.exec(part);
    if (listed !== null) {
      const has = (listed[3] ?? '').split(',').includes(labels[listed[1] ?? ''] ?? '');
      return listed[2] === 'in' ? has : !has;
    }
    const [key = '', value] = part.split('=');
    if (value === undefined) return key.startsWith('!') ? !(key.slice(1) in labels) : key in labels;
    return labels[key] === value;
  });

const mergePatch = (target: unknown, patch: unknown): unknown => {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch;
  const result: Record<string, unknown> =
    typeof target === 'object' && target !== null && !Array.isArray(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
};
/** Of Kubernetes' own patches what needs no merge keys: objects, and `$patch: replace`. */
const strategicPatch = (target: unknown, patch: unknown): unknown => {
  if (Array.isArray(patch)) throw new Refused(422, 'Invalid', 'lists are merged by keys, which is not known here');
  if (typeof patch !== 'object' || patch === null) return patch;
  const { $patch, ...rest } = patch as Record<string, unknown>;
  if ($patch === 'replace') return rest;
  if ($patch !== undefined) throw new Refused(400, 'BadRequest', `Unknown patch type: ${JSON.stringify($patch)}`);
  const result = { ...(target as Record<string, unknown> | undefined) };
  for (const [key, value] of Object.entries(rest)) {
    if (value === null) delete result[key];
    else result[key] = strategicPatch(result[key], value);
  }
  return result;
};
const jsonPatch = (target: unknown, patch: ReadonlyArray<{ op: string; path: string; value?: unknown }>): unknown => {
  const result = structuredClone(target);
  for (const { op, path, value } of patch) {
    const keys = path
      .split('/')
      .slice(1)
      .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
    const last = keys.pop() ?? '';
    const parent = keys.reduce((at, key) => (at as Record<string, unknown>)[key], result) as Record<string, unknown>;
    if (op === 'test' && JSON.stringify(parent[last]) !== JSON.stringify(value))
      throw new Refused(422, 'Invalid', 'the server rejected our request due to an error in our request');
    if (op === 'remove') delete parent[last];
    else if (op !== 'test') parent[last] = value;
  }
  return result;
};

type Stored = { metadata: Meta; spec?: unknown; status?: unknown };
const KINDS: Readonly<Record<string, readonly [keyof World, string, string]>> = {
  deployments: ['deployments', 'apps/v1', 'Deployment'],
  statefulsets: ['statefulSets', 'apps/v1', 'StatefulSet'],
  daemonsets: ['daemonSets', 'apps/v1', 'DaemonSet'],
  controllerrevisions: ['controllerRevisions', 'apps/v1', 'ControllerRevision'],
  replicasets: ['replicaSets', 'apps/v1', 'ReplicaSet'],
  pods: ['pods', 'v1', 'Pod'],
  nodes: ['nodes', 'v1', 'Node'],
  jobs: ['jobs', 'batch/v1', 'Job'],
  cronjobs: ['cronJobs', 'batch/v1', 'CronJob'],
};
const VERBS: Readonly<Record<string, string>> = { POST: 'create', PUT: 'update', PATCH: 'patch', DELETE: 'delete' };

const conflict = (resource: string, name: string): Refused =>
  new Refused(
    409,
    'Conflict',
    `Operation cannot be fulfilled on ${resource} "${name}": the object has been modified; please apply your changes to the latest version and try again`,
  );

/** Answers as the API does; throws Refused. */
export const answerApi = (double: Served, asked: AskedOfCluster): { status: number; json: unknown } => {
  const { world, denied } = double;
  const { method, path, query, headers, body } = asked;
  const route = routeOf(path);
  const { group, namespace, resource, name, sub } = route;
  const full = sub === '' ? resource : `${resource}/${sub}`;
  const verb = method === 'GET' ? (name === '' ? 'list' : 'get') : (VERBS[method] ?? '');
  if (resource === 'selfsubjectaccessreviews') {
    const { spec } = body as { spec: { resourceAttributes: { verb: string; resource: string; subresource?: string } } };
    const { verb: wanted, resource: of, subresource } = spec.resourceAttributes;
    const allowed = !denied.has(`${wanted} ${subresource === undefined ? of : `${of}/${subresource}`}`);
    return {
      status: 201,
      json: { kind: 'SelfSubjectAccessReview', apiVersion: 'authorization.k8s.io/v1', spec, status: { allowed } },
    };
  }
  if (denied.has(`${verb} ${full}`)) {
    const where = namespace === '' ? 'at the cluster scope' : `in the namespace "${namespace}"`;
    throw new Refused(
      403,
      'Forbidden',
      `${resource}${group === '' ? '' : `.${group}`} "${name}" is forbidden: User "system:serviceaccount:shop:amends" cannot ${verb} resource "${full}" in API group "${group}" ${where}`,
    );
  }
  if (resource === 'namespaces')
    return {
      status: 200,
      json: { kind: 'Namespace', apiVersion: 'v1', metadata: newMeta(world, name, { uid: double.clusterUid }) },
    };
  const kind = KINDS[resource];
  if (kind === undefined) throw new Refused(404, 'NotFound', 'the server could not find the requested resource');
  const [store, apiVersion, kindName] = kind;
  const objects = world[store] as unknown as Map<string, Stored>;
  const shown = (object: Stored): object => ({ kind: kindName, apiVersion, ...object });
  if (verb === 'list') {
    const all = [...objects.values()].filter(
      ({ metadata }) =>
        (metadata.namespace ?? '') === namespace && matches(query.get('labelSelector') ?? '', metadata.labels),
    );
    const from = Number(query.get('continue') ?? 0);
    const limit = Number(query.get('limit') ?? 500);
    const more =
      from + limit < all.length
        ? { continue: String(from + limit), remainingItemCount: all.length - from - limit }
        : {};
    const items = all.slice(from, from + limit);
    return {
      status: 200,
      json: {
        kind: `${kindName}List`,
        apiVersion,
        metadata: { resourceVersion: String(world.version), ...more },
        items,
      },
    };
  }
  if (verb === 'create') {
    const made = body as Stored;
    const at = keyOf({ namespace, name: made.metadata.name });
    if (objects.has(at))
      throw new Refused(409, 'AlreadyExists', `${resource}.${group} "${made.metadata.name}" already exists`);
    const metadata = newMeta(world, made.metadata.name, { ...made.metadata, namespace, uid: randomUUID() });
    const stored = { ...made, metadata, status: {} };
    objects.set(at, stored);
    return { status: 201, json: shown(stored) };
  }
  const object = objects.get(keyOf({ namespace, name }));
  if (object === undefined) throw new Refused(404, 'NotFound', `${resource}.${group} "${name}" not found`);
  if (verb === 'get') return { status: 200, json: shown(object) };
  if (verb === 'delete') {
    const { preconditions } = (body ?? {}) as { preconditions?: { uid?: string } };
    if (preconditions?.uid !== undefined && preconditions.uid !== object.metadata.uid) throw conflict(resource, name);
    object.metadata.deletionTimestamp ??= new Date().toISOString();
    bump(world, object);
    return { status: 200, json: shown(object) };
  }
  const before = isCordoned(object);
  patched(world, object, resource, headers['content-type'] ?? '', body);
  if (resource === 'nodes' && isCordoned(object) !== before) owned(object, query.get('fieldManager') ?? 'unknown');
  return { status: 200, json: shown(object) };
};

const isCordoned = ({ spec }: Stored): boolean =>
  (spec as { unschedulable?: boolean } | undefined)?.unschedulable === true;

/** Who has set a field owns it, until it is taken out or set by another; here of `spec.unschedulable` alone. */
const owned = (node: Stored, manager: string): void => {
  const fieldsV1 = { 'f:spec': { 'f:unschedulable': {} } };
  node.metadata.managedFields = isCordoned(node)
    ? [{ manager, operation: 'Update', fieldsType: 'FieldsV1', fieldsV1 }]
    : [];
};

const patched = (world: World, object: Stored, resource: string, type: string, body: unknown): Stored => {
  const changed = (
    type === 'application/merge-patch+json'
      ? mergePatch(object, body)
      : type === 'application/json-patch+json'
        ? jsonPatch(object, body as Array<{ op: string; path: string; value?: unknown }>)
        : type === 'application/strategic-merge-patch+json'
          ? strategicPatch(object, body)
          : null
  ) as Stored | null;
  if (changed === null)
    throw new Refused(415, 'UnsupportedMediaType', `the body of the request was in an unknown format: ${type}`);
  if (changed.metadata.resourceVersion !== object.metadata.resourceVersion)
    throw conflict(resource, object.metadata.name);
  if (JSON.stringify(changed.spec) !== JSON.stringify(object.spec))
    changed.metadata = { ...changed.metadata, generation: (object.metadata.generation ?? 0) + 1 };
  Object.assign(object, changed);
  bump(world, object);
  return object;
};
