// The same actions on stateful sets and daemon sets, on a double whose controllers roll both as the cluster's own do.
import { beforeEach, describe, expect, it } from '@jest/globals';
import deletePod from '../../../src/actions/kubernetes/delete-pod.ts';
import pods from '../../../src/actions/kubernetes/pods.ts';
import revisions from '../../../src/actions/kubernetes/revisions.ts';
import rolloutRestart from '../../../src/actions/kubernetes/rollout-restart.ts';
import rolloutStatus from '../../../src/actions/kubernetes/rollout-status.ts';
import rolloutUndo from '../../../src/actions/kubernetes/rollout-undo.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import { eventually, textOf } from '../../support/action-context.ts';
import type { DaemonSet, StatefulSet } from '../../support/kubernetes-world.ts';
import {
  useCluster,
  cluster,
  made,
  context,
  ask,
  fails,
  changes,
  connect,
  hang,
  onChange,
} from '../../support/kubernetes-given.ts';

useCluster();

type Kind = 'statefulset' | 'daemonset';
let name: string;
let kind: Kind;
const set = (): StatefulSet | DaemonSet => {
  const { statefulSets, daemonSets } = cluster.world;
  const found = kind === 'statefulset' ? statefulSets.get(`shop/${name}`) : daemonSets.get(`shop/${name}`);
  if (found === undefined) throw new Error(`no ${kind} ${name}`);
  return found;
};
const deploy = (image: string): unknown =>
  kind === 'statefulset' ? cluster.statefulSet(name, image, 3) : cluster.daemonSet(name, image);
const start = async (of: Kind): Promise<void> => {
  kind = of;
  name = `${of === 'statefulset' ? 'db' : 'agent'}-${made}`;
  deploy('set:1');
  await cluster.settled(name);
};
const given = (more: JsonObject = {}): JsonObject => {
  const { deployment: _web, ...rest } = connect({ [kind]: name });
  return { connect: rest, ...more };
};
const images = (): unknown[] => cluster.podsOf(name).map(({ spec }) => spec.containers[0]?.image);
const uids = (): string[] => cluster.podsOf(name).map(({ metadata }) => metadata.uid);
const soon = { stable: '60ms', every: '50ms', within: '10s' };

beforeEach(() => {
  for (const node of ['node-a', 'node-b', 'node-c']) cluster.node(node);
});

