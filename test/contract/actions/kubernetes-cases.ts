// Samples of input for the actions on a cluster, on a double that speaks the API of Kubernetes.
import type { JsonObject } from '../../../src/base/json.ts';
import { reconcile } from '../../support/kubernetes-controllers.ts';
import { startKubernetes } from '../../support/kubernetes.ts';
import type { KubernetesDouble } from '../../support/kubernetes.ts';

type SetKind = 'statefulset' | 'daemonset';
type Case = {
  readonly good: () => Promise<JsonObject>;
  readonly long?: () => Promise<JsonObject>;
  readonly isAtIt?: () => boolean;
};
export type KubernetesCases = { readonly cases: Readonly<Record<string, Case>>; stop(): Promise<void> };

export const kubernetesCases = (): KubernetesCases => {
  let started: Promise<KubernetesDouble> | null = null;
  let made = 0;
  let hangs = 0;
  const isAtIt = (): boolean => hangs > 0;
  /** `hanging`: it takes what changes something, and says nothing. */
  const cluster = async (
    more: JsonObject,
    hanging = false,
  ): Promise<{ double: KubernetesDouble; connect: JsonObject }> => {
    const double = await (started ??= startKubernetes());
    hangs = 0;
    double.override = ({ method, path }) => {
      if (!hanging || method === 'GET' || path.includes('accessreviews')) return null;
      hangs += 1;
      return 'hang';
    };
    const { url: server, tokenFile: token_file, caFile: ca_file, clusterUid: cluster_uid } = double;
    return { double, connect: { server, token_file, ca_file, cluster_uid, ...more } };
  };
  const rolled = async (hanging = false, image = 'web:2'): Promise<JsonObject> => {
    made += 1;
    const deployment = `web-${made}`;
    const { double, connect } = await cluster({ namespace: 'shop', deployment }, hanging);
    double.deploy(deployment, 'web:1');
    await double.settled(deployment);
    double.deploy(deployment, image);
    if (image === 'web:2') await double.settled(deployment);
    return { connect };
  };
  const back = async (hanging = false): Promise<JsonObject> => {
    const input = await rolled(hanging);
    const { world } = await cluster({}, hanging).then(({ double }) => double);
    const [hash = '', from = ''] = [...world.replicaSets.values()]
      .filter(({ metadata }) => metadata.name.startsWith(`web-${made}-`))
      .map(({ metadata }) => metadata.labels['pod-template-hash'] ?? '');
    return { ...input, revision: 1, hash, from_hash: from };
  };
  /** A stateful set or a daemon set with a second version. */
  const set = async (kind: SetKind, hanging = false, image = 'set:2'): Promise<JsonObject> => {
    made += 1;
    const name = `${kind}-${made}`;
    const { double, connect } = await cluster({ namespace: 'shop', [kind]: name }, hanging);
    double.node('node-of-sets');
    const deploy = (version: string): unknown =>
      kind === 'statefulset' ? double.statefulSet(name, version, 2) : double.daemonSet(name, version);
    deploy('set:1');
    await double.settled(name);
    deploy(image);
    if (image === 'set:2') await double.settled(name);
    return { connect };
  };
  const setBack = async (kind: SetKind, hanging = false): Promise<JsonObject> => {
    const input = await set(kind, hanging);
    const { world } = await cluster({}, hanging).then(({ double }) => double);
    const [hash = '', from = ''] = [...world.controllerRevisions.values()]
      .filter(({ metadata }) => metadata.labels['app'] === `${kind}-${made}`)
      .toSorted((left, right) => left.revision - right.revision)
      .map(({ metadata }) => metadata.name.slice(`${kind}-${made}-`.length));
    return { ...input, revision: 1, hash, from_hash: from };
  };
  const setStuck = async (kind: SetKind, hanging = false): Promise<JsonObject> => {
    const input = await set(kind, hanging);
    return stuckPod(`${kind}-${made}`, input, hanging);
  };
  const silentSet = async (kind: SetKind): Promise<JsonObject> => {
    const { double } = await cluster({});
    double.world.images.set('set:silent', 'never-ready');
    return set(kind, false, 'set:silent');
  };
  const onSets = (kind: SetKind, words: string): Record<string, Case> => ({
    [`kubernetes.delete-pod on ${words}`]: { good: () => setStuck(kind), long: () => setStuck(kind, true), isAtIt },
    [`kubernetes.pods on ${words}`]: { good: () => set(kind) },
    [`kubernetes.revisions on ${words}`]: { good: () => set(kind) },
    [`kubernetes.rollout-restart on ${words}`]: { good: () => set(kind), long: () => set(kind, true), isAtIt },
    [`kubernetes.rollout-status on ${words}`]: { good: () => set(kind), long: () => silentSet(kind) },
    [`kubernetes.rollout-undo on ${words}`]: { good: () => setBack(kind), long: () => setBack(kind, true), isAtIt },
  });
  const stuck = async (hanging = false): Promise<JsonObject> => {
    const input = await rolled(hanging);
    return stuckPod(`web-${made}`, input, hanging);
  };
  const stuckPod = async (workload: string, input: JsonObject, hanging: boolean): Promise<JsonObject> => {
    const { double } = await cluster({}, hanging);
    const [pod] = double.podsOf(workload);
    const { name = '', uid = '' } = pod?.metadata ?? {};
    double.world.hung.add(uid);
    reconcile(double.world);
    return { ...input, pod: name, uid };
  };
  const onNode = async (hanging = false, cordoned = false): Promise<JsonObject> => {
    made += 1;
    const node = `node-${made}`;
    const { double, connect } = await cluster({ node }, hanging);
    double.world.nodes.clear();
    double.node(node, false);
    double.node('other');
    const there = double.world.nodes.get(`/${node}`);
    if (cordoned && there !== undefined) {
      there.spec.unschedulable = true;
      there.metadata.annotations['amends/cordoned-by'] = 'a run';
    }
    return { connect };
  };
  const job = async (image: string): Promise<JsonObject> => {
    made += 1;
    const cronjob = `report-${made}`;
    const { double, connect } = await cluster({ namespace: 'shop', cronjob });
    double.world.images.set('hangs', 'hangs');
    double.cronJob(cronjob, image);
    return { connect };
  };
  const broken = async (): Promise<JsonObject> => {
    const { double } = await cluster({});
    double.world.images.set('web:silent', 'never-ready');
    return rolled(false, 'web:silent');
  };
  return {
    cases: {
      'kubernetes.cordon': { good: () => onNode(), long: () => onNode(true), isAtIt },
      'kubernetes.uncordon': { good: () => onNode(false, true), long: () => onNode(true, true), isAtIt },
      'kubernetes.node': { good: () => onNode() },
      'kubernetes.delete-pod': { good: () => stuck(), long: () => stuck(true), isAtIt },
      'kubernetes.pods': { good: () => rolled() },
      'kubernetes.revisions': { good: () => rolled() },
      'kubernetes.rollout-restart': { good: () => rolled(), long: () => rolled(true), isAtIt },
      'kubernetes.rollout-status': { good: () => rolled(), long: broken },
      'kubernetes.rollout-undo': { good: () => back(), long: () => back(true), isAtIt },
      'kubernetes.run-job': { good: () => job('works'), long: () => job('hangs') },
      ...onSets('statefulset', 'a stateful set'),
      ...onSets('daemonset', 'a daemon set'),
      'kubernetes.scale': {
        good: async () => ({ ...(await rolled()), replicas: 3 }),
        long: async () => ({ ...(await rolled(true)), replicas: 3 }),
        isAtIt,
      },
    },
    async stop() {
      await (await started)?.close();
    },
  };
};
