// The shipped strategies for Kubernetes at work, on a double that speaks its API and whose controllers roll, crash and
// replace pods: an alert comes in, and what users have of the service is looked at from outside.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { eventually } from '../support/action-context.ts';
import { startEngine } from '../support/engine.ts';
import type { EngineUnderTest } from '../support/engine.ts';
import { startKubernetes } from '../support/kubernetes.ts';
import type { KubernetesDouble } from '../support/kubernetes.ts';
import { reconcile } from '../support/kubernetes-controllers.ts';
import type { Pod } from '../support/kubernetes-world.ts';
import { root } from '../support/servers.ts';
import { askFor, openInbox, sayYes, storyOf } from '../support/story.ts';

let cluster: KubernetesDouble;
let amends: EngineUnderTest;

const configFor = (): string => `
version: 1
rule_files: ["rules/*.json"]
runbook_files: ["${root}runbooks/kubernetes/*.yaml"]
recovery: { mode: auto }
components:
  shop:
    kind: kubernetes
    match: ['namespace="shop"']
    target: { label: deployment }
    connect:
      kubeconfig: "${cluster.kubeconfig()}"
      cluster_uid: ${cluster.clusterUid}
      namespace: shop
    inventory:
      static:
        - { target: web, connect: { deployment: web, cronjob: refill, health_url: "${cluster.service('web')}" } }
    allow: { actions: ["kubernetes.*", "http.*", "inbox.add"] }
  data:
    kind: kubernetes
    match: ['namespace="data"']
    target: { label: statefulset }
    connect: { kubeconfig: "${cluster.kubeconfig()}", cluster_uid: ${cluster.clusterUid}, namespace: shop }
    inventory:
      static: [{ target: db, connect: { statefulset: db } }, { target: agent, connect: { daemonset: agent } }]
    allow: { actions: ["kubernetes.*", "http.*", "inbox.add"] }
  nodes:
    kind: kubernetes
    match: ['alertname="KubeNodeNotReady"']
    target: { label: node }
    connect: { server: "${cluster.url}", token_file: "${cluster.tokenFile}", ca_file: "${cluster.caFile}", node: "\${{ target }}" }
    inventory: { static: [node-a, node-b] }
    allow: { actions: ["kubernetes.node", "kubernetes.cordon", "kubernetes.uncordon", "inbox.add"] }
allow: { hosts: ["${cluster.host}", "${new URL(cluster.service('web')).host}"] }
`;

type Rung = string | { readonly runbook: string; readonly with?: object };
type Rule = { readonly event: { readonly params: { readonly runbook: Rung | readonly Rung[] } } };
/** As shipped, but for the ten seconds for which pods have to stay as they are. */
const rule = (name: string): object => {
  const text = readFileSync(`${root}rules/kubernetes/kubernetes-${name}.json`, 'utf8');
  const shipped = JSON.parse(text) as Rule;
  const { params } = shipped.event;
  const hurried = [params.runbook].flat().map((rung) => {
    const one = typeof rung === 'string' ? { runbook: rung } : rung;
    if (one.runbook.endsWith('cordon_node')) return one;
    const patience = one.runbook.endsWith('delete_stuck_pod') ? { stuck_after: '100ms' } : {};
    return { ...one, with: { stable: '600ms', every: '100ms', ...patience } };
  });
  return { ...shipped, event: { ...shipped.event, params: { ...params, runbook: hurried } } };
};

beforeEach(async () => {
  cluster = await startKubernetes();
  cluster.node('node-a');
  cluster.node('node-b');
  cluster.deploy('web', 'shop:1');
  await cluster.settled('web');
  const names = ['crash-looping', 'replicas-mismatch', 'pod-stuck', 'node-not-ready'];
  const files = Object.fromEntries(names.map((name) => [`rules/${name}.json`, rule(name)]));
  amends = await startEngine({ config: configFor(), files });
});
afterEach(async () => {
  await amends.close();
  await cluster.close();
});