describe.each([
  ['statefulset', 'statefulsets', 'the stateful set'],
  ['daemonset', 'daemonsets', 'the daemon set'],
] as const)('a %s', (of, resource, words) => {
  beforeEach(() => start(of));

  it('is started anew pod by pod, once for a step, and keeps what no client of today knows', async () => {
    const before = uids();
    const first = context();
    expect(await ask(rolloutRestart, given(), first)).toEqual({ restarted: true, replicas: 3, generation: 2 });
    const { annotations } = set().spec.template.metadata;
    expect(annotations).toMatchObject({ 'kubectl.kubernetes.io/restartedAt': expect.stringMatching(/^\d{4}-.*Z$/) });
    expect(await ask(rolloutStatus, given(soon))).toMatchObject({ revision: 2, replicas: 3, updated: 3, ready: 3 });
    expect(uids()).toHaveLength(3);
    expect(uids().filter((uid) => before.includes(uid))).toEqual([]);
    expect(set().spec.template.spec).toMatchObject({ fromTheFuture: { kept: true } });
    expect(await ask(rolloutRestart, given(), { ...context(), marker: first.marker })).toMatchObject({
      restarted: false,
    });
    expect(changes().map(({ method, path }) => `${method} ${path}`)).toEqual([
      `PATCH /apis/apps/v1/namespaces/shop/${resource}/${name}`,
    ]);
  });

  it.each([
    ['patch', rolloutRestart, {}, resource],
    ['patch', rolloutUndo, { revision: 1, hash: 'aa', from_hash: 'bb' }, resource],
    ['list', rolloutUndo, { revision: 1, hash: 'aa', from_hash: 'bb' }, 'controllerrevisions'],
  ] as const)(
    'nothing is done, or looked at, without the permission to %s, and the rule that is missing is said',
    async (verb, action, more, what) => {
      cluster.asked.length = 0;
      cluster.denied.add(`${verb} ${what}`);
      const on = context();
      const { kind: failure, message } = await fails(action as typeof rolloutUndo, given(more), on);
      expect([failure, message]).toEqual([
        'permanent',
        expect.stringContaining(`apiGroups: ["apps"], resources: ["${what}"]`),
      ]);
      // It is asked for first: the workload itself was not looked at.
      expect(cluster.asked.filter(({ path }) => !path.endsWith('/selfsubjectaccessreviews'))).toEqual([]);
      expect(on.beganCount()).toBe(0);
    },
  );

  it('with updateStrategy OnDelete nothing would happen: it is refused, with what to do, and not waited for', async () => {
    set().spec.updateStrategy = { type: 'OnDelete' };
    const on = context();
    for (const failed of [await fails(rolloutRestart, given(), on), await fails(rolloutStatus, given(soon), on)])
      expect([failed.kind, failed.message]).toEqual([
        'permanent',
        expect.stringMatching(
          new RegExp(`${words} ${name} has the updateStrategy OnDelete.*mend: updateStrategy: \\{ type: RollingUpdate`),
        ),
      ]);
    deploy('set:2');
    const { revision = 0, hash = '', current_hash: from = '' } = await ask(revisions, given());
    expect((await fails(rolloutUndo, given({ revision, hash, from_hash: from }), on)).message).toContain('OnDelete');
    expect([changes(), on.beganCount()]).toEqual([[], 0]);
  });

  it('goes back to the very revision that was shown, past a restart, and its undo goes forth again', async () => {
    deploy('set:2');
    await cluster.settled(name);
    await ask(rolloutRestart, given());
    await ask(rolloutStatus, given(soon));
    const resolved = await ask(revisions, given());
    const { revision = 0, hash = '', current_hash: from = '' } = resolved;
    expect(resolved).toMatchObject({ name, current: 3, revision: 1, images: ['set:1'], current_images: ['set:2'] });
    expect(resolved['change']).toMatch(/^(db|agent): set:2 -> set:1$/);
    expect(`the ${textOf(resolved, 'kind')}`).toBe(words);
    expect(await ask(revisions, given({ revision: 2 }))).toMatchObject({
      change: 'the same images, with other settings',
    });
    expect((await fails(revisions, given({ revision: 7 }))).message).toContain('has no revision 7: there are 3, 2, 1');

    const wanted = given({ revision, hash, from_hash: from });
    cluster.asked.length = 0;
    const done = await rolloutUndo.run(rolloutUndo.input.parse(wanted), context());
    expect(done.outputs).toMatchObject({ changed: true, from: 3, images: ['set:1'] });
    expect(changes().map(({ headers, body }) => [headers['content-type'], body])).toEqual([
      [
        'application/strategic-merge-patch+json',
        {
          metadata: { resourceVersion: expect.any(String) },
          spec: { template: expect.objectContaining({ $patch: 'replace' }) },
        },
      ],
    ]);
    expect(await ask(rolloutStatus, given(soon))).toMatchObject({ revision: 4, updated: 3, ready: 3 });
    expect(images()).toEqual(['set:1', 'set:1', 'set:1']);
    // The restart's annotations are gone with the template that had them, and nothing of the patch stays behind.
    expect(set().spec.template).toEqual({
      metadata: { labels: { app: name } },
      spec: { containers: [expect.objectContaining({ image: 'set:1' })], fromTheFuture: { kept: true } },
    });
    // What a crash leaves: the same step again, with the number that the revision no longer has.
    expect(await ask(rolloutUndo, wanted)).toMatchObject({ changed: false, from: 3 });
    expect(await ask(rolloutUndo, given({ ...done.undo }))).toMatchObject({ changed: true, images: ['set:2'] });
  });

  it('F51: after an answer that never came the same step finds that it has gone back already', async () => {
    deploy('set:2');
    await cluster.settled(name);
    const { revision = 0, hash = '', current_hash: from = '' } = await ask(revisions, given());
    const wanted = given({ revision, hash, from_hash: from });
    cluster.override = onChange('done-and-reset');
    expect(await fails(rolloutUndo, wanted)).toMatchObject({ kind: 'indeterminate' });
    cluster.override = null;
    expect(await ask(rolloutUndo, wanted)).toMatchObject({ changed: false, images: ['set:1'] });
    // Before its controller has looked, and as an older API server writes the template.
    const seen = structuredClone(set());
    Object.assign(seen.spec.template.metadata, { creationTimestamp: null });
    seen.status.observedGeneration = 1;
    cluster.override = ({ method, path }) =>
      method === 'GET' && path.endsWith(`/${resource}/${name}`) ? { status: 200, json: seen } : null;
    expect(await ask(rolloutUndo, wanted)).toMatchObject({ changed: false, images: ['set:1'] });
  });

  it('F46: what somebody has deployed since it was resolved stays', async () => {
    deploy('set:2');
    await cluster.settled(name);
    const { revision = 0, hash = '', current_hash: from = '' } = await ask(revisions, given());
    deploy('set:3');
    const wanted = given({ revision, hash, from_hash: from });
    const { kind: failure, message } = await fails(rolloutUndo, wanted);
    expect([failure, message]).toEqual(['permanent', expect.stringContaining('somebody has deployed meanwhile')]);
    // Back and forth: the one that was approved is there, under another number.
    deploy('set:1');
    deploy('set:2');
    expect((await fails(rolloutUndo, wanted)).message).toContain('somebody has deployed meanwhile');
    expect(changes()).toEqual([]);
    await cluster.settled(name);
    expect(images()).toEqual(['set:2', 'set:2', 'set:2']);
  });

  it('neither resolves nor goes back while the controller has not looked at what was deployed', async () => {
    deploy('set:2');
    await cluster.settled(name);
    const { revision = 0, hash = '', current_hash: from = '' } = await ask(revisions, given());
    const seen = structuredClone(set());
    seen.metadata.generation = 9;
    cluster.override = ({ method, path }) =>
      method === 'GET' && path.endsWith(`/${resource}/${name}`) ? { status: 200, json: seen } : null;
    for (const failed of [
      await fails(revisions, given()),
      await fails(rolloutUndo, given({ revision, hash, from_hash: from })),
      await fails(rolloutStatus, given({ ...soon, within: '100ms' })),
    ])
      expect(failed).toMatchObject({ kind: 'retryable', message: expect.stringContaining('has not looked at it yet') });
    expect(changes()).toEqual([]);
  });

  it('a revision of another owner that carries the same labels is not gone back to', async () => {
    const own = [...cluster.world.controllerRevisions.values()].find(({ metadata }) => metadata.labels['app'] === name);
    if (own === undefined) throw new Error('no revision');
    const foreign = structuredClone(own);
    foreign.metadata.name = `${name}-foreign`;
    foreign.revision = 9;
    foreign.metadata.ownerReferences = [
      { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'x', uid: 'x', controller: true },
    ];
    cluster.world.controllerRevisions.set(`shop/${foreign.metadata.name}`, foreign);
    expect((await fails(revisions, given())).message).toContain('has no earlier revision: there are 1');
  });

  it('F55: pods of the new version that end again and again fail the rollout early', async () => {
    cluster.world.images.set('set:2', 'crashes');
    deploy('set:2');
    const failed = await fails(rolloutStatus, given({ within: '60s', every: '50ms' }));
    expect([failed.kind, failed.message]).toEqual([
      'permanent',
      expect.stringMatching(/started anew \d+ times.*CrashLoopBackOff/),
    ]);
  });

  it('F31: one with more pods than max_pods is left alone, and so is one that is changed by others all the time', async () => {
    expect((await fails(rolloutRestart, given({ max_pods: 2 }))).message).toContain('and max_pods is 2');
    expect(changes()).toEqual([]);
    cluster.override = ({ method }) => {
      if (method === 'PATCH') set().metadata.resourceVersion = String((cluster.world.version += 1));
      return null;
    };
    expect((await fails(rolloutRestart, given())).message).toContain('changed by somebody else all the time');
  });

  it('its stuck pod is found and deleted, and another takes its place', async () => {
    const [pod] = cluster.podsOf(name);
    if (pod === undefined) throw new Error('no pod');
    const { uid } = pod.metadata;
    hang(pod);
    const seen = await ask(pods, given());
    expect(seen).toMatchObject({ name, replicas: 3, ready: 2, stuck: 1, stuck_uid: uid });
    expect(await ask(deletePod, given({ pod: pod.metadata.name, uid }))).toMatchObject({ deleted: true });
    await cluster.settled(name);
    expect(uids()).not.toContain(uid);
    expect(await ask(pods, given())).toMatchObject({ ready: 3, stuck: 0 });
  });

  it('only one workload may be meant', () => {
    const both = connect({ [of]: name });
    const { deployment: _web, ...none } = connect();
    for (const action of [rolloutRestart, rolloutStatus, revisions, pods])
      for (const wrong of [both, none])
        expect(action.input.safeParse({ connect: wrong }).error?.issues[0]?.message).toContain(
          'one of deployment, statefulset and daemonset says which workload is meant',
        );
  });
});

