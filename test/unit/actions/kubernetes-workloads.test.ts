// The actions on deployments and their pods, on a double that speaks the API of Kubernetes and whose controllers work.
import { describe, expect, it } from '@jest/globals';
import deletePod from '../../../src/actions/kubernetes/delete-pod.ts';
import pods from '../../../src/actions/kubernetes/pods.ts';
import revisions from '../../../src/actions/kubernetes/revisions.ts';
import rolloutRestart from '../../../src/actions/kubernetes/rollout-restart.ts';
import rolloutStatus from '../../../src/actions/kubernetes/rollout-status.ts';
import rolloutUndo from '../../../src/actions/kubernetes/rollout-undo.ts';
import scale from '../../../src/actions/kubernetes/scale.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import { eventually, textOf } from '../../support/action-context.ts';
import { reconcile } from '../../support/kubernetes-controllers.ts';
import {
  useCluster,
  cluster,
  web,
  made,
  given,
  context,
  ask,
  fails,
  changes,
  connect,
  onChange,
  deployment,
  firstPod,
  hang,
  serves,
} from '../../support/kubernetes-given.ts';

useCluster();

describe('kubernetes.rollout-restart', () => {
  it('starts every pod anew, one after the other, and says so once the cluster has taken it', async () => {
    const before = new Set(cluster.podsOf(web).map(({ metadata }) => metadata.uid));
    expect(await ask(rolloutRestart, given())).toEqual({ restarted: true, replicas: 2, generation: 2 });
    await ask(rolloutStatus, given({ stable: '50ms', every: '50ms' }));
    const after = cluster.podsOf(web).map(({ metadata }) => metadata.uid);
    expect(after).toHaveLength(2);
    expect(after.filter((uid) => before.has(uid))).toEqual([]);
    expect(await serves()).toEqual({ status: 200, image: 'shop:1' });
  });

  it('the same step does not do it twice, another one does', async () => {
    const first = context();
    await ask(rolloutRestart, given(), first);
    const again = context();
    expect(await ask(rolloutRestart, given(), { ...again, marker: first.marker })).toMatchObject({ restarted: false });
    expect(changes()).toHaveLength(1);
    expect(again.beganCount()).toBe(0);
    expect(await ask(rolloutRestart, given())).toMatchObject({ restarted: true });
  });

  it('leaves members of the pod template alone that no client of today knows', async () => {
    await ask(rolloutRestart, given());
    expect(deployment().spec.template.spec).toMatchObject({ fromTheFuture: { kept: true } });
  });

  it.each([
    ['is paused', () => void (deployment().spec.paused = true), {}, 'is paused: somebody is at work on it'],
    ['F31 has no pods', () => void (deployment().spec.replicas = 0), {}, 'is scaled to 0'],
    ['F31 has more than max_pods', () => undefined, { max_pods: 1 }, 'has 2 replicas, and max_pods is 1'],
  ])('does nothing to one that %s', async (_, spoil, more, why) => {
    spoil();
    const on = context();
    const { kind, message } = await fails(rolloutRestart, given(more), on);
    expect([kind, message]).toEqual(['permanent', expect.stringContaining(why)]);
    expect([changes(), on.beganCount()]).toEqual([[], 0]);
  });

  it('looks again when somebody was faster, and gives up on one that is changed all the time', async () => {
    let races = 2;
    cluster.override = ({ method }) => {
      if (method === 'PATCH' && races > 0) {
        races -= 1;
        deployment().metadata.resourceVersion = String((cluster.world.version += 1));
      }
      return null;
    };
    expect(await ask(rolloutRestart, given())).toMatchObject({ restarted: true });
    expect(changes()).toHaveLength(3);
    races = Number.POSITIVE_INFINITY;
    expect(await fails(rolloutRestart, given())).toMatchObject({
      kind: 'retryable',
      message: expect.stringContaining('changed by somebody else all the time'),
    });
  });
});

