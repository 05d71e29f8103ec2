// What a cluster does by itself, as far as the tests need it: deployments roll their replica sets, replica sets keep their
// pods, pods start, crash and go, jobs end. In the manner of kube-controller-manager, with seconds made milliseconds.
import { keepDaemonSet, keepStatefulSet } from './kubernetes-sets.ts';
import {
  freeNode,
  goes,
  hashOf,
  isReady,
  keyOf,
  newMeta,
  ownedBy,
  ownerOf,
  set,
  startPod,
  sum,
  time,
} from './kubernetes-world.ts';
import type { Deployment, Job, Pod, ReplicaSet, World } from './kubernetes-world.ts';

const REVISION = 'deployment.kubernetes.io/revision';
const HASH = 'pod-template-hash';
const START_MS = 40;
const CRASH_EVERY_MS = 80;
const GRACE_MS = 40;

const revisionOf = (one: ReplicaSet): number => Number(one.metadata.annotations[REVISION] ?? 0);
const podsOf = (world: World, { metadata }: ReplicaSet): Pod[] =>
  [...world.pods.values()].filter((pod) => ownedBy(pod, metadata.uid));
/** The replica set of the template as it is, made or taken up again, with the highest revision. */
const currentSet = (world: World, deployment: Deployment, owned: ReplicaSet[]): ReplicaSet => {
  const hash = hashOf(deployment.spec.template);
  const highest = Math.max(0, ...owned.map(revisionOf));
  let current = owned.find(({ metadata }) => metadata.labels[HASH] === hash);
  if (current === undefined) {
    const { metadata, spec } = deployment;
    const labels = { ...spec.template.metadata.labels, [HASH]: hash };
    current = {
      metadata: newMeta(world, `${metadata.name}-${hash}`, {
        ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
        labels,
        annotations: { [REVISION]: String(highest + 1) },
        ownerReferences: [ownerOf({ kind: 'Deployment', metadata })],
      }),
      spec: {
        replicas: 0,
        selector: { matchLabels: { ...spec.selector.matchLabels, [HASH]: hash } },
        template: { ...spec.template, metadata: { ...spec.template.metadata, labels } },
      },
      status: {},
    };
    world.replicaSets.set(keyOf(current.metadata), current);
    owned.push(current);
  } else if (revisionOf(current) < highest) {
    set(world, current, (copy) => void (copy.metadata.annotations[REVISION] = String(highest + 1)));
  }
  return current;
};

/** RollingUpdate with maxSurge 1 and maxUnavailable 0, by the formulas of the deployment controller. */
const roll = (world: World, deployment: Deployment, current: ReplicaSet, owned: readonly ReplicaSet[]): void => {
  const { replicas } = deployment.spec;
  const old = owned.filter((one) => one !== current);
  const scale = (one: ReplicaSet, to: number): void =>
    set(world, one, (copy) => void (copy.spec.replicas = Math.max(0, to)));
  const total = (): number => sum(owned.map(({ spec }) => spec.replicas));
  const ready = (one: ReplicaSet): number => podsOf(world, one).filter(isReady).length;
  if (current.spec.replicas > replicas) scale(current, replicas);
  else if (current.spec.replicas < replicas)
    scale(
      current,
      Math.min(
        replicas,
        current.spec.replicas + Math.max(0, replicas + (old.some(({ spec }) => spec.replicas > 0) ? 1 : 0) - total()),
      ),
    );
  let room = total() - replicas - Math.max(0, current.spec.replicas - ready(current));
  for (const one of old) {
    const unhealthy = Math.max(0, one.spec.replicas - ready(one));
    const down = Math.min(room, unhealthy);
    if (down <= 0) continue;
    scale(one, one.spec.replicas - down);
    room -= down;
  }
  let spare = sum(owned.map(ready)) - replicas;
  for (const one of old) {
    const down = Math.min(spare, one.spec.replicas);
    if (down <= 0) continue;
    scale(one, one.spec.replicas - down);
    spare -= down;
  }
};

const progressed = new WeakMap<Deployment, { seen: string; at: number }>();

const tell = (world: World, deployment: Deployment, current: ReplicaSet, owned: readonly ReplicaSet[]): void => {
  const pods = owned
    .flatMap((one) => podsOf(world, one))
    .filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  const updated = podsOf(world, current).filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  const ready = pods.filter(isReady).length;
  const { replicas, progressDeadlineSeconds } = deployment.spec;
  const complete = updated.length === replicas && pods.length === replicas && ready === replicas;
  const seen = `${current.metadata.uid} ${pods.length} ${updated.length} ${ready}`;
  const last = progressed.get(deployment);
  if (last?.seen !== seen) progressed.set(deployment, { seen, at: Date.now() });
  const late = !complete && Date.now() - (progressed.get(deployment)?.at ?? 0) > progressDeadlineSeconds * 1_000;
  set(world, deployment, (copy) => {
    copy.metadata.annotations[REVISION] = current.metadata.annotations[REVISION] ?? '';
    copy.status = {
      observedGeneration: copy.metadata.generation ?? 1,
      replicas: pods.length,
      updatedReplicas: updated.length,
      readyReplicas: ready,
      availableReplicas: ready,
      conditions: [
        {
          type: 'Progressing',
          status: late ? 'False' : 'True',
          reason: late ? 'ProgressDeadlineExceeded' : complete ? 'NewReplicaSetAvailable' : 'ReplicaSetUpdated',
        },
        { type: 'Available', status: ready >= replicas ? 'True' : 'False' },
      ],
    };
    // Zeroes are left out, as the API does.
    for (const name of ['replicas', 'updatedReplicas', 'readyReplicas', 'availableReplicas'] as const)
      if (copy.status[name] === 0) delete copy.status[name];
  });
};

