// What cordon and uncordon share: a node that takes no new pods, and the note of who saw to that. A node that a human has
// cordoned stays so.
import { ActionError } from '../../base/failure.ts';
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
const isOurs = ({ metadata: { annotations, managedFields } }: Node): boolean => {
  if (annotations[BY] === undefined) return false;
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

/** Gives the node as it is afterwards, and whether this has changed it. */
export const setCordon = async (
  cluster: Cluster,
  name: string,
  cordon: boolean,
  by: string,
  mayCordon: (node: Node) => Promise<ActionError | null>,
): Promise<{ readonly before: Node; readonly changed: boolean }> =>
  untilUnchanged(`the node ${name}`, async () => {
    const before = await cluster.node(name);
    // One that a human has cordoned is theirs to give back.
    if (before.spec.unschedulable === cordon || (!cordon && !isOurs(before))) return { before, changed: false };
    const refusal = cordon ? await mayCordon(before) : null;
    if (refusal !== null) throw refusal;
    const changed = await cluster.patchNode(name, {
      metadata: { resourceVersion: before.metadata.resourceVersion, annotations: { [BY]: cordon ? by : null } },
      spec: { unschedulable: cordon ? true : null },
    });
    return changed ? { before, changed: true } : null;
  });