describe('kubernetes.rollout-undo', () => {
  const badly = async (): Promise<JsonObject> => {
    cluster.world.images.set('shop:2', 'crashes');
    cluster.deploy(web, 'shop:2');
    await eventually(() => cluster.podsOf(web).some((pod) => pod.status.containerStatuses[0]?.restartCount === 2));
    return ask(revisions, given());
  };

  it('kubernetes.revisions resolves the one before, with what it would change, for an approver to read', async () => {
    expect(await badly()).toMatchObject({
      current: 2,
      revision: 1,
      change: 'web: shop:2 -> shop:1',
      images: ['shop:1'],
      current_images: ['shop:2'],
      hash: expect.stringMatching(/^[0-9a-f]{10}$/),
      revisions: [
        { revision: 2, images: ['shop:2'] },
        { revision: 1, images: ['shop:1'] },
      ],
    });
    expect(await fails(revisions, given({ revision: 2 }))).toMatchObject({ kind: 'permanent' });
    expect((await fails(revisions, given({ revision: 7 }))).message).toContain('has no revision 7: there are 2, 1');
  });

  it('goes back to the very revision that was shown, with everything in it, and its undo goes forth again', async () => {
    const resolved = await badly();
    const { revision = 0, hash = '', current_hash: from = '' } = resolved;
    const wanted = given({ revision, hash, from_hash: from });
    const done = await rolloutUndo.run(rolloutUndo.input.parse(wanted), context());
    expect(done.outputs).toMatchObject({ changed: true, from: 2, images: ['shop:1'] });
    await ask(rolloutStatus, given({ stable: '100ms', every: '50ms' }));
    expect(await serves()).toEqual({ status: 200, image: 'shop:1' });
    expect(deployment().spec.template.spec).toMatchObject({ fromTheFuture: { kept: true } });
    expect(deployment().spec.template.metadata.labels).toEqual({ app: web });
    expect(cluster.podsOf(web).map(({ spec }) => spec.containers[0]?.image)).toEqual(['shop:1', 'shop:1']);

    // What a crash leaves: the same step again, with the number that the revision no longer has.
    expect(await ask(rolloutUndo, wanted)).toMatchObject({ changed: false, from: 2 });
    expect(await ask(rolloutUndo, given({ ...done.undo }))).toMatchObject({ changed: true, images: ['shop:2'] });
  });

  it('does nothing when somebody has deployed since it was resolved', async () => {
    const { revision = 0, hash = '', current_hash: from = '' } = await badly();
    cluster.deploy(web, 'shop:1');
    cluster.deploy(web, 'shop:2');
    const { kind, message } = await fails(rolloutUndo, given({ revision, hash, from_hash: from }));
    expect([kind, message]).toEqual(['permanent', expect.stringContaining('somebody has deployed meanwhile')]);
    expect(changes()).toEqual([]);
    expect((await fails(rolloutUndo, given({ revision: 1, hash: '0000000000', from_hash: from }))).message).toContain(
      'resolve it anew',
    );
  });

  it('leaves alone what somebody has put in the place of the bad one, which nobody was asked about', async () => {
    const { revision = 0, hash = '', current_hash: from = '' } = await badly();
    cluster.deploy(web, 'shop:3');
    await cluster.settled(web);
    const { kind, message } = await fails(rolloutUndo, given({ revision, hash, from_hash: from }));
    expect([kind, message]).toEqual(['permanent', expect.stringContaining('somebody has deployed meanwhile')]);
    expect(changes()).toEqual([]);
    expect(await serves()).toEqual({ status: 200, image: 'shop:3' });
  });

  it('neither resolves nor goes back while the controller has not looked at what was deployed', async () => {
    const { revision = 0, hash = '', current_hash: from = '' } = await badly();
    const seen = structuredClone(deployment());
    seen.status.observedGeneration = 1;
    seen.spec.template.spec.containers = [{ name: 'web', image: 'shop:3' }];
    cluster.override = ({ method, path }) =>
      method === 'GET' && path.endsWith(`/deployments/${web}`) ? { status: 200, json: seen } : null;
    for (const failed of [
      await fails(revisions, given()),
      await fails(rolloutUndo, given({ revision, hash, from_hash: from })),
    ])
      expect(failed).toMatchObject({ kind: 'retryable', message: expect.stringContaining('has not looked at it yet') });
    expect(changes()).toEqual([]);
  });

  it('is not taken for another version when only a restart lies between: it goes back past that', async () => {
    cluster.deploy(web, 'shop:2');
    await cluster.settled(web);
    await ask(rolloutRestart, given());
    await ask(rolloutStatus, given({ stable: '50ms', every: '50ms' }));
    expect(await ask(revisions, given())).toMatchObject({ current: 3, revision: 1, change: 'web: shop:2 -> shop:1' });
    expect(await ask(revisions, given({ revision: 2 }))).toMatchObject({
      revision: 2,
      change: 'the same images, with other settings',
    });
  });

  it('there is nothing to go back to from the first revision', async () => {
    expect(await fails(revisions, given())).toMatchObject({
      kind: 'permanent',
      message: expect.stringContaining('has no earlier revision: there are 1'),
    });
  });
});

