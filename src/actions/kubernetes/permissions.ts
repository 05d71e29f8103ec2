// Whether amends may do what it is about to do, asked before it does anything: half a recovery that ends at "forbidden" is
// worse than none. What is refused comes with the rule that would allow it.
import { ActionError } from '../../base/failure.ts';

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
