// Which cluster is spoken to, as whom, and with what right; nodes and jobs; and what a server says or does not.
import { describe, expect, it } from '@jest/globals';
import { readFileSync } from 'node:fs';
import { CLIENT_VERSION, loadClient } from '../../../src/actions/kubernetes/client.ts';
import cordon from '../../../src/actions/kubernetes/cordon.ts';
import deletePod from '../../../src/actions/kubernetes/delete-pod.ts';
import node from '../../../src/actions/kubernetes/node.ts';
import pods from '../../../src/actions/kubernetes/pods.ts';
import revisions from '../../../src/actions/kubernetes/revisions.ts';
import rolloutRestart from '../../../src/actions/kubernetes/rollout-restart.ts';
import rolloutUndo from '../../../src/actions/kubernetes/rollout-undo.ts';
import runJob from '../../../src/actions/kubernetes/run-job.ts';
import scale from '../../../src/actions/kubernetes/scale.ts';
import uncordon from '../../../src/actions/kubernetes/uncordon.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import type { Action, ActionContext } from '../../../src/port/action.ts';
import { eventually, failureOf, textOf } from '../../support/action-context.ts';
import {
  useCluster,
  cluster,
  web,
  made,
  connect,
  given,
  context,
  ask,
  fails,
  changes,
  onChange,
} from '../../support/kubernetes-given.ts';
import { answerApi } from '../../support/kubernetes-api.ts';
import type { ClusterReply } from '../../support/kubernetes.ts';

useCluster();

describe('whether amends may', () => {
  it('is asked for everything before anything is changed, by verb, resource, namespace and name', async () => {
    await ask(scale, given({ replicas: 3 }));
    const reviews = cluster.asked.filter(({ path }) => path.includes('selfsubjectaccessreviews'));
    const attributes = reviews.map(
      ({ body }) => (body as { spec: { resourceAttributes: object } }).spec.resourceAttributes,
    );
    const common = { group: 'apps', resource: 'deployments', namespace: 'shop', name: web };
    expect(attributes).toEqual([
      { ...common, verb: 'get' },
      { ...common, verb: 'patch' },
    ]);
    const order = cluster.asked.map(({ method, path }) => (path.includes('accessreviews') ? 'review' : method));
    expect(order).toEqual(['review', 'review', 'GET', 'PATCH']);
  });

  it.each([
    [
      rolloutRestart,
      {},
      'patch deployments',
      '{ apiGroups: ["apps"], resources: ["deployments"], resourceNames: ["web-',
    ],
    [
      rolloutUndo,
      { revision: 1, hash: 'abc', from_hash: 'abd' },
      'list replicasets',
      '{ apiGroups: ["apps"], resources: ["replicasets"], verbs: ["list"] }',
    ],
    [scale, { replicas: 3 }, 'patch deployments', 'resources: ["deployments"], resourceNames: ["web-'],
    [
      deletePod,
      { pod: 'p', uid: '01234567-89ab' },
      'delete pods',
      '{ apiGroups: [""], resources: ["pods"], verbs: ["delete"] }',
    ],
    [
      cordon,
      {},
      'patch nodes',
      'a ClusterRole: { apiGroups: [""], resources: ["nodes"], resourceNames: ["a"], verbs: ["patch"] }',
    ],
    [runJob, {}, 'create jobs', '{ apiGroups: ["batch"], resources: ["jobs"], verbs: ["create"] }'],
  ] as unknown as ReadonlyArray<readonly [Action, JsonObject, string, string]>)(
    'refused: nothing is done, and the rule that would allow it is named (%#)',
    async (action, more, denied, rule) => {
      cluster.node('a');
      cluster.cronJob('report', 'report:1');
      cluster.denied.add(denied);
      const on = context();
      const input = { connect: connect({ node: 'a', cronjob: 'report' }), ...more };
      const { kind, message } = await fails(action, input, on);
      expect([kind, message]).toEqual(['permanent', expect.stringContaining('nothing was done')]);
      expect(message).toContain(rule);
      expect([changes(), on.beganCount()]).toEqual([[], 0]);
    },
  );

  it('of a look that is refused, the Status is shown with the rule that would allow it', async () => {
    cluster.denied.add('list pods');
    const { kind, message } = await fails(pods, given());
    expect(kind).toBe('permanent');
    expect(message).toContain('403: pods "" is forbidden: User "system:serviceaccount:shop:amends" cannot list');
    expect(message).toContain(
      'a Role in the namespace shop: { apiGroups: [""], resources: ["pods"], verbs: ["list"] }',
    );
  });
});

