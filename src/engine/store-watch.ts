// Watches whether the store can be written. When it cannot, amends is not ready, and people are told past the outbox,
// which lives in the store itself.
import { StoreUnavailable } from '../port/store.ts';
import type { Store } from '../port/store.ts';
import type { EngineContext } from './context.ts';
import type { Loop } from './loop.ts';
import { createLoop } from './loop.ts';
import { tellDirectly } from './outbox.ts';

export type StoreHealth = {
  /** Why it cannot be written, or null. */
  trouble(): string | null;
  /** The same store; every write that fails or succeeds is noted. */
  watched(store: Store): Store;
};

const WRITING = ['receive', 'decide', 'changeRun', 'extendRun', 'write', 'renew', 'outboxDone'] as const;

export const createStoreHealth = (): StoreHealth => {
  let trouble: string | null = null;
  const noting = async <T>(work: Promise<T>): Promise<T> => {
    try {
      const result = await work;
      trouble = null;
      return result;
    } catch (error) {
      if (error instanceof StoreUnavailable) trouble = error.message;
      throw error;
    }
  };
  return {
    trouble: () => trouble,
    watched(store) {
      const watched = Object.create(store) as Store;
      for (const name of WRITING) {
        const verb = store[name] as (...given: readonly unknown[]) => Promise<unknown>;
        Object.defineProperty(watched, name, {
          value: (...given: readonly unknown[]) => noting(verb.apply(store, [...given])),
        });
      }
      return watched;
    },
  };
};

const EVERY_MS = 2_000;

/** Tells once when it begins; while it lasts it tries a write of its own, so that an idle amends sees the end too. */
export const createStoreWatch = (context: EngineContext): Loop => {
  let told = false;
  return createLoop({
    name: 'store-watch',
    clock: context.clock,
    everyMs: EVERY_MS,
    log: context.log,
    async tick() {
      const trouble = context.storeHealth.trouble();
      if (trouble === null) {
        told = false;
        return;
      }
      if (!told) {
        told = true;
        context.log.error({ trouble }, 'the store cannot be written: nothing new is taken in and no step begins');
        await tellDirectly(context, {
          topic: 'store_unavailable',
          severity: 'SEV1',
          title: 'amends cannot write its store: it takes nothing in and begins nothing',
          body: trouble,
        });
      }
      await context.store
        .write(
          [{ type: 'audit', actor: 'amends', action: 'store.written_again', subject: 'store', detail: { trouble } }],
          context.clock.now(),
        )
        .catch(() => undefined);
    },
  });
};
