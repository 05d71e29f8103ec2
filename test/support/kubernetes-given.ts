// What the tests of the actions on a cluster share: a double with a deployment of two pods before each test, and how an action
// is asked on it.
import { afterAll, afterEach, beforeAll, beforeEach } from '@jest/globals';
import type { JsonObject } from '../../src/base/json.ts';
import type { Action, ActionContext } from '../../src/port/action.ts';
import type { ContextOptions, TestContext } from './action-context.ts';
import { createContexts, failureOf, perform } from './action-context.ts';
import { reconcile } from './kubernetes-controllers.ts';
import type { Pod } from './kubernetes-world.ts';
import { startKubernetes } from './kubernetes.ts';
import type { AskedOfCluster, ClusterReply, KubernetesDouble } from './kubernetes.ts';

const contexts = createContexts();
export let cluster: KubernetesDouble;
/** The name of the deployment of this test. */
export let web: string;
export let made = 0;

/** At the top of a test file. */
export const useCluster = (): void => {
  beforeAll(async () => {
    cluster = await startKubernetes();
  });
  beforeEach(async () => {
    made += 1;
    web = `web-${made}`;
    cluster.deploy(web, 'shop:1');
    await cluster.settled(web);
    cluster.asked.length = 0;
  });
  afterEach(() => {
    cluster.override = null;
    cluster.denied.clear();
    cluster.world.images.clear();
    cluster.world.nodes.clear();
  });
  afterAll(async () => {
    await cluster.close();
    await contexts.stop();
  });
};

export const connect = (more: JsonObject = {}): JsonObject => ({
  server: cluster.url,
  token_file: cluster.tokenFile,
  ca_file: cluster.caFile,
  namespace: 'shop',
  deployment: web,
  ...more,
});
export const given = (more: JsonObject = {}): JsonObject => ({ connect: connect(), ...more });
export const context = (options: ContextOptions = {}): TestContext =>
  contexts.make({ allow: { hosts: [cluster.host] }, ...options });
export const ask = <Input>(
  action: Action<Input>,
  input: JsonObject,
  on: ActionContext = context(),
): Promise<JsonObject> => perform(action, input, on);
export const fails = <Input>(action: Action<Input>, input: JsonObject, on: ActionContext = context()) =>
  failureOf(ask(action, input, on));
export const changes = (): AskedOfCluster[] =>
  cluster.asked.filter(({ method, path }) => method !== 'GET' && !path.includes('selfsubjectaccessreviews'));
export const deployment = (name = web) => {
  const found = cluster.world.deployments.get(`shop/${name}`);
  if (found === undefined) throw new Error(`no deployment ${name}`);
  return found;
};
export const firstPod = (): Pod => {
  const [pod] = cluster.podsOf(web);
  if (pod === undefined) throw new Error('no pod');
  return pod;
};
export const hang = (pod: Pod, forMs = 3_600_000): void => {
  cluster.world.hung.add(pod.metadata.uid);
  reconcile(cluster.world);
  for (const condition of pod.status.conditions)
    condition.lastTransitionTime = new Date(Date.now() - forMs).toISOString();
};
/** In place of what changes something. */
export const onChange = (reply: ClusterReply) => (asked: AskedOfCluster) =>
  asked.method !== 'GET' && !asked.path.includes('selfsubjectaccessreviews') ? reply : null;
export const serves = async (name = web): Promise<{ status: number; image: unknown }> => {
  const answer = await fetch(cluster.service(name));
  return { status: answer.status, image: ((await answer.json()) as { image?: string }).image };
};
