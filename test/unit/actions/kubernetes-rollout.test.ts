// When a rollout is complete, as kubectl rollout status judges it for each kind of workload, and when none would come about.
import { expect, it } from '@jest/globals';
import { daemonSetShape, deploymentShape, statefulSetShape } from '../../../src/actions/kubernetes/shapes.ts';
import type { Workload } from '../../../src/actions/kubernetes/shapes.ts';
import { incomplete, refusesRollout } from '../../../src/actions/kubernetes/workload.ts';

const template = { spec: { containers: [{ name: 'c' }] } };
const object = (spec: object, status: object) => ({
  metadata: { name: 'x', uid: 'u', generation: 3 },
  spec: { template, selector: { matchLabels: { app: 'x' } }, ...spec },
  status: { observedGeneration: 3, ...status },
});
const deployment = (status: object, spec: object = {}): Workload => ({
  ...deploymentShape.parse(object({ replicas: 3, ...spec }, status)),
  kind: 'deployment',
});
const statefulSet = (status: object, spec: object = {}): Workload => ({
  ...statefulSetShape.parse(
    object({ replicas: 3, ...spec }, { readyReplicas: 3, currentRevision: 'a', updateRevision: 'b', ...status }),
  ),
  kind: 'statefulset',
});
const daemonSet = (status: object, spec: object = {}): Workload => ({
  ...daemonSetShape.parse(object(spec, { desiredNumberScheduled: 3, ...status })),
  kind: 'daemonset',
});
const rolling = (partition: number) => ({ updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition } } });

it.each<[string, Workload, string | null]>([
  ['a deployment of old pods', deployment({ replicas: 3, updatedReplicas: 1 }), '1 of 3 pods are of the new revision'],
  ['a deployment with an old pod left', deployment({ replicas: 4, updatedReplicas: 3 }), '1 pods of an old revision'],
  ['a deployment not available', deployment({ replicas: 3, updatedReplicas: 3 }), '0 of 3 pods are available'],
  ['a deployment', deployment({ replicas: 3, updatedReplicas: 3, availableReplicas: 3 }), null],
  ['a stateful set not seen', statefulSet({ observedGeneration: 2, updatedReplicas: 3 }), 'has not looked at it yet'],
  ['a stateful set not ready', statefulSet({ readyReplicas: 2, updatedReplicas: 3 }), '2 of 3 pods are ready'],
  ['a stateful set of old pods', statefulSet({ updatedReplicas: 2 }), '2 of 3 pods are of the new revision'],
  ['a stateful set whose change has not ended', statefulSet({ updatedReplicas: 3 }), 'the change from a to b'],
  ['a stateful set', statefulSet({ updatedReplicas: 3, currentRevision: 'b' }), null],
  ['a stateful set behind a partition', statefulSet({ updatedReplicas: 1 }, rolling(2)), null],
  ['a partition not yet reached', statefulSet({}, rolling(2)), '0 of 1 pods are of the new revision'],
  ['a daemon set not seen', daemonSet({ observedGeneration: 2 }), 'has not looked at it yet'],
  ['a daemon set of old pods', daemonSet({ updatedNumberScheduled: 2 }), '2 of 3 pods are of the new revision'],
  [
    'a daemon set not available',
    daemonSet({ updatedNumberScheduled: 3, numberAvailable: 2 }),
    '2 of 3 pods are available',
  ],
  ['a daemon set', daemonSet({ updatedNumberScheduled: 3, numberAvailable: 3 }), null],
])('%s: what is missing to a complete rollout', (_, workload, missing) => {
  if (missing === null) expect(incomplete(workload)).toBeNull();
  else expect(incomplete(workload)).toContain(missing);
});

it('one that its controller has never looked at is neither complete nor rolled, without a generation of its own too', () => {
  const fresh = daemonSetShape.parse({ metadata: { name: 'x', uid: 'u' }, spec: object({}, {}).spec });
  expect(incomplete({ ...fresh, kind: 'daemonset' })).toContain('has not looked at it yet');
  expect(refusesRollout({ ...fresh, kind: 'daemonset' }, 50)).toMatchObject({ kind: 'retryable' });
});

it.each<[string, Workload, string | null]>([
  ['a paused deployment', deployment({}, { paused: true }), 'kubectl rollout resume deployment/x'],
  ['a deployment of none', deployment({}, { replicas: 0 }), 'is scaled to 0'],
  ['a stateful set of none', statefulSet({}, { replicas: 0 }), 'is scaled to 0'],
  ['a stateful set by hand', statefulSet({}, { updateStrategy: { type: 'OnDelete' } }), 'mend: updateStrategy'],
  ['a stateful set held back', statefulSet({}, rolling(3)), 'keeps those below 3 as they are'],
  ['a stateful set held back in part', statefulSet({}, rolling(2)), null],
  ['a daemon set by hand', daemonSet({}, { updateStrategy: { type: 'OnDelete' } }), 'mend: updateStrategy'],
  ['a daemon set for no node', daemonSet({ desiredNumberScheduled: 0 }), 'is meant for no node'],
  ['a large daemon set', daemonSet({ desiredNumberScheduled: 51 }), 'has 51 pods, and max_pods is 50'],
  ['a daemon set', daemonSet({}), null],
])('%s: why no rollout is started', (_, workload, why) => {
  const refusal = refusesRollout(workload, 50);
  if (why === null) expect(refusal).toBeNull();
  else expect([refusal?.kind, refusal?.message]).toEqual(['permanent', expect.stringContaining(why)]);
});