const fire = (
  alertname: string,
  place: Record<string, string> = { namespace: 'shop', deployment: 'web' },
): Promise<void> => amends.post([{ labels: { alertname, severity: 'critical', ...place } }]);
/** As a user has it. */
const page = async (): Promise<{ status: number; image?: string }> => {
  const answer = await fetch(cluster.service('web'));
  const { image } = (await answer.json()) as { image?: string };
  return { status: answer.status, ...(image === undefined ? {} : { image }) };
};
/** A version that comes up, takes the place of the old one, and then ends again and again. */
const deployBadly = async (): Promise<void> => {
  cluster.world.images.set('shop:2', 'crashes-later');
  cluster.deploy('web', 'shop:2');
  await eventually(
    async () =>
      cluster.podsOf('web').every((pod) => pod.spec.containers[0]?.image === 'shop:2') && (await page()).status === 503,
  );
};
const hang = (...pods: readonly Pod[]): void => {
  for (const pod of pods) cluster.world.hung.add(pod.metadata.uid);
  reconcile(cluster.world);
};
const uids = (): readonly string[] => cluster.podsOf('web').map(({ metadata }) => metadata.uid);
const question = async (): Promise<string> =>
  (await openInbox(amends)).find(({ kind }) => kind === 'approval')?.title ?? '(nothing is asked)';

describe('a version whose pods end again and again', () => {
  it('R18 F55: is taken back to the revision that the approver has seen, and users have the old one again', async () => {
    await deployBadly();
    await fire('KubePodCrashLooping');
    expect(await question()).toBe(
      'Take the deployment web in shop from revision 2 back to revision 1 (web: shop:2 -> shop:1)?',
    );
    expect((await page()).status).toBe(503);
    const { run, path, outputs } = await sayYes(amends, 'steps/ask');
    expect(run).toMatchObject({ strategy: 'rollout_undo', outcome: 'resolved', cause: 'verified' });
    expect(path).toEqual([
      'before/pods succeeded',
      'before/resolve succeeded',
      'steps/undo succeeded',
      'steps/rolled_out succeeded',
      'steps/answers succeeded',
      'on_success/follow_up succeeded',
    ]);
    expect(outputs('before/pods')).toMatchObject({ ready: 0, restarts: expect.any(Number) });
    expect(await page()).toEqual({ status: 200, image: 'shop:1' });
    expect((await openInbox(amends)).map(({ title }) => title)).toEqual([
      'web in shop was taken back from revision 2 to 1',
    ]);
  });

  it('F46: what was approved is that revision: with another one deployed meanwhile nothing is done', async () => {
    await deployBadly();
    await fire('KubePodCrashLooping');
    cluster.deploy('web', 'shop:1');
    cluster.deploy('web', 'shop:3');
    await cluster.settled('web');
    const { run, error } = await sayYes(amends, 'steps/ask');
    expect(run).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
    expect(error('steps/undo')).toContain('somebody has deployed meanwhile');
    expect(await page()).toEqual({ status: 200, image: 'shop:3' });
  });

  it('R18: when the older one does not run either, the deployment goes forth to where its owners had it', async () => {
    await deployBadly();
    cluster.world.images.set('shop:1', 'crashes');
    await fire('KubePodCrashLooping');
    const { run, error } = await sayYes(amends, 'steps/ask');
    expect(run).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
    expect(error('steps/rolled_out')).toMatch(/started anew \d+ times.*CrashLoopBackOff/);
    const deployment = cluster.world.deployments.get('shop/web');
    expect(deployment?.spec.template.spec.containers[0]?.image).toBe('shop:2');
  });

  it('without the permission nobody is led to believe otherwise: nothing is done, and the rule that is missing is said', async () => {
    await deployBadly();
    cluster.denied.add('patch deployments');
    await fire('KubePodCrashLooping');
    const { run, error } = await sayYes(amends, 'steps/ask');
    expect(run).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
    expect(error('steps/undo')).toContain('resources: ["deployments"], resourceNames: ["web"], verbs: ["patch"]');
  });
});