describe('kubernetes.rollout-status', () => {
  it('F55: a rollout that is complete and whose pods end again a moment later has failed', async () => {
    cluster.world.images.set('shop:2', 'crashes-later');
    cluster.deploy(web, 'shop:2');
    const failed = await fails(rolloutStatus, given({ stable: '5s', within: '10s', every: '50ms' }));
    expect([failed.kind, failed.message]).toEqual(['permanent', expect.stringMatching(/started anew|fails/)]);
    expect(failed.message).toContain('CrashLoopBackOff');
    expect(failed.outputs).toMatchObject({ revision: 2, seen_restarts: expect.any(Number) });
    expect(failed.outputs?.['seen_restarts']).toBeGreaterThan(0);
  });

  it('F55: one whose pods crash from the start fails early, not at the end of its time', async () => {
    cluster.world.images.set('shop:2', 'crashes');
    cluster.deploy(web, 'shop:2');
    const on = context();
    const start = on.clock.monotonic();
    const failed = await fails(rolloutStatus, given({ within: '60s', every: '50ms' }), on);
    expect([failed.kind, failed.message]).toEqual(['permanent', expect.stringMatching(/started anew \d+ times/)]);
    expect(on.clock.monotonic() - start).toBeLessThan(8_000);
  });

  it('one that its controller gives up is not waited for, and one that hangs is until its time is over', async () => {
    cluster.world.images.set('shop:2', 'not-there');
    deployment().spec.progressDeadlineSeconds = 0.3;
    cluster.deploy(web, 'shop:2');
    const given1 = await fails(rolloutStatus, given({ within: '20s', every: '50ms' }));
    expect([given1.kind, given1.message]).toEqual(['permanent', expect.stringContaining('given up by its controller')]);
    expect(given1.message).toContain('ImagePullBackOff');
    deployment().spec.progressDeadlineSeconds = 600;
    reconcile(cluster.world);
    const hangs = await fails(rolloutStatus, given({ within: '300ms', every: '50ms' }));
    expect([hangs.kind, hangs.message]).toEqual([
      'retryable',
      expect.stringContaining('was not steady for 5000 ms within 300 ms'),
    ]);
  });

  it('passes over a server that is busy or gone for a look or two', async () => {
    let looks = 0;
    cluster.override = () => {
      looks += 1;
      return looks === 1 ? { status: 503 } : looks === 3 ? 'reset' : null;
    };
    expect(await ask(rolloutStatus, given({ stable: '100ms', every: '50ms' }))).toMatchObject({
      replicas: 2,
      ready: 2,
    });
    cluster.override = () => ({ status: 503 });
    expect(await fails(rolloutStatus, given({ every: '50ms' }))).toMatchObject({ kind: 'retryable' });
  });
});