describe('kubernetes.cordon and kubernetes.uncordon', () => {
  const onNode = (name = 'a'): JsonObject => ({ connect: connect({ node: name }) });

  it('keeps new pods off the node, and gives back only what amends has taken', async () => {
    cluster.node('a', false);
    cluster.node('b');
    expect(await ask(node, onNode())).toMatchObject({
      ready: false,
      cordoned: false,
      trouble: 'Ready=Unknown (NodeStatusUnknown)',
    });
    const first = context();
    expect(await ask(cordon, onNode(), first)).toMatchObject({ cordoned: true, by_amends: true, changed: true });
    expect(cluster.world.nodes.get('/a')).toMatchObject({
      spec: { unschedulable: true },
      metadata: { annotations: { 'amends/cordoned-by': first.marker } },
    });
    expect(await ask(cordon, onNode())).toMatchObject({ cordoned: true, changed: false });
    expect(await ask(uncordon, onNode())).toMatchObject({ cordoned: false, changed: true });
    expect(cluster.world.nodes.get('/a')?.spec.unschedulable).toBeUndefined();
  });

  it('the undo of a run that found it cordoned by an earlier one gives nothing back', async () => {
    cluster.node('a', false);
    cluster.node('b');
    const undoOf = async (on: ActionContext): Promise<JsonObject> =>
      (await cordon.run(cordon.input.parse(onNode()), on)).undo ?? {};
    const [first, second] = [context(), { ...context(), marker: 'another/run' }];
    const [own, later, again] = [await undoOf(first), await undoOf(second), await undoOf(first)];
    expect(await ask(uncordon, { ...onNode(), ...later })).toMatchObject({ cordoned: true, changed: false });
    // What a crash leaves: the step has cordoned it in an earlier try.
    expect(again).toEqual(own);
    expect(await ask(uncordon, { ...onNode(), ...own })).toMatchObject({ cordoned: false, changed: true });
  });

  it('a node that a human has cordoned stays so', async () => {
    cluster.node('a', false);
    cluster.node('b');
    const there = cluster.world.nodes.get('/a');
    if (there !== undefined) there.spec.unschedulable = true;
    expect(await ask(cordon, onNode())).toMatchObject({ cordoned: true, by_amends: false, changed: false });
    expect(await ask(uncordon, onNode())).toMatchObject({ cordoned: true, by_amends: false, changed: false });
    expect(changes()).toEqual([]);
  });

  it('a node that a human has given back, and cordoned once more, is theirs: the mark of amends on it is an old one', async () => {
    cluster.node('a', false);
    cluster.node('b');
    await ask(cordon, onNode());
    for (const unschedulable of [null, true]) {
      const query = new URLSearchParams({ fieldManager: unschedulable ? 'kubectl-cordon' : 'kubectl-uncordon' });
      const headers = { 'content-type': 'application/merge-patch+json' };
      const body = { spec: { unschedulable } };
      answerApi(cluster, { method: 'PATCH', path: '/api/v1/nodes/a', query, headers, body });
    }
    cluster.asked.length = 0;
    expect(await ask(node, onNode())).toMatchObject({ cordoned: true, by_amends: false });
    expect(await ask(uncordon, onNode())).toMatchObject({ cordoned: true, by_amends: false, changed: false });
    expect(changes()).toEqual([]);
  });

  it('F31: does nothing when other nodes are away already, or none is left', async () => {
    cluster.node('a', false);
    expect((await fails(cordon, onNode())).message).toContain('no other node would take its pods');
    cluster.node('b', false);
    expect((await fails(cordon, onNode())).message).toContain('no other node would take its pods');
    cluster.node('c', false);
    cluster.node('d');
    expect((await fails(cordon, onNode())).message).toContain(
      '2 other nodes are cordoned or not ready, and max_unavailable is 1: b, c',
    );
    expect(changes()).toEqual([]);
  });
});