let made = 0;
const keepPods = (world: World, owner: ReplicaSet): void => {
  const pods = podsOf(world, owner).filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  for (let missing = owner.spec.replicas - pods.length; missing > 0; missing -= 1) {
    made += 1;
    startPod(
      world,
      { kind: 'ReplicaSet', metadata: owner.metadata },
      {
        name: `${owner.metadata.name}-${made.toString(36).padStart(5, 'x')}`,
        labels: { ...owner.spec.template.metadata.labels },
        containers: owner.spec.template.spec.containers,
        node: freeNode(world),
      },
    );
  }
  const extra = pods.length - owner.spec.replicas;
  const victims = pods
    .toSorted((left, right) => Number(isReady(left)) - Number(isReady(right)))
    .slice(0, Math.max(0, extra));
  for (const pod of victims) goes(world, pod);
};

const born = new Map<string, number>();
const dying = new Map<string, number>();

/** What its image makes of it at its age. */
const live = (world: World, pod: Pod): void => {
  const { uid, deletionTimestamp } = pod.metadata;
  const now = Date.now();
  if (deletionTimestamp !== undefined) {
    if (!dying.has(uid)) dying.set(uid, now);
    if (now - (dying.get(uid) ?? now) > GRACE_MS && !world.undying.has(uid)) world.pods.delete(keyOf(pod.metadata));
    return;
  }
  if (!born.has(uid)) born.set(uid, now);
  const age = now - (born.get(uid) ?? now);
  if (age < START_MS) return;
  const behaviour = pod.spec.containers.map(({ image }) => world.images.get(image)).find((one) => one !== undefined);
  const crashing = behaviour === 'crashes' || (behaviour === 'crashes-later' && age > START_MS + 400);
  const restarts = crashing
    ? 1 + Math.floor((age - START_MS - (behaviour === 'crashes' ? 0 : 400)) / CRASH_EVERY_MS)
    : 0;
  const waiting = crashing ? 'CrashLoopBackOff' : behaviour === 'not-there' ? 'ImagePullBackOff' : null;
  const ready = waiting === null && behaviour !== 'never-ready' && !world.hung.has(uid);
  set(world, pod, (copy) => {
    const was = copy.status.conditions.find(({ type }) => type === 'Ready');
    copy.status.phase = behaviour === 'not-there' ? 'Pending' : 'Running';
    if (was?.status !== (ready ? 'True' : 'False'))
      copy.status.conditions = [{ type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime: time() }];
    for (const container of copy.status.containerStatuses) {
      container.ready = ready;
      container.restartCount = restarts;
      container.state = waiting === null ? { running: {} } : { waiting: { reason: waiting } };
    }
  });
};

const finishJob = (world: World, job: Job): void => {
  if (job.status.conditions !== undefined) return;
  const age = Date.now() - (born.get(job.metadata.uid) ?? Date.now());
  if (!born.has(job.metadata.uid)) born.set(job.metadata.uid, Date.now());
  const behaviour = job.spec.template.spec.containers
    .map(({ image }) => world.images.get(image))
    .find((one) => one !== undefined);
  const deadline = job.spec.activeDeadlineSeconds;
  const end = (type: 'Complete' | 'Failed', status: Job['status'], reason?: string, message?: string): void =>
    set(world, job, (copy) => {
      const why = reason === undefined ? {} : { reason, message: message ?? '' };
      copy.status = { ...status, conditions: [{ type, status: 'True', ...why }] };
    });
  if (behaviour === 'hangs') {
    if (deadline !== undefined && age > deadline * 1_000)
      end('Failed', { failed: 1 }, 'DeadlineExceeded', 'Job was active longer than specified deadline');
    else set(world, job, (copy) => void (copy.status = { active: 1 }));
  } else if (age > 3 * START_MS) {
    if (behaviour === 'crashes')
      end('Failed', { failed: 1 }, 'BackoffLimitExceeded', 'Job has reached the specified backoff limit');
    else end('Complete', { succeeded: 1 });
  } else set(world, job, (copy) => void (copy.status = { active: 1 }));
};

/** One look of every controller at everything. */
export const reconcile = (world: World): void => {
  for (const deployment of world.deployments.values()) {
    const owned = [...world.replicaSets.values()].filter((one) => ownedBy(one, deployment.metadata.uid));
    const current = currentSet(world, deployment, owned);
    if (deployment.spec.paused !== true) roll(world, deployment, current, owned);
    for (const one of owned) keepPods(world, one);
    tell(world, deployment, current, owned);
  }
  for (const one of world.statefulSets.values()) keepStatefulSet(world, one);
  for (const one of world.daemonSets.values()) keepDaemonSet(world, one);
  for (const pod of world.pods.values()) live(world, pod);
  for (const job of world.jobs.values()) finishJob(world, job);
};
