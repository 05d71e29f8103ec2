// A Kubernetes API server over HTTPS, as far as its documented API is used here: it cannot be had on this machine. It keeps
// objects with resource versions, patches them as that does, refuses by RBAC with Status bodies, pages lists, and
// its controllers work (kubernetes-controllers.ts). Beside it a plain address answers as the service of a deployment would.
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createServer as createPlainServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { Refused, answerApi, statusBody } from './kubernetes-api.ts';
import { reconcile } from './kubernetes-controllers.ts';
import { bump, createWorld, isReady, keyOf, newMeta } from './kubernetes-world.ts';
import type { CronJob, DaemonSet, Deployment, Pod, StatefulSet, World } from './kubernetes-world.ts';

export type AskedOfCluster = {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: unknown;
};
export type ClusterReply =
  | {
      readonly status: number;
      readonly json?: unknown;
      readonly text?: string;
      readonly headers?: Record<string, string>;
    }
  | 'hang'
  | 'reset'
  /** Headers, then a byte now and then, for ever. */
  | 'drip'
  /** More than anybody can hold. */
  | 'endless'
  /** Does what was asked, and breaks the connection before it says so. */
  | 'done-and-reset';

export type KubernetesDouble = {
  readonly url: string;
  readonly host: string;
  readonly clusterUid: string;
  readonly token: string;
  readonly caFile: string;
  readonly tokenFile: string;
  /** Of the service of a deployment: 200 with the image that answers, 503 without a ready pod. */
  service(deployment: string): string;
  readonly world: World;
  readonly asked: AskedOfCluster[];
  override: ((asked: AskedOfCluster) => ClusterReply | null) | null;
  /** `patch deployments`, as RBAC has it: refused by the reviews and by the calls. */
  readonly denied: Set<string>;
  deploy(name: string, image: string, replicas?: number): Deployment;
  /** A new version of it when it is there. */
  statefulSet(name: string, image: string, replicas: number): StatefulSet;
  /** On each node that there is; a new version of it when it is there. */
  daemonSet(name: string, image: string): DaemonSet;
  cronJob(name: string, image: string): CronJob;
  barePod(name: string, labels: Record<string, string>): Pod;
  node(name: string, ready?: boolean): void;
  podsOf(deployment: string): Pod[];
  /** Until no rollout goes on; throws after 20 s. */
  settled(workload: string): Promise<void>;
  /** A kubeconfig beside the certificates; gives its path. */
  kubeconfig(change?: (text: string) => string): string;
  close(): Promise<void>;
};

const NAMESPACE = 'shop';

const parsed = (text: string): unknown => (text === '' ? null : (JSON.parse(text) as unknown));

const write = (response: ServerResponse, status: number, json: unknown, headers: Record<string, string> = {}): void => {
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers });
  response.end(JSON.stringify(json));
};

const misbehave = (
  reply: ClusterReply,
  response: ServerResponse,
  double: KubernetesDouble,
  asked: AskedOfCluster,
): void => {
  if (reply === 'hang') return;
  if (reply === 'reset' || reply === 'done-and-reset') {
    if (reply === 'done-and-reset') answerApi(double, asked);
    response.socket?.destroy();
    return;
  }
  if (typeof reply === 'object') {
    const { status, json, text, headers = {} } = reply;
    if (text === undefined) return write(response, status, json ?? {}, headers);
    response.writeHead(status, { 'Content-Type': 'text/html', ...headers });
    response.end(text);
    return;
  }
  response.writeHead(200, { 'Content-Type': 'application/json' });
  const chunk = reply === 'drip' ? ' ' : ' '.repeat(65_536);
  const timer = setInterval(() => response.write(chunk), reply === 'drip' ? 50 : 1);
  response.on('close', () => clearInterval(timer));
};

const NEW_CERTIFICATE =
  'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -addext subjectAltName=IP:127.0.0.1'.split(
    ' ',
  );
/** A certificate of its own authority for 127.0.0.1, and one for a client. */
const makeCertificates = (folder: string): void => {
  const openssl = (...args: readonly string[]): void =>
    void execFileSync('openssl', args, { stdio: 'ignore', cwd: folder });
  for (const [file, subject] of [
    ['server', '/CN=kube-apiserver'],
    ['client', '/O=system:masters/CN=amends'],
  ] as const)
    openssl(...NEW_CERTIFICATE, '-keyout', `${file}.key`, '-out', `${file}.pem`, '-subj', subject);
};

const listen = (server: ReturnType<typeof createPlainServer>): Promise<number> =>
  new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });

export const startKubernetes = async (): Promise<KubernetesDouble> => {
  const folder = mkdtempSync(join(tmpdir(), 'amends-kubernetes-'));
  makeCertificates(folder);
  const file = (name: string): string => join(folder, name);
  const world = createWorld();
  const token = `ey${randomUUID().replaceAll('-', '')}.${randomUUID()}`;
  writeFileSync(file('token'), `${token}\n`);
  const given = (name: string, image: string, replicas = 2): Deployment => {
    const labels = { app: name };
    const deployment: Deployment = {
      metadata: newMeta(world, name, { namespace: NAMESPACE, labels, generation: 1 }),
      spec: {
        replicas,
        progressDeadlineSeconds: 600,
        selector: { matchLabels: labels },
        // A member that no client of today knows: it has to survive whatever is done.
        template: {
          metadata: { labels },
          spec: { containers: [{ name: 'web', image }], fromTheFuture: { kept: true } },
        },
      },
      status: {},
    };
    world.deployments.set(keyOf(deployment.metadata), deployment);
    reconcile(world);
    return deployment;
  };
  const redeploy = <T extends Deployment | StatefulSet | DaemonSet>(there: T, name: string, image: string): T => {
    there.spec = structuredClone(there.spec);
    there.spec.template.spec.containers = [{ name, image }];
    there.metadata.generation = (there.metadata.generation ?? 0) + 1;
    bump(world, there);
    reconcile(world);
    return there;
  };
  const isRolledOut = (name: string): boolean => {
    const at = keyOf({ namespace: NAMESPACE, name });
    const found = world.deployments.get(at) ?? world.statefulSets.get(at) ?? world.daemonSets.get(at);
    if (found === undefined || found.status.observedGeneration !== found.metadata.generation) return false;
    if ('progressDeadlineSeconds' in found.spec)
      return (found as Deployment).status.conditions?.[0]?.reason === 'NewReplicaSetAvailable';
    if ('serviceName' in found.spec) {
      const { spec, status } = found as StatefulSet;
      return status.readyReplicas === spec.replicas && status.currentRevision === status.updateRevision;
    }
    const { desiredNumberScheduled: wanted, updatedNumberScheduled, numberAvailable } = (found as DaemonSet).status;
    return updatedNumberScheduled === wanted && numberAvailable === wanted;
  };
  const podsOf = (name: string): Pod[] =>
    [...world.pods.values()].filter(({ metadata }) => metadata.labels['app'] === name);
  const double: KubernetesDouble = {
    url: '',
    host: '',
    clusterUid: randomUUID(),
    token,
    caFile: file('server.pem'),
    tokenFile: file('token'),
    service: (name) => `${servicesUrl}/${name}`,
    world,
    asked: [],
    override: null,
    denied: new Set(),
    deploy(name, image, replicas) {
      const there = world.deployments.get(keyOf({ namespace: NAMESPACE, name }));
      if (there === undefined) return given(name, image, replicas);
      return redeploy(there, 'web', image);
    },
    statefulSet(name, image, replicas) {
      const there = world.statefulSets.get(keyOf({ namespace: NAMESPACE, name }));
      if (there !== undefined) return redeploy(there, 'db', image);
      const labels = { app: name };
      const made: StatefulSet = {
        metadata: newMeta(world, name, { namespace: NAMESPACE, labels, generation: 1 }),
        spec: {
          replicas,
          serviceName: name,
          podManagementPolicy: 'OrderedReady',
          updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 0 } },
          selector: { matchLabels: labels },
          template: {
            metadata: { labels },
            spec: { containers: [{ name: 'db', image }], fromTheFuture: { kept: true } },
          },
        },
        status: {},
      };
      world.statefulSets.set(keyOf(made.metadata), made);
      reconcile(world);
      return made;
    },
    daemonSet(name, image) {
      const there = world.daemonSets.get(keyOf({ namespace: NAMESPACE, name }));
      if (there !== undefined) return redeploy(there, 'agent', image);
      const labels = { app: name };
      const made: DaemonSet = {
        metadata: newMeta(world, name, { namespace: NAMESPACE, labels, generation: 1 }),
        spec: {
          updateStrategy: { type: 'RollingUpdate' },
          selector: { matchLabels: labels },
          template: {
            metadata: { labels },
            spec: { containers: [{ name: 'agent', image }], fromTheFuture: { kept: true } },
          },
        },
        status: {},
      };
      world.daemonSets.set(keyOf(made.metadata), made);
      reconcile(world);
      return made;
    },
    cronJob(name, image) {
      const made: CronJob = {
        metadata: newMeta(world, name, { namespace: NAMESPACE }),
        spec: {
          schedule: '0 0 31 2 *',
          concurrencyPolicy: 'Forbid',
          jobTemplate: {
            spec: {
              template: {
                metadata: { labels: {} },
                spec: { containers: [{ name: 'job', image }], restartPolicy: 'Never' },
              },
              fromTheFuture: 1,
            },
          },
        },
        status: {},
      };
      world.cronJobs.set(keyOf(made.metadata), made);
      return made;
    },
    barePod(name, labels) {
      const pod: Pod = {
        metadata: newMeta(world, name, { namespace: NAMESPACE, labels }),
        spec: { containers: [{ name: 'web', image: 'bare:1' }] },
        status: { phase: 'Pending', conditions: [], containerStatuses: [] },
      };
      world.pods.set(keyOf(pod.metadata), pod);
      return pod;
    },
    node(name, ready = true) {
      const made = {
        metadata: newMeta(world, name),
        spec: {},
        status: {
          conditions: [
            { type: 'Ready', status: ready ? 'True' : 'Unknown', reason: ready ? 'KubeletReady' : 'NodeStatusUnknown' },
            { type: 'MemoryPressure', status: 'False' },
          ],
        },
      };
      world.nodes.set(keyOf(made.metadata), made);
    },
    podsOf,
    async settled(name) {
      for (let looks = 0; looks < 2_000; looks += 1) {
        if (isRolledOut(name) && podsOf(name).every(({ metadata }) => metadata.deletionTimestamp === undefined)) return;
        await new Promise((resolve) => {
          setTimeout(resolve, 10);
        });
      }
      throw new Error(`${name} did not settle`);
    },
    kubeconfig(change = (text) => text) {
      const data = (name: string): string => readFileSync(file(name)).toString('base64');
      const text = `apiVersion: v1
kind: Config
current-context: shop
contexts:
  - { name: shop, context: { cluster: shop, user: amends } }
  - { name: certificate, context: { cluster: shop, user: certificate } }
clusters:
  - { name: shop, cluster: { server: "${double.url}", certificate-authority-data: ${data('server.pem')} } }
users:
  - { name: amends, user: { token: "${token}" } }
  - { name: certificate, user: { client-certificate: client.pem, client-key-data: ${data('client.key')} } }
`;
      const path = file(`kubeconfig-${randomUUID()}`);
      writeFileSync(path, change(text));
      return path;
    },
    async close() {
      clearInterval(controllers);
      for (const server of [api, services]) {
        server.closeAllConnections();
        await new Promise((resolve) => {
          server.close(resolve);
        });
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
  const known = (request: IncomingMessage): boolean =>
    request.headers.authorization === `Bearer ${token}` ||
    ((request.socket as TLSSocket).getPeerCertificate() as { subject?: { CN?: string } }).subject?.CN === 'amends';
  const api = createServer(
    {
      key: readFileSync(file('server.key')),
      cert: readFileSync(file('server.pem')),
      ca: readFileSync(file('client.pem')),
      requestCert: true,
      rejectUnauthorized: false,
    },
    (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const { pathname, searchParams } = new URL(request.url ?? '/', 'https://double');
        const body = parsed(Buffer.concat(chunks).toString());
        const one = {
          method: request.method ?? '',
          path: pathname,
          query: searchParams,
          headers: request.headers,
          body,
        };
        double.asked.push(one);
        const reply = double.override?.(one) ?? null;
        if (reply !== null) return misbehave(reply, response, double, one);
        try {
          if (!known(request)) throw new Refused(401, 'Unauthorized', 'Unauthorized');
          const { status, json } = answerApi(double, one);
          write(response, status, json);
        } catch (error) {
          if (!(error instanceof Refused)) throw error;
          write(response, error.status, statusBody(error));
        }
      });
    },
  );
  const services = createPlainServer((request, response) => {
    const pod = podsOf((request.url ?? '/').slice(1)).find(isReady);
    if (pod === undefined) return write(response, 503, { error: 'no endpoints' });
    write(response, 200, { image: pod.spec.containers[0]?.image, pod: pod.metadata.name });
  });
  const [port, servicePort] = await Promise.all([listen(api as unknown as typeof services), listen(services)]);
  const servicesUrl = `http://127.0.0.1:${servicePort}`;
  const controllers = setInterval(() => reconcile(world), 15);
  return Object.assign(double, { url: `https://127.0.0.1:${port}`, host: `127.0.0.1:${port}` });
};