describe('kubernetes.run-job', () => {
  const job = (more: JsonObject = {}): JsonObject => ({
    connect: connect({ cronjob: `report-${made}` }),
    every: '50ms',
    ...more,
  });

  it('runs it from the template as it is, with an end, and waits until it has ended well', async () => {
    cluster.cronJob(`report-${made}`, 'report:1');
    const done = await ask(runJob, job({ within: '30s' }));
    expect(done).toMatchObject({ started: true, succeeded: 1, failed: 0 });
    const name = textOf(done, 'job');
    expect(name).toMatch(new RegExp(`^report-${made}-amends-[0-9a-f]{10}$`));
    expect(cluster.world.jobs.get(`shop/${name}`)).toMatchObject({
      metadata: { annotations: { 'cronjob.kubernetes.io/instantiate': 'manual' } },
      spec: { activeDeadlineSeconds: 30, ttlSecondsAfterFinished: 86_400, fromTheFuture: 1 },
    });
  });

  it('the same step runs it once, whatever became of the first try', async () => {
    cluster.cronJob(`report-${made}`, 'report:1');
    const first = context();
    cluster.override = onChange('done-and-reset');
    expect(await fails(runJob, job(), first)).toMatchObject({ kind: 'indeterminate' });
    cluster.override = null;
    expect(await ask(runJob, job(), { ...context(), marker: first.marker })).toMatchObject({
      started: false,
      succeeded: 1,
    });
    expect(
      [...cluster.world.jobs.values()].filter(({ metadata }) => metadata.name.startsWith(`report-${made}-`)),
    ).toHaveLength(1);
  });

  it('one that fails has failed, one that hangs is ended by the cluster', async () => {
    cluster.world.images.set('report:bad', 'crashes').set('report:slow', 'hangs');
    cluster.cronJob(`report-${made}`, 'report:bad');
    const bad = await fails(runJob, job());
    expect([bad.kind, bad.message]).toEqual(['permanent', expect.stringContaining('BackoffLimitExceeded')]);
    cluster.cronJob(`report-${made}`, 'report:slow');
    const slow = await fails(runJob, job({ within: '1s' }));
    expect(['permanent', 'indeterminate']).toContain(slow.kind);
  });

  it('does not run beside another one of a cron job that allows one at a time', async () => {
    const cron = cluster.cronJob(`report-${made}`, 'report:1');
    cron.status.active = [{ name: 'report-1234' }];
    expect((await fails(runJob, job())).message).toContain('report-1234 of the cron job');
    expect(changes()).toEqual([]);
  });
});

describe('what the server says, or does not', () => {
  it.each([
    'reset',
    'done-and-reset',
    { status: 500, json: { message: 'etcdserver: request timed out' } },
    { status: 200, text: '<html>' },
  ] as const)('a change whose answer is %j may have happened', async (reply) => {
    cluster.override = onChange(reply);
    expect(await fails(rolloutRestart, given())).toMatchObject({ kind: 'indeterminate' });
  });

  it.each([
    [{ status: 302, headers: { Location: 'https://elsewhere/' } }, 'permanent', 'redirects are not followed'],
    [{ status: 401, json: { kind: 'Status', message: 'Unauthorized' } }, 'permanent', 'put a new one into the file'],
    [{ status: 404, json: { kind: 'Status', message: 'deployments.apps "x" not found' } }, 'permanent', 'not found'],
    [{ status: 503, json: {} }, 'retryable', 'was answered 503'],
    [{ status: 200, text: '<html>' }, 'permanent', 'was not answered in JSON'],
    [{ status: 200, json: { kind: 'Deployment' } }, 'permanent', 'was answered with something else'],
    ['reset', 'retryable', 'failed'],
    ['endless', 'retryable', 'failed'],
  ] as ReadonlyArray<readonly [ClusterReply, string, string]>)(
    'C7: a look answered %j is %s',
    async (reply, kind, why) => {
      cluster.override = () => reply;
      const failed = await fails(revisions, given());
      expect([failed.kind, failed.message]).toEqual([kind, expect.stringContaining(why)]);
    },
  );

  it('a server that is busy says when to come back, and is asked again then', async () => {
    let busy = 2;
    cluster.override = ({ method }) =>
      method === 'PATCH' && (busy -= 1) >= 0
        ? { status: 429, headers: { 'Retry-After': '0' }, json: { message: 'Too many requests' } }
        : null;
    expect(await ask(rolloutRestart, given())).toMatchObject({ restarted: true });
    expect(changes()).toHaveLength(3);
    cluster.override = ({ method }) => (method === 'PATCH' ? { status: 429, headers: { 'Retry-After': '0' } } : null);
    expect(await fails(rolloutRestart, given())).toMatchObject({ kind: 'retryable' });
  });

  it.each(['hang', 'drip'] as const)('C7: %s is left within a second of being called off', async (reply) => {
    cluster.override = () => reply;
    const on = context();
    const failed = fails(revisions, given(), on);
    await eventually(() => cluster.asked.length > 0);
    const start = on.clock.monotonic();
    on.abort();
    expect(await failed).toMatchObject({ kind: 'retryable' });
    expect(on.clock.monotonic() - start).toBeLessThan(1_000);
  });
});