describe('what only a stateful set does', () => {
  beforeEach(() => start('statefulset'));

  it('a partition keeps its first pods as they are: the rollout is complete when the others are new', async () => {
    set().spec.updateStrategy = { type: 'RollingUpdate', rollingUpdate: { partition: 2 } };
    const before = uids();
    await ask(rolloutRestart, given());
    expect(await ask(rolloutStatus, given(soon))).toMatchObject({ revision: 2, replicas: 3, updated: 1, ready: 3 });
    expect(uids().filter((uid) => before.includes(uid))).toHaveLength(2);
    set().spec.updateStrategy = { type: 'RollingUpdate', rollingUpdate: { partition: 3 } };
    expect((await fails(rolloutRestart, given())).message).toMatch(/keeps those below 3 as they are; mend: a lower/);
  });

  it('a broken pod that holds up the way back is named with what mends that, and it goes on once that is done', async () => {
    cluster.world.images.set('set:2', 'never-ready');
    deploy('set:2');
    await eventually(() => images().includes('set:2'));
    const { revision = 0, hash = '', current_hash: from = '' } = await ask(revisions, given());
    await ask(rolloutUndo, given({ revision, hash, from_hash: from }));
    const { kind: failure, message } = await fails(rolloutStatus, given({ ...soon, within: '400ms' }));
    expect([failure, message]).toEqual([
      'retryable',
      expect.stringContaining(
        `its controller waits for ${name}-2, which is of an old revision and not ready (NotReady)`,
      ),
    ]);
    expect(message).toContain(`kubectl -n shop delete pod ${name}-2`);
    const broken = cluster.podsOf(name).find(({ metadata }) => metadata.name === `${name}-2`);
    await ask(deletePod, given({ pod: `${name}-2`, uid: broken?.metadata.uid ?? '' }));
    expect(await ask(rolloutStatus, given(soon))).toMatchObject({ updated: 3, ready: 3 });
    expect(images()).toEqual(['set:1', 'set:1', 'set:1']);
  });

  it('one that is scaled to 0 has no pods to recover', async () => {
    (set() as StatefulSet).spec.replicas = 0;
    expect((await fails(rolloutRestart, given())).message).toContain(`the stateful set ${name} is scaled to 0`);
  });
});

describe('what only a daemon set does', () => {
  beforeEach(() => start('daemonset'));

  it('all of its pods hang: a restart replaces them, since it has not to wait for those that do not work', async () => {
    for (const pod of cluster.podsOf(name)) hang(pod);
    const before = uids();
    await ask(rolloutRestart, given());
    expect(await ask(rolloutStatus, given(soon))).toMatchObject({ updated: 3, ready: 3, trouble: '' });
    expect(uids().filter((uid) => before.includes(uid))).toEqual([]);
  });

  it('one that is meant for no node has no pods to recover', async () => {
    cluster.world.nodes.clear();
    await eventually(() => cluster.podsOf(name).length === 0);
    expect((await fails(rolloutRestart, given())).message).toContain(`the daemon set ${name} is meant for no node`);
    expect(changes()).toEqual([]);
  });
});
