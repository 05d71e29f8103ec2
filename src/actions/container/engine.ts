// The one way to a container engine: the Docker API over its socket, as Docker and podman both speak it. Only containers
// that allow.containers names are reached, by their whole name, and an engine that hangs is left at the deadline.
import { Agent } from 'node:http';
import type { Duplex } from 'node:stream';
import type Docker from 'dockerode';
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import type { ActionContext } from '../../port/action.ts';
import { absolutePath, duration } from '../inputs.ts';

const LARGEST_REPLY = 16 * 1024 * 1024;

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/;

export const containerInput = {
  /** Its whole name, as allow.containers has it. */
  container: z.string().regex(NAME, { message: 'the name of a container' }),
  /** Of the engine: /var/run/docker.sock, or podman's compatible one. */
  socket: absolutePath,
};
/** From TERM to KILL; the engine counts whole seconds. */
export const graceInput = duration.refine((ms) => ms <= 600_000, { message: 'at most 10m' }).default(10_000);

export type Inspected = Docker.ContainerInspectInfo;
export type State = {
  readonly id: string;
  readonly status: string;
  readonly running: boolean;
  readonly restarts: number;
  readonly startedAt: string;
  readonly exitCode: number;
  readonly image: string;
  /** healthy, unhealthy, starting, or empty without a health check. */
  readonly health: string;
  /** It comes back by itself when it ends. */
  readonly comesBack: boolean;
};

export type Engine = {
  /** Null: there is none of that name. */
  find(name: string): Promise<Inspected | null>;
  inspect(name: string): Promise<Inspected>;
  restart(name: string, graceMs: number): Promise<void>;
  stop(name: string, graceMs: number): Promise<void>;
  start(name: string): Promise<void>;
  rename(name: string, to: string): Promise<void>;
  remove(name: string): Promise<void>;
  create(options: Docker.ContainerCreateOptions): Promise<string>;
  /** The id of an image that the engine has; nothing is pulled. */
  imageId(reference: string): Promise<string>;
};

/** An agent whose replies are bounded. */
const boundedAgent = (): Agent => {
  const agent = new Agent({ keepAlive: false });
  const create = agent.createConnection.bind(agent) as (...args: unknown[]) => Duplex;
  (agent as unknown as { createConnection: typeof create }).createConnection = (...args) => {
    const socket = create(...args);
    let received = 0;
    socket.on('data', (chunk: Buffer) => {
      received += chunk.length;
      if (received > LARGEST_REPLY) socket.destroy(new Error(`its reply is larger than ${LARGEST_REPLY} bytes`));
    });
    return socket;
  };
  return agent;
};

type ApiError = Error & { readonly statusCode?: number; readonly reason?: string; readonly code?: string };

/** What a refusal of the engine means; `changes`: it may have done it all the same. */
const explained = (error: unknown, what: string, socket: string, changes: boolean): ActionError => {
  const { statusCode, code, message } = error as ApiError;
  const text = `${what} failed at ${socket}: ${message.replace(/^\(HTTP code \d+\) /, '').slice(0, 300)}`;
  if (statusCode === undefined) {
    const unreached = code === 'ENOENT' || code === 'ECONNREFUSED';
    if (code === 'EACCES')
      return new ActionError('permanent', `${text}; mend: let amends use ${socket}`, { cause: error });
    if (unreached)
      return new ActionError('retryable', `${text}; mend: does the engine run, and is ${socket} its socket?`, {
        cause: error,
      });
    return new ActionError(changes ? 'indeterminate' : 'retryable', text, { cause: error });
  }
  if (statusCode < 500) return new ActionError('permanent', text, { cause: error });
  return new ActionError(changes ? 'indeterminate' : 'retryable', text, { cause: error });
};

/** Throws `permanent` for a name that is not declared. */
export const allowContainer = (name: string, context: ActionContext): void => {
  if (context.allow.containers.includes(name)) return;
  throw new ActionError(
    'permanent',
    `the container ${name} is not allowed; mend: add "${name}" to allow.containers in the configuration`,
  );
};