describe('pods that hang', () => {
  it('R18: all of them: the deployment is started anew without asking, and users have it again', async () => {
    const before = uids();
    hang(...cluster.podsOf('web'));
    expect((await page()).status).toBe(503);
    await fire('KubeDeploymentReplicasMismatch');
    const { run, outputs } = await storyOf(amends);
    expect(run).toMatchObject({ strategy: 'rollout_restart', outcome: 'resolved', cause: 'verified' });
    expect(outputs('steps/restart')).toMatchObject({ restarted: true });
    expect(await page()).toEqual({ status: 200, image: 'shop:1' });
    expect(uids().filter((uid) => before.includes(uid))).toEqual([]);
  });

  it('R18: a connection that breaks after the restart was sent: the second try finds it done, and there is one rollout', async () => {
    hang(...cluster.podsOf('web'));
    let broken = 0;
    cluster.override = ({ method }) => (method === 'PATCH' && (broken += 1) === 1 ? 'done-and-reset' : null);
    await fire('KubeDeploymentReplicasMismatch');
    const { run, outputs } = await storyOf(amends);
    expect(run).toMatchObject({ strategy: 'rollout_restart', outcome: 'resolved', cause: 'verified' });
    expect(outputs('steps/restart')).toMatchObject({ restarted: false });
    expect(cluster.asked.filter(({ method }) => method === 'PATCH')).toHaveLength(1);
    expect(await page()).toEqual({ status: 200, image: 'shop:1' });
  });

  it('F55: a restart that goes well and whose pods end a moment later has failed; then a human is asked to go back', async () => {
    cluster.deploy('web', 'shop:2');
    await cluster.settled('web');
    hang(...cluster.podsOf('web'));
    cluster.world.images.set('shop:2', 'crashes');
    await fire('KubeDeploymentReplicasMismatch');
    const restart = await storyOf(amends, 'rollout_restart');
    expect(restart.run).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
    expect(restart.error('steps/rolled_out')).toContain('CrashLoopBackOff');
    amends.clock.advance(301_000);
    await amends.settle();
    expect(await question()).toContain('back to revision 1 (web: shop:2 -> shop:1)');
    expect((await sayYes(amends, 'steps/ask')).run).toMatchObject({ strategy: 'rollout_undo', outcome: 'resolved' });
    expect(await page()).toEqual({ status: 200, image: 'shop:1' });
  });

  it('R18: one of them: it is deleted once somebody has seen which, and another takes its place', async () => {
    const [stuck, other] = cluster.podsOf('web');
    if (stuck === undefined || other === undefined) throw new Error('no pods');
    hang(stuck);
    // The times of conditions are whole seconds.
    amends.clock.advance(2_000);
    await fire('KubePodNotReady');
    expect(await question()).toBe(`Delete the pod ${stuck.metadata.name} of web in shop (NotReady; 1 of 2 are ready)?`);
    const { run } = await sayYes(amends, 'steps/ask');
    expect(run).toMatchObject({ strategy: 'delete_stuck_pod', outcome: 'resolved', cause: 'verified' });
    expect(uids()).toContain(other.metadata.uid);
    expect(uids()).not.toContain(stuck.metadata.uid);
    expect(cluster.podsOf('web').filter(({ status }) => status.conditions[0]?.status === 'True')).toHaveLength(2);
  });

  it('F31: several of them are no stuck pod: none is deleted, and the next rung starts all of them anew', async () => {
    const before = uids();
    hang(...cluster.podsOf('web'));
    amends.clock.advance(2_000);
    cluster.override = ({ method }) => (method === 'DELETE' ? { status: 500 } : null);
    const deleting = amends.loaded().catalog.runbooks.get('kubernetes/delete_stuck_pod');
    expect(deleting?.effect).toBe('destroy');
    // What waits for a rollout that never comes is not waited for here.
    const deployment = cluster.world.deployments.get('shop/web');
    if (deployment !== undefined) deployment.spec.progressDeadlineSeconds = 0.1;
    await fire('KubePodNotReady');
    const first = await storyOf(amends, 'delete_stuck_pod');
    expect(first.path).toContain('steps/delete skipped');
    expect(first.run).toMatchObject({ outcome: 'unresolved' });
    expect(cluster.asked.filter(({ method }) => method === 'DELETE')).toEqual([]);
    if (deployment !== undefined) deployment.spec.progressDeadlineSeconds = 600;
    reconcile(cluster.world);
    amends.clock.advance(301_000);
    await amends.settle();
    expect((await storyOf(amends, 'rollout_restart')).run).toMatchObject({ outcome: 'resolved' });
    expect(await page()).toEqual({ status: 200, image: 'shop:1' });
    expect(uids().filter((uid) => before.includes(uid))).toEqual([]);
  });
});

