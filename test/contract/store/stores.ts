// Every store there is. A topic of the contract is run on each of them.
import { afterEach, describe } from '@jest/globals';
import type { Store } from '../../../src/port/store.ts';
import { openMemoryStore, openSqliteStore } from '../../../src/store/sqlite.ts';
import { ids, newFolder, silentLog } from './given.ts';
import type { OpenStore } from './given.ts';

const stores: Readonly<Record<string, OpenStore>> = {
  sqlite: (clock) =>
    openSqliteStore({ folder: newFolder(), clock, ids, log: silentLog, owner: 'test', acceptEmptyHistory: false }),
  memory: async (clock) => openMemoryStore({ clock, ids, log: silentLog }),
};

/** Those that outlive their process: with an audit that somebody reads. */
const LASTING = ['sqlite'];

export const onEveryStore = (topic: (openStore: OpenStore) => void, names = Object.keys(stores)): void => {
  const opened: Store[] = [];
  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close();
  });
  describe.each(names)('on %s', (name) => {
    topic(async (clock) => {
      const store = await stores[name]?.(clock);
      if (store === undefined) throw new Error(`no store ${name}`);
      opened.push(store);
      return store;
    });
  });
};

export const onEveryLastingStore = (topic: (openStore: OpenStore) => void): void => onEveryStore(topic, LASTING);
