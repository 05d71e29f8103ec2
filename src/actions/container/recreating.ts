// Puts a new container in the place of an old one. The old one is kept under another name until the new one has run for
// some seconds, and comes back if it does not.
import type Docker from 'dockerode';
import { ActionError } from '../../base/failure.ts';
import type { ActionContext } from '../../port/action.ts';
import type { Engine, Inspected, State } from './engine.ts';
import { stateOf } from './engine.ts';
import { becomesSteady } from './steadiness.ts';

export type Recreate = {
  readonly name: string;
  /** The id of another image, or null for the one that the container has. */
  readonly image: string | null;
  readonly graceMs: number;
  readonly stableMs: number;
};
export type Recreated = { readonly before: State; readonly after: State };

const asideName = (name: string): string => `${name}-replaced`;
/** The engine and its runtime need this long at most to have it running. */
const START_MS = 20_000;

export const recreate = async (
  engine: Engine,
  { name, image, graceMs, stableMs }: Recreate,
  context: ActionContext,
): Promise<Recreated> => {
  const aside = asideName(name);
  const old = await chooseOld(engine, name, aside, context);
  const before = stateOf(old);
  if (old.HostConfig.AutoRemove === true)
    throw new ActionError(
      'permanent',
      `${name} was started with --rm, so it is gone as soon as it stops; mend: container.restart, or start it without --rm`,
    );
  const options = sameAgain(old, image ?? (await sameImage(engine, old)));
  context.signal.throwIfAborted();
  context.began();
  let created = false;
  try {
    await engine.stop(name, graceMs);
    await engine.rename(name, aside);
    created = true;
    await engine.create(options);
    await engine.start(name);
    const after = await becomesSteady(engine, name, { stableMs, withinMs: START_MS + stableMs }, context);
    await engine.remove(aside);
    return { before, after };
  } catch (error) {
    if (context.signal.aborted) throw error;
    await putBack(engine, name, aside, created, before.running, error as Error);
    throw new ActionError(
      'permanent',
      `${name} was not replaced, and the old one is back: ${(error as Error).message}`,
      { cause: error },
    );
  }
};

/** The container of this name; after a crash between two of our steps it stands aside, and is brought back first. */
const chooseOld = async (engine: Engine, name: string, aside: string, context: ActionContext): Promise<Inspected> => {
  const current = await engine.find(name);
  const left = await engine.find(aside);
  if (current !== null && left !== null)
    throw new ActionError(
      'permanent',
      `${aside} is left over from an earlier replacement of ${name}; mend: look which of the two is good and remove the other`,
    );
  if (current === null && left !== null) {
    context.began();
    await engine.rename(aside, name);
  }
  return engine.inspect(name);
};

/** By its tag, as people know it, if that has not been given to another image meanwhile; else by its id. */
const sameImage = async (engine: Engine, { Image: id, Config: { Image: tag } }: Inspected): Promise<string> =>
  (await engine.imageId(tag).catch(() => null)) === id ? tag : id;

/** What it needs to come up as the old one did, its volumes included, also those without a name. */
const sameAgain = (old: Inspected, image: string): Docker.ContainerCreateOptions => {
  const { Config: config, HostConfig: host, Mounts: mounts } = old;
  const named = new Set((host.Binds ?? []).map((bind) => bind.split(':')[1]));
  const kept = mounts
    .filter((mount) => mount.Type === 'volume' && mount.Name !== undefined && !named.has(mount.Destination))
    .map((mount) => `${mount.Name}:${mount.Destination}${mount.RW ? '' : ':ro'}`);
  // podman shows RLIMIT_NOFILE for what it takes as nofile.
  const ulimits = ((host.Ulimits ?? []) as ReadonlyArray<{ readonly Name: string }>).map((limit) => ({
    ...limit,
    Name: limit.Name.replace(/^RLIMIT_/, '').toLowerCase(),
  }));
  const ownNetwork = !/^(?:host|none|container:.*|default|bridge)$/.test(host.NetworkMode ?? '');
  const networks = ownNetwork
    ? Object.fromEntries(
        Object.entries(old.NetworkSettings.Networks).map(([network, { Aliases: aliases }]) => [
          network,
          { Aliases: (aliases as string[] | null)?.filter((alias) => !old.Id.startsWith(alias)) ?? [] },
        ]),
      )
    : {};
  return {
    ...config,
    // The engine gives a name of its own where this is the beginning of the old id.
    Hostname: old.Id.startsWith(config.Hostname) ? '' : config.Hostname,
    name: old.Name.replace(/^\//, ''),
    Image: image,
    HostConfig: { ...host, Binds: [...(host.Binds ?? []), ...kept], Ulimits: ulimits },
    ...(ownNetwork ? { NetworkingConfig: { EndpointsConfig: networks } } : {}),
  };
};

const putBack = async (
  engine: Engine,
  name: string,
  aside: string,
  created: boolean,
  wasRunning: boolean,
  why: Error,
): Promise<void> => {
  try {
    if (created) {
      if ((await engine.find(name)) !== null && (await engine.find(aside)) !== null) await engine.remove(name);
      if ((await engine.find(aside)) !== null) await engine.rename(aside, name);
    }
    if (wasRunning) await engine.start(name);
  } catch (error) {
    throw new ActionError(
      'indeterminate',
      `${name} was not replaced (${why.message}), and the old one could not be brought back (${(error as Error).message}); mend: it is ${name} or ${aside}: rename it to ${name} and start it`,
      { cause: error },
    );
  }
};

/** With an effect begun, only what was put back may say that nothing changed. */
export const honestly = async <T>(work: Promise<T>, begun: () => boolean, name: string): Promise<T> => {
  try {
    return await work;
  } catch (error) {
    if (!begun() || (error instanceof ActionError && error.kind === 'permanent')) throw error;
    throw new ActionError(
      'indeterminate',
      `${name} may be half replaced: ${(error as Error).message}; mend: ${asideName(name)} is the old one, if it is there`,
      { cause: error },
    );
  }
};