describe('kubernetes.scale', () => {
  it('changes the number, keeps the old one for its undo, and does it once', async () => {
    const done = await scale.run(scale.input.parse(given({ replicas: 4 })), context());
    expect(done).toEqual({ outputs: { replicas: 4, was: 2, changed: true }, undo: { replicas: 2, allow_zero: false } });
    await cluster.settled(web);
    await eventually(() => cluster.podsOf(web).length === 4);
    expect(await ask(scale, given({ replicas: 4 }))).toEqual({ replicas: 4, was: 4, changed: false });
    expect(await ask(scale, given({ ...done.undo }))).toMatchObject({ was: 4, changed: true });
  });

  it('F51: after an answer that never came, or a crash, the same step still knows the number before, and says it to its undo', async () => {
    const on = context();
    cluster.override = onChange('done-and-reset');
    expect(await fails(scale, given({ replicas: 5 }), on)).toMatchObject({ kind: 'indeterminate' });
    cluster.override = null;
    expect(deployment().spec.replicas).toBe(5);
    const again = await scale.run(scale.input.parse(given({ replicas: 5 })), on);
    expect(again).toEqual({
      outputs: { replicas: 5, was: 2, changed: false },
      undo: { replicas: 2, allow_zero: false },
    });
    // Somebody else in between: what this step goes back to is still what it found.
    deployment().spec.replicas = 9;
    expect(await ask(scale, given({ replicas: 5 }), on)).toMatchObject({ was: 2, changed: true });
    // Another step has found what this one has left.
    expect(await ask(scale, given({ replicas: 3 }))).toMatchObject({ was: 5, changed: true });
  });

  it('scales a stateful set where the target names one, by permissions of its own', async () => {
    const name = `db-${made}`;
    cluster.statefulSet(name, 'db:1', 3);
    const { deployment: _web, ...rest } = connect({ statefulset: name });
    const db = { connect: rest, replicas: 1 };
    cluster.denied.add('patch statefulsets');
    expect((await fails(scale, db)).message).toContain(
      `{ apiGroups: ["apps"], resources: ["statefulsets"], resourceNames: ["${name}"], verbs: ["patch"] }`,
    );
    expect(changes()).toEqual([]);
    cluster.denied.clear();
    const done = await scale.run(scale.input.parse(db), context());
    expect(done).toEqual({ outputs: { replicas: 1, was: 3, changed: true }, undo: { replicas: 3, allow_zero: false } });
    expect(cluster.world.statefulSets.get(`shop/${name}`)).toMatchObject({
      metadata: { generation: 2 },
      spec: { replicas: 1, serviceName: name, template: { spec: { fromTheFuture: { kept: true } } } },
    });
    expect(await ask(scale, { connect: rest, ...done.undo })).toMatchObject({ was: 1, changed: true });
    for (const wrong of [connect({ statefulset: name }), { ...rest, statefulset: undefined }])
      expect(scale.input.safeParse({ connect: wrong, replicas: 1 }).success).toBe(false);
  });

  it('every request belongs to the trace of its run', async () => {
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await ask(scale, given({ replicas: 3 }), { ...context(), traceparent });
    expect(cluster.asked.length).toBeGreaterThan(3);
    expect(new Set(cluster.asked.map(({ headers }) => headers['traceparent']))).toEqual(new Set([traceparent]));
  });

  it('F31: to 0 only when it is said, and never beyond the bound', async () => {
    expect((await fails(scale, given({ replicas: 0 }))).message).toContain('allow_zero: true if that is meant');
    expect((await fails(scale, given({ replicas: 21 }))).message).toContain('max_replicas is 20');
    expect(cluster.asked).toEqual([]);
    expect(await ask(scale, given({ replicas: 0, allow_zero: true }))).toMatchObject({ was: 2, changed: true });
    const back = await scale.run(scale.input.parse(given({ replicas: 1 })), context());
    expect(back.undo).toEqual({ replicas: 0, allow_zero: true });
  });
});

