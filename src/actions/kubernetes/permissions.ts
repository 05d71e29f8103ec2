// Whether amends may do what it is about to do, asked before it does anything: half a recovery that ends at "forbidden" is
// worse than none. What is refused comes with the rule that would allow it.
import { ActionError } from '../../base/failure.ts';
import type { Place } from './connect.ts';

/** One thing that an action does to the API, as RBAC names it. */
export type Need = {
  /** Empty for the core group. */
  readonly group: '' | 'apps' | 'batch';
  /** `deployments`, or with a subresource `deployments/scale`. */
  readonly resource: string;
  readonly verb: 'get' | 'list' | 'create' | 'update' | 'patch' | 'delete';
  /** Null: it stands in no namespace. */
  readonly namespace: string | null;
  /** Null where RBAC knows no names: list, create. */
  readonly name: string | null;
};

export const need = {
  workload: (verb: 'get' | 'patch', { kind, namespace, name }: Place): Need => ({
    group: 'apps',
    resource: `${kind}s`,
    verb,
    namespace,
    name,
  }),
  /** Where it keeps what it was: their names are made by its controller. */
  history: ({ kind, namespace }: Pick<Place, 'kind' | 'namespace'>): Need => ({
    group: 'apps',
    resource: kind === 'deployment' ? 'replicasets' : 'controllerrevisions',
    verb: 'list',
    namespace,
    name: null,
  }),
  pods: (namespace: string): Need => ({ group: '', resource: 'pods', verb: 'list', namespace, name: null }),
  // Pods get their names anew with each start: a rule by name would allow none of the next ones.
  pod: (verb: 'get' | 'delete', namespace: string): Need => ({
    group: '',
    resource: 'pods',
    verb,
    namespace,
    name: null,
  }),
  node: (verb: 'get' | 'patch', name: string): Need => ({ group: '', resource: 'nodes', verb, namespace: null, name }),
  nodes: (): Need => ({ group: '', resource: 'nodes', verb: 'list', namespace: null, name: null }),
  cronJob: (namespace: string, name: string): Need => ({
    group: 'batch',
    resource: 'cronjobs',
    verb: 'get',
    namespace,
    name,
  }),
  // Their names are made for each run of a step.
  jobs: (verb: 'get' | 'create', namespace: string): Need => ({
    group: 'batch',
    resource: 'jobs',
    verb,
    namespace,
    name: null,
  }),
  kubeSystem: (): Need => ({ group: '', resource: 'namespaces', verb: 'get', namespace: null, name: 'kube-system' }),
};

const quoted = (words: readonly string[]): string => `[${words.map((word) => JSON.stringify(word)).join(', ')}]`;

/** A rule of a Role, or of a ClusterRole for what stands in no namespace. */
export const ruleFor = ({ group, resource, verb, namespace, name }: Need): string => {
  const names = name === null ? '' : `, resourceNames: ${quoted([name])}`;
  const where = namespace === null ? 'a ClusterRole' : `a Role in the namespace ${namespace}`;
  return `${where}: { apiGroups: ${quoted([group])}, resources: ${quoted([resource])}${names}, verbs: ${quoted([verb])} }`;
};

export const forbidden = (needs: readonly Need[]): string =>
  `mend: bind its user to ${needs.map(ruleFor).join(' and ')} (docs/kubernetes.md has them all)`;

/** Throws `permanent` unless every one of them is allowed. */
export const checkPermissions = async (
  review: (need: Need) => Promise<boolean>,
  needs: readonly Need[],
): Promise<void> => {
  const answers = await Promise.all(needs.map(review));
  const refused = needs.filter((_, index) => answers[index] !== true);
  if (refused.length === 0) return;
  const what = refused.map(({ verb, resource, name }) => `${verb} ${resource}${name === null ? '' : ` ${name}`}`);
  throw new ActionError(
    'permanent',
    `nothing was done: the cluster does not let amends ${what.join(', ')}; ${forbidden(refused)}`,
  );
};