describe('a stateful set and a daemon set', () => {
  it.each([
    ['db', 'stateful set', () => cluster.statefulSet('db', 'data:1', 2), () => cluster.statefulSet('db', 'data:2', 2)],
    ['agent', 'daemon set', () => cluster.daemonSet('agent', 'data:1'), () => cluster.daemonSet('agent', 'data:2')],
  ] as const)(
    'R18: %s is started anew, and taken back to the revision that the approver has seen',
    async (target, kind, first, second) => {
      first();
      await cluster.settled(target);
      second();
      await cluster.settled(target);
      const before = new Set(cluster.podsOf(target).map(({ metadata }) => metadata.uid));
      const inputs = { stable: '100ms', every: '50ms' };
      await askFor(amends, { component: 'data', target, strategy: 'rollout_restart', inputs });
      const { run, outputs } = await storyOf(amends);
      expect(run).toMatchObject({ strategy: 'rollout_restart', outcome: 'resolved', cause: 'verified' });
      expect(outputs('steps/restart')).toMatchObject({ restarted: true });
      expect(cluster.podsOf(target).filter(({ metadata }) => before.has(metadata.uid))).toEqual([]);

      amends.clock.advance(61_000);
      await amends.settle();
      await askFor(amends, { component: 'data', target, strategy: 'rollout_undo', inputs });
      expect(await question()).toMatch(
        new RegExp(
          `^Take the ${kind} ${target} in shop from revision 3 back to revision 1 \\(.*: data:2 -> data:1\\)\\?$`,
        ),
      );
      expect((await sayYes(amends, 'steps/ask')).run).toMatchObject({ strategy: 'rollout_undo', outcome: 'resolved' });
      expect(cluster.podsOf(target).map(({ spec }) => spec.containers[0]?.image)).toEqual(['data:1', 'data:1']);
    },
  );
});

describe('a node that is not ready', () => {
  it('R18: takes no new pods once a human agrees, and is given back by hand when it is well', async () => {
    cluster.node('node-a', false);
    await fire('KubeNodeNotReady', { node: 'node-a' });
    expect(await question()).toContain('kubernetes/cordon_node on nodes node-a');
    const { run } = await sayYes(amends);
    expect(run).toMatchObject({ strategy: 'cordon_node', outcome: 'resolved', cause: 'verified' });
    expect(cluster.world.nodes.get('/node-a')?.spec.unschedulable).toBe(true);
    expect((await openInbox(amends)).map(({ title }) => title)).toEqual(['node-a takes no new pods']);
    cluster.deploy('web', 'shop:2');
    await cluster.settled('web');
    expect(cluster.podsOf('web').map(({ spec }) => spec.nodeName)).toEqual(['node-b', 'node-b']);

    const there = cluster.world.nodes.get('/node-a');
    if (there !== undefined) there.status.conditions = [{ type: 'Ready', status: 'True' }];
    amends.clock.advance(61_000);
    await amends.settle();
    await askFor(amends, { component: 'nodes', target: 'node-a', strategy: 'uncordon_node' });
    expect((await storyOf(amends)).run).toMatchObject({ strategy: 'uncordon_node', outcome: 'resolved' });
    expect(cluster.world.nodes.get('/node-a')?.spec.unschedulable).toBeUndefined();
  });
});

describe('a job that mends something', () => {
  it('R18: runs once from its template, by hand, and the service is looked at from outside', async () => {
    cluster.cronJob('refill', 'refill:1');
    await askFor(amends, { component: 'shop', target: 'web', strategy: 'run_job' });
    const { run, outputs } = await storyOf(amends);
    expect(run).toMatchObject({ strategy: 'run_job', outcome: 'resolved', cause: 'verified' });
    expect(outputs('steps/job')).toMatchObject({ started: true, succeeded: 1 });
    expect([...cluster.world.jobs.values()].map(({ spec }) => spec.template.spec.containers[0]?.image)).toEqual([
      'refill:1',
    ]);
  });

  it('that ends badly has mended nothing, and the cluster says why', async () => {
    cluster.world.images.set('refill:2', 'crashes');
    cluster.cronJob('refill', 'refill:2');
    await askFor(amends, { component: 'shop', target: 'web', strategy: 'run_job' });
    const { run, error } = await storyOf(amends);
    expect(run).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
    expect(error('steps/job')).toContain('BackoffLimitExceeded');
  });
});

describe('R2 R19: what failed, named by another system, finds its strategy', () => {
  it.each([
    ['replicas_mismatch', 'rollout_restart', 'done'],
    ['crash_loop', 'rollout_undo', 'awaiting_approval'],
  ])('%s -> %s', async (failureType, strategy, state) => {
    cluster.deploy('web', 'shop:2');
    await cluster.settled('web');
    await askFor(amends, { component: 'shop', target: 'web', failureType, context: { seen_by: 'health-check' } });
    expect((await storyOf(amends)).run).toMatchObject({ strategy, state });
  });
});