describe('kubernetes.pods and kubernetes.delete-pod', () => {
  it('the one that has been stuck longest is named with its uid, deleted, and another takes its place', async () => {
    hang(firstPod(), 3_600_000);
    const seen = await ask(pods, given());
    expect(seen).toMatchObject({
      replicas: 2,
      ready: 1,
      stuck: 1,
      stuck_pod: firstPod().metadata.name,
      stuck_why: 'NotReady',
    });
    const [pod, uid] = [textOf(seen, 'stuck_pod'), textOf(seen, 'stuck_uid')];
    expect(await ask(deletePod, given({ pod, uid }))).toMatchObject({ deleted: true, trouble: 'NotReady' });
    await eventually(
      () => cluster.podsOf(web).filter(({ status }) => status.conditions[0]?.status === 'True').length === 2,
    );
    expect(cluster.podsOf(web).map(({ metadata }) => metadata.uid)).not.toContain(uid);
    expect(await ask(deletePod, given({ pod, uid }))).toMatchObject({ deleted: false });
  });

  it.each([
    ['bare', 'is a bare one'],
    ["another deployment's", 'and not to the deployment'],
    ['ready', 'is ready: it works'],
  ])('a pod that is %s stays', async (which, why) => {
    const { name, uid } = await (async () => {
      if (which === 'bare') return cluster.barePod(`bare-${made}`, { app: web }).metadata;
      if (which === 'ready') return firstPod().metadata;
      cluster.deploy(`other-${made}`, 'other:1');
      await cluster.settled(`other-${made}`);
      return cluster.podsOf(`other-${made}`)[0]?.metadata ?? { name: '', uid: '' };
    })();
    const on = context();
    const { kind, message } = await fails(deletePod, given({ pod: name, uid }), on);
    expect([kind, message]).toEqual(['permanent', expect.stringContaining(why)]);
    expect([changes(), on.beganCount()]).toEqual([[], 0]);
    cluster.world.pods.delete(`shop/bare-${made}`);
  });

  it('another pod that has its name by now stays, even if it took it in between', async () => {
    const { name, uid } = firstPod().metadata;
    hang(firstPod());
    expect(await ask(deletePod, given({ pod: name, uid: '00000000-0000' }))).toMatchObject({ deleted: false });
    const successor = '11111111-1111-1111-1111-111111111111';
    cluster.override = ({ method }) => {
      const pod = cluster.world.pods.get(`shop/${name}`);
      if (method === 'DELETE' && pod !== undefined) pod.metadata.uid = successor;
      return null;
    };
    expect(await ask(deletePod, given({ pod: name, uid }))).toMatchObject({ deleted: false });
    expect(cluster.world.pods.get(`shop/${name}`)?.metadata.deletionTimestamp).toBeUndefined();
  });

  it('one that does not go is told of, with what to look at', async () => {
    const { name, uid } = firstPod().metadata;
    hang(firstPod());
    cluster.world.undying.add(uid);
    const failed = await fails(deletePod, given({ pod: name, uid, within: '200ms' }));
    expect([failed.kind, failed.message]).toEqual([
      'retryable',
      expect.stringContaining('is still there after 200 ms'),
    ]);
    expect(failed.outputs).toMatchObject({ deleted: true });
    cluster.world.undying.delete(uid);
  });

  it('F31: more pods than max_pods, or none, are no evidence', async () => {
    expect(await fails(pods, given({ max_pods: 1 }))).toMatchObject({
      kind: 'permanent',
      message: expect.stringContaining('found more than 1'),
    });
    await ask(scale, given({ replicas: 0, allow_zero: true }));
    await eventually(() => cluster.podsOf(web).length === 0);
    expect(await fails(pods, given())).toMatchObject({
      kind: 'permanent',
      message: expect.stringContaining('has no pods'),
    });
    expect(await ask(pods, given({ allow_none: true }))).toMatchObject({ replicas: 0, pods: [], stuck_pod: '' });
  });

  it('long lists are read page by page, and only the pods of its own replica sets count', async () => {
    await ask(scale, given({ replicas: 60, max_replicas: 60 }));
    await eventually(() => cluster.podsOf(web).length === 60);
    const bare = cluster.barePod(`bare-${made}`, { app: web });
    const seen = await ask(pods, given({ max_pods: 100 }));
    expect(seen['pods']).toHaveLength(60);
    expect(cluster.asked.filter(({ query }) => query.has('continue'))).toHaveLength(2);
    cluster.world.pods.delete(`shop/${bare.metadata.name}`);
    cluster.world.deployments.delete(`shop/${web}`);
    for (const pod of cluster.podsOf(web)) cluster.world.pods.delete(`shop/${pod.metadata.name}`);
    for (const [key, one] of cluster.world.replicaSets)
      if (one.metadata.name.startsWith(`${web}-`)) cluster.world.replicaSets.delete(key);
  });
});
