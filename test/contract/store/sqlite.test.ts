// The contract of the store, on SQLite.
import { afterEach } from '@jest/globals';
import type { Store } from '../../../src/port/store.ts';
import { openSqliteStore } from '../../../src/store/sqlite.ts';
import { ids, newFolder, silentLog } from './given.ts';
import type { OpenStore } from './given.ts';
import { receiving } from './receiving.ts';

const opened: Store[] = [];
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
});

const openStore: OpenStore = async (clock) => {
  const store = await openSqliteStore({ folder: newFolder(), clock, ids, log: silentLog, owner: 'test', acceptEmptyHistory: false });
  opened.push(store);
  return store;
};

receiving(openStore);