describe('which cluster, and as whom', () => {
  it('another cluster that answers at the address is never changed', async () => {
    const on = context();
    const wrong = { connect: connect({ cluster_uid: '00000000-0000-0000-0000-000000000000' }) };
    const { kind, message } = await fails(rolloutRestart, wrong, on);
    expect([kind, message]).toEqual(['permanent', expect.stringContaining('another cluster answers')]);
    expect([changes(), on.beganCount()]).toEqual([[], 0]);
    expect(await ask(rolloutRestart, { connect: connect({ cluster_uid: cluster.clusterUid }) })).toMatchObject({
      restarted: true,
    });
  });

  it('C7: a server that allow.hosts does not name is not spoken to', async () => {
    const { kind, message } = await fails(rolloutRestart, given(), context({ allow: { hosts: [] } }));
    expect([kind, message]).toEqual(['permanent', expect.stringContaining('to allow.hosts')]);
    expect(cluster.asked).toEqual([]);
  });

  it('a certificate of another authority is not believed, and the token does not leave', async () => {
    const { ca_file: _ca, ...rest } = connect();
    const { kind } = await fails(rolloutRestart, { connect: rest });
    expect(kind).toBe('permanent');
    expect(cluster.asked).toEqual([]);
  });

  it('I13 C12: a kubeconfig with a token, or with a client certificate, in any of its contexts; its secrets are registered', async () => {
    const { server: _server, token_file: _token, ca_file: _ca, ...place } = connect();
    const kubeconfig = cluster.kubeconfig();
    const on = context();
    expect(await ask(rolloutRestart, { connect: { ...place, kubeconfig } }, on)).toMatchObject({ restarted: true });
    expect(on.secrets).toContain(cluster.token);
    const certificate = context();
    const key = readFileSync(`${kubeconfig.replace(/[^/]+$/, '')}client.key`, 'utf8').trim();
    await ask(rolloutRestart, { connect: { ...place, kubeconfig, context: 'certificate' } }, certificate);
    expect(certificate.secrets).toContain(key);
    expect(cluster.asked.at(-1)?.headers.authorization).toBeUndefined();
  });

  it.each([
    [
      'a program for its credential',
      (text: string) => text.replace(/token: "[^"]+"/, 'exec: { command: /bin/true }'),
      'runs a program',
    ],
    [
      'no check of the certificate',
      (text: string) => text.replace(/certificate-authority-data: [^ ]+ /, 'insecure-skip-tls-verify: true '),
      'would send the token to anybody',
    ],
    [
      'a proxy',
      (text: string) => text.replace('cluster: { server', 'cluster: { proxy-url: "http://127.0.0.1:1", server'),
      'leads past allow.hosts',
    ],
    [
      'somebody else’s name',
      (text: string) => text.replace('user: { token', 'user: { as: root, token'),
      'acts as somebody else',
    ],
    ['plain HTTP', (text: string) => text.replace('https://', 'http://'), 'is not an address like https'],
    [
      'no such context',
      (text: string) => text.replace('current-context: shop', 'current-context: other'),
      'connect.context is one of: shop, certificate',
    ],
    [
      'no credential',
      (text: string) => text.replace(/token: "[^"]+"/, 'x: 1'),
      'neither a token nor a client certificate',
    ],
    ['a slip', (text: string) => text.replace('users:', 'users: ['), 'is refused'],
  ])('a kubeconfig with %s is refused without a word of its secrets', async (_, change, why) => {
    const { server: _server, token_file: _token, ca_file: _ca, ...place } = connect();
    const { kind, message } = await fails(rolloutRestart, {
      connect: { ...place, kubeconfig: cluster.kubeconfig(change) },
    });
    expect([kind, message]).toEqual(['permanent', expect.stringContaining(why)]);
    expect(message).not.toContain(cluster.token);
    expect(cluster.asked).toEqual([]);
  });

  it('needs either a kubeconfig or a server with its token', () => {
    for (const wrong of [
      { server: undefined },
      { kubeconfig: '/a' },
      { token_file: undefined },
      { server: 'http://a' },
    ])
      expect(rolloutRestart.input.safeParse({ connect: { ...connect(), ...wrong } }).success).toBe(false);
  });

  it('without the optional client it says which command installs it', async () => {
    const missing = 'not-there';
    const load = () => import(`@kubernetes/${missing}`) as ReturnType<typeof loadClient>;
    expect(await failureOf(loadClient(load))).toMatchObject({
      kind: 'permanent',
      message: expect.stringContaining(`mend: npm install @kubernetes/client-node@${CLIENT_VERSION}`),
    });
    const { optionalDependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as {
      optionalDependencies: Record<string, string>;
    };
    expect(optionalDependencies['@kubernetes/client-node']).toBe(CLIENT_VERSION);
  });
});
