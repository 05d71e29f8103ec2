// Samples of input for the actions on containers.
import { join } from 'node:path';
import type { JsonObject } from '../../../src/base/json.ts';
import { startContainerDouble } from '../../support/container-double.ts';
import type { ContainerDouble } from '../../support/container-double.ts';

type Case = {
  readonly good: () => Promise<JsonObject>;
  readonly long?: () => Promise<JsonObject>;
};

export type ContainerCases = { readonly cases: Readonly<Record<string, Case>>; stop(): Promise<void> };

/** What was called off half-way leaves its container half replaced: each of those has one that nobody else uses. */
export const CONTAINERS = ['cache', 'hanging', 'stuck', 'half-recreated', 'half-rolled-back'];

export const containerCases = (folder: string): ContainerCases => {
  const socket = join(folder, 'engine.sock');
  let started: Promise<ContainerDouble> | null = null;
  const put = async (name: string, kind: 'running' | 'stuck' = 'running'): Promise<JsonObject> => {
    const double = await (started ??= startContainerDouble(socket));
    return { socket, container: double.put(name, kind) };
  };
  return {
    cases: {
      'container.recreate': { good: () => put('cache'), long: () => put('half-recreated') },
      'container.restart': { good: () => put('cache'), long: () => put('hanging') },
      'container.rollback-image': {
        good: async () => ({ ...(await put('cache')), image: 'tiny:0' }),
        long: async () => ({ ...(await put('half-rolled-back')), image: 'tiny:0' }),
      },
      'container.wait-ready': { good: () => put('cache'), long: () => put('stuck', 'stuck') },
    },
    async stop() {
      await (await started)?.close();
    },
  };
};
