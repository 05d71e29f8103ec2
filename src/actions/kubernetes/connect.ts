// What a target's `connect` says of its cluster, and where amends then speaks to with which credential: from a kubeconfig,
// or from an address, a token and an authority. What would run a command or believe any certificate is refused.
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Cluster as KubeCluster, KubeConfig, User } from '@kubernetes/client-node';
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { ActionContext } from '../../port/action.ts';
import type { Tls } from '../http/client.ts';
import { absolutePath } from '../inputs.ts';

const SUBDOMAIN = /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/;
const named = (what: string) => z.string().regex(SUBDOMAIN, { message: `the name of ${what}, in small letters` });

export const namespace = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/, { message: 'the name of a namespace, in small letters' });
export const deployment = named('a deployment');
export const statefulSet = named('a stateful set');
export const daemonSet = named('a daemon set');
export const cronJob = named('a cron job');
export const node = named('a node');
export const podName = named('a pod');
export const uid = z.string().regex(/^[0-9a-fA-F-]{8,64}$/, { message: 'a uid as Kubernetes shows it' });

const cluster = {
  /** A file of its own with exactly what amends may do; never an administrator's. */
  kubeconfig: absolutePath.optional(),
  /** Of the kubeconfig, in place of its current-context. */
  context: z.string().min(1).max(253).optional(),
  server: z
    .string()
    .regex(/^https:\/\/[^/?#@\s]+\/?$/, { message: 'the address of an API server: https://host:port' })
    .optional(),
  token_file: absolutePath.optional(),
  ca_file: absolutePath.optional(),
  /** Of the namespace kube-system: another cluster that answers at this address is never changed. */
  cluster_uid: uid.optional(),
};

/**
 * The `connect` of a target: its cluster, and what of it may be changed. A runbook hands it over whole, as
 * `connect: "${{ connect }}"`, so that no label ever names a namespace or a workload.
 */
export const declared = <Shape extends z.ZodRawShape>(shape: Shape) =>
  z
    .looseObject({ ...cluster, ...shape })
    .refine((connect) => (connect['kubeconfig'] === undefined) !== (connect['server'] === undefined), {
      message: 'either kubeconfig, or server with token_file and ca_file, says which cluster is meant',
    })
    .refine((connect) => connect['server'] === undefined || connect['token_file'] !== undefined, {
      message: 'server needs token_file',
    });

/** Of an action on a workload of either kind: exactly one of them is declared. */
export const declaredWorkload = () =>
  declared({
    namespace,
    deployment: deployment.optional(),
    statefulset: statefulSet.optional(),
    daemonset: daemonSet.optional(),
  }).refine((connect) => WORKLOAD_KINDS.filter((kind) => connect[kind] !== undefined).length === 1, {
    message: 'one of deployment, statefulset and daemonset says which workload is meant',
  });

export type WorkloadKind = 'deployment' | 'statefulset' | 'daemonset';
const WORKLOAD_KINDS: readonly WorkloadKind[] = ['deployment', 'statefulset', 'daemonset'];
/** Which workload is meant. */
export type Place = { readonly kind: WorkloadKind; readonly namespace: string; readonly name: string };

export const placeOf = (
  connect: { readonly namespace: string } & { readonly [Kind in WorkloadKind]?: string | undefined },
): Place => {
  const kind = WORKLOAD_KINDS.find((one) => connect[one] !== undefined) ?? 'deployment';
  return { kind, namespace: connect.namespace, name: connect[kind] ?? '' };
};

const CALLED = { deployment: 'deployment', statefulset: 'stateful set', daemonset: 'daemon set' } as const;
/** `stateful set`, for people. */
export const kindName = ({ kind }: Pick<Place, 'kind'>): string => CALLED[kind];
/** `the stateful set db`. */
export const called = (place: Pick<Place, 'kind' | 'name'>): string => `the ${kindName(place)} ${place.name}`;

export type Connect = {
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
  readonly server?: string | undefined;
  readonly token_file?: string | undefined;
  readonly ca_file?: string | undefined;
  readonly cluster_uid?: string | undefined;
};

export type Endpoint = {
  /** `https://host:port`. */
  readonly server: string;
  readonly tls: Tls;
  /** Null: a client certificate is the credential. */
  readonly token: string | null;
};

const readOrRefuse = async (what: string, file: string, read: () => Promise<string>): Promise<string> => {
  try {
    return await read();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
    throw new ActionError('permanent', `the ${what} ${file} cannot be read (${code})`, { cause: error });
  }
};

const readText = (what: string, file: string): Promise<string> =>
  readOrRefuse(what, file, () => readFile(file, 'utf8'));

const tokenIn = (text: string, where: string): string => {
  const token = text.trim();
  if (/^[\x21-\x7e]{1,16384}$/.test(token)) return token;
  throw new ActionError('permanent', `the token in ${where} is empty or holds what a header cannot carry`);
};

/** Each secret that is found on the way is registered, so that it is never shown. */
export const findEndpoint = async (
  newKubeConfig: () => KubeConfig,
  connect: Connect,
  context: ActionContext,
): Promise<Endpoint> => {
  if (connect.kubeconfig !== undefined) return fromKubeconfig(newKubeConfig(), connect.kubeconfig, connect, context);
  const { server = '', token_file: tokenFile = '', ca_file: caFile } = connect;
  const token = tokenIn(await readOrRefuse('token_file', tokenFile, () => context.secret(tokenFile)), tokenFile);
  const ca = caFile === undefined ? {} : { ca: await readText('ca_file', caFile) };
  return { server: server.replace(/\/$/, ''), tls: ca, token };
};

const refuse = (file: string, why: string, mend: string): never => {
  throw new ActionError('permanent', `the kubeconfig ${file} is refused: ${why}; mend: ${mend}`);
};

const fromKubeconfig = async (
  config: KubeConfig,
  file: string,
  { context: wanted }: Connect,
  context: ActionContext,
): Promise<Endpoint> => {
  const text = await readOrRefuse('kubeconfig', file, () => context.secret(file));
  try {
    config.loadFromString(text);
  } catch (error) {
    // The parser shows the lines around the slip, which may be those of the token.
    const { reason, mark } = error as { readonly reason?: string; readonly mark?: { readonly line?: number } };
    const why = reason === undefined ? 'it is not a kubeconfig' : `${reason} in line ${(mark?.line ?? 0) + 1}`;
    return refuse(file, why, 'kubectl --kubeconfig <file> config view shows whether it can be read');
  }
  const name = wanted ?? config.getCurrentContext();
  if (config.getContextObject(name) === null) {
    const known = config.getContexts().map((one) => one.name);
    return refuse(
      file,
      `it has no context ${JSON.stringify(name)}`,
      `connect.context is one of: ${known.slice(0, 20).join(', ') || '(none)'}`,
    );
  }
  config.setCurrentContext(name);
  const found = config.getCurrentCluster();
  const user = config.getCurrentUser();
  if (found === null || user === null)
    return refuse(file, `its context ${name} names a cluster or a user that it does not have`, 'write both into it');
  refuseWhatIsNotSafe(file, found, user);
  const pem = async (what: string, data: string | null | undefined, path: string | null | undefined) => {
    if (typeof data === 'string' && data !== '') return Buffer.from(data, 'base64').toString('utf8');
    return typeof path === 'string' && path !== '' ? readText(what, resolve(dirname(file), path)) : null;
  };
  const ca = await pem('certificate-authority', found.caData, found.caFile);
  const cert = await pem('client-certificate', user.certData, user.certFile);
  const key = await pem('client-key', user.keyData, user.keyFile);
  if (typeof user.keyData === 'string') context.conceal(user.keyData);
  if (key !== null) context.conceal(key.trim());
  const token = typeof user.token === 'string' ? tokenIn(user.token, file) : null;
  if (token !== null) context.conceal(token);
  if (token === null && (cert === null || key === null))
    return refuse(
      file,
      `its user ${user.name} has neither a token nor a client certificate with its key`,
      'put the token of a service account of its own into it: kubectl create token <service account>',
    );
  return {
    server: found.server.replace(/\/$/, ''),
    tls: {
      ...(ca === null ? {} : { ca }),
      ...(cert === null || key === null ? {} : { cert, key }),
      ...(found.tlsServerName === undefined ? {} : { servername: found.tlsServerName }),
    },
    token,
  };
};

/** Missing members are null or undefined, whatever the client's types say. */
const has = (value: unknown): boolean => value !== undefined && value !== null && value !== '';

const refuseWhatIsNotSafe = (file: string, found: KubeCluster, user: User): void => {
  const token = 'use the token of a service account of its own: kubectl create token <service account>';
  if (!/^https:\/\/[^/?#@\s]+\/?$/.test(found.server))
    refuse(file, 'its server is not an address like https://host:port', 'write it so');
  if (found.skipTLSVerify)
    refuse(file, 'insecure-skip-tls-verify would send the token to anybody', 'use certificate-authority-data');
  if (has(found.proxyUrl)) refuse(file, 'proxy-url leads past allow.hosts', 'reach the API server directly');
  if (has(user.exec) || has(user.authProvider))
    refuse(file, `its user ${user.name} runs a program for its credential`, token);
  if (has(user.username) || has(user.password))
    refuse(file, `its user ${user.name} has a password, which API servers no longer take`, token);
  if (has(user.impersonateUser)) refuse(file, `its user ${user.name} acts as somebody else`, token);
};
