// What cordon and uncordon share: a node that takes no new pods, and the note of who saw to that. A node that a human has
// cordoned stays so.
import type { ActionError } from '../../base/failure.ts';
import { isObject } from '../../base/json.ts';
import type { Cluster } from './cluster.ts';
import { MANAGER, untilUnchanged } from './cluster.ts';
import type { Node } from './shapes.ts';
import { conditionOf } from './shapes.ts';

const BY = 'amends/cordoned-by';

export const nodeOutputs = {
  node: 'its name',
  ready: 'the cluster counts it as ready',
  cordoned: 'it takes no new pods',
  by_amends: 'amends has cordoned it; false: a human has, or it is not cordoned',
  trouble: 'the conditions that are not as they should be, with their reasons, or empty',
};

/** Ready has to be True, and pressure of any kind has to be absent. */
const troubleOf = (node: Node): string =>
  node.status.conditions
    .filter(({ type, status }) =>
      type === 'Ready' ? status !== 'True' : status === 'True' && /Pressure|Unavailable/.test(type),
    )
    .map(({ type, status, reason }) => `${type}=${status}${reason === undefined ? '' : ` (${reason})`}`)
    .join(', ');

/** The note outlives a human who gives the node back and cordons it anew; the cluster knows who set the field last. */
const isOurs = ({ metadata: { annotations, managedFields } }: Node, by: string | null = null): boolean => {
  const note = annotations[BY];
  if (note === undefined || (by !== null && note !== by)) return false;
  const setters = managedFields.filter(({ fieldsV1 }) => {
    const spec = isObject(fieldsV1) ? fieldsV1['f:spec'] : undefined;
    return isObject(spec) && 'f:unschedulable' in spec;
  });
  return setters.length === 0 || setters.some(({ manager }) => manager === MANAGER);
};

export const shownNode = (node: Node) => ({
  node: node.metadata.name,
  ready: conditionOf(node, 'Ready')?.status === 'True',
  cordoned: node.spec.unschedulable,
  by_amends: node.spec.unschedulable && isOurs(node),
  trouble: troubleOf(node),
});

type Done = { readonly before: Node; readonly changed: boolean };

const change = async (cluster: Cluster, before: Node, by: string | null): Promise<Done | null> => {
  const { name, resourceVersion } = before.metadata;
  const changed = await cluster.patchNode(name, {
    metadata: { resourceVersion, annotations: { [BY]: by } },
    spec: { unschedulable: by === null ? null : true },
  });
  return changed ? { before, changed: true } : null;
};

/** Gives the node as it was before, and whether this has changed it. */
export const cordonNode = (
  cluster: Cluster,
  name: string,
  by: string,
  mayCordon: () => Promise<ActionError | null>,
): Promise<Done> =>
  untilUnchanged(`the node ${name}`, async () => {
    const before = await cluster.node(name);
    if (before.spec.unschedulable) return { before, changed: false };
    const refusal = await mayCordon();
    if (refusal !== null) throw refusal;
    return change(cluster, before, by);
  });

/** One that a human has cordoned is theirs to give back, and with `by` one that another step has. */
export const uncordonNode = (cluster: Cluster, name: string, by: string | null): Promise<Done> =>
  untilUnchanged(`the node ${name}`, async () => {
    const before = await cluster.node(name);
    if (!before.spec.unschedulable || !isOurs(before, by)) return { before, changed: false };
    return change(cluster, before, null);
  });
