// The contract of the store, on SQLite.
import { afterEach } from '@jest/globals';
import type { Store } from '../../../src/port/store.ts';
import { openSqliteStore } from '../../../src/store/sqlite.ts';
import { ids, newFolder, silentLog } from './given.ts';
import type { OpenStore } from './given.ts';
import { admitting } from './admitting.ts';
import { auditing } from './auditing.ts';
import { controls } from './controls.ts';
import { deciding } from './deciding.ts';
import { episodes } from './episodes.ts';
import { leases } from './leases.ts';
import { lists } from './lists.ts';
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

for (const topic of [receiving, deciding, admitting, leases, episodes, controls, auditing, lists]) topic(openStore);