/** Does `work` with an engine that is let go of afterwards; rejects as soon as the step is called off. */
export const withEngine = async <T>(
  socket: string,
  context: ActionContext,
  work: (engine: Engine) => Promise<T>,
): Promise<T> => {
  const { signal } = context;
  signal.throwIfAborted();
  // Loaded with the first use: amends has to be ready within a second of its start.
  const { default: Client } = await import('dockerode');
  const agent = boundedAgent();
  // Without `host` the environment's DOCKER_HOST would lead elsewhere.
  const docker = new Client({ socketPath: socket, agent, host: undefined } as unknown as Docker.DockerOptions);
  let onAbort = (): void => undefined;
  const calledOff = new Promise<never>((_, reject) => {
    onAbort = () => {
      agent.destroy();
      reject(signal.reason as Error);
    };
  });
  calledOff.catch(() => undefined);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([work(engineOf(docker, socket, signal, calledOff)), calledOff]);
  } finally {
    signal.removeEventListener('abort', onAbort);
    agent.destroy();
  }
};

const engineOf = (docker: Docker, socket: string, signal: AbortSignal, calledOff: Promise<never>): Engine => {
  const call = async <T>(what: string, changes: boolean, work: () => Promise<T>): Promise<T> => {
    try {
      return await Promise.race([work(), calledOff]);
    } catch (error) {
      if (error instanceof ActionError || signal.aborted) throw error;
      throw explained(error, what, socket, changes);
    }
  };
  const seconds = (ms: number): number => Math.ceil(ms / 1_000);
  /** Already so: 304. */
  const unlessSo = async (work: Promise<unknown>): Promise<void> => {
    try {
      await work;
    } catch (error) {
      if ((error as ApiError).statusCode !== 304) throw error;
    }
  };
  const find = async (name: string): Promise<Inspected | null> => {
    const found = await call(`looking at the container ${name}`, false, async () => {
      try {
        return await docker.getContainer(name).inspect();
      } catch (error) {
        if ((error as ApiError).statusCode === 404) return null;
        throw error;
      }
    });
    // The engine also takes the beginning of an id for a name.
    return found === null || found.Name.replace(/^\//, '') !== name ? null : found;
  };
  return {
    find,
    async inspect(name) {
      const found = await find(name);
      if (found === null) throw new ActionError('permanent', `there is no container ${name}`);
      return found;
    },
    restart: (name, graceMs) =>
      call(`restarting ${name}`, true, async () => {
        await docker.getContainer(name).restart({ t: seconds(graceMs) });
      }),
    stop: (name, graceMs) =>
      call(`stopping ${name}`, true, () => unlessSo(docker.getContainer(name).stop({ t: seconds(graceMs) }))),
    start: (name) => call(`starting ${name}`, true, () => unlessSo(docker.getContainer(name).start())),
    rename: (name, to) =>
      call(`renaming ${name}`, true, async () => {
        await docker.getContainer(name).rename({ name: to });
      }),
    // Volumes stay, named or not: they are where the data is.
    remove: (name) =>
      call(`removing ${name}`, true, async () => {
        await docker.getContainer(name).remove({ force: true, v: false });
      }),
    create: (options) =>
      call(`creating ${options.name ?? ''}`, true, async () => (await docker.createContainer(options)).id),
    imageId: (reference) =>
      call(`looking at the image ${reference}`, false, async () => (await docker.getImage(reference).inspect()).Id),
  };
};

export const stateOf = (found: Inspected): State => {
  const { State: state, HostConfig: host } = found;
  const policy = host.RestartPolicy?.Name ?? '';
  return {
    id: found.Id,
    status: state.Status,
    running: state.Running && !state.Paused && !state.Restarting,
    restarts: found.RestartCount,
    startedAt: state.StartedAt,
    exitCode: state.ExitCode,
    image: found.Image,
    health: state.Health?.Status === 'none' ? '' : (state.Health?.Status ?? ''),
    comesBack: policy !== '' && policy !== 'no',
  };
};
