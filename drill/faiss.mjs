// A vector store (a double of its service, on a real SQLite file) whose database a hung process keeps locked.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { endHolder, startHolder } from '../test/support/holder.ts';
import { startVectorService } from '../test/support/vector-service.ts';

export const available = () =>
  process.platform === 'linux' ? null : 'locks are found by the tables of a Linux kernel';

export const prepare = async ({ folder, root }) => {
  const service = await startVectorService(folder);
  // As shipped, but for its own cap of three an hour.
  const rule = JSON.parse(readFileSync(join(root, 'rules/faiss/faiss-locked.json'), 'utf8'));
  delete rule.event.params.limits;
  const ruleFile = join(folder, 'faiss-locked.json');
  writeFileSync(ruleFile, JSON.stringify(rule));
  let holder = null;
  const letGo = async () => {
    if (holder !== null) await endHolder(holder);
    holder = null;
  };
  const connect = {
    url: service.url,
    database: service.database,
    path: service.database,
    backups: service.backups,
    holders: ['lock-holder'],
    own: ['vector-service'],
    cache: service.cache,
    index: service.index,
    reembed_mark: service.mark,
    stop: [service.control, 'stop'],
    start: [service.control, 'start'],
  };
  return {
    ruleFiles: [ruleFile],
    component: {
      inventory: { static: [{ target: 'vectors', connect }] },
      allow: { actions: ['faiss.*', 'sqlite.*', 'locks.*', 'http.*'] },
    },
    allow: { hosts: [service.host], paths: [folder], commands: [service.control] },
    degradedModes: {
      vector_store_fallback: { available: ['in memory'], unavailable: ['vector search'], impact: 'less' },
    },
    faults: [
      {
        name: 'database locked',
        target: 'vectors',
        strategy: 'lock_recovery',
        alertname: 'FaissLocked',
        figureMs: null,
        source: 'faiss-lock-recovery',
        async break() {
          holder = await startHolder(folder, { path: service.database, does: 'exclusive' }, 'lock-holder');
        },
        healthy: async () => (await fetch(`${service.url}/api/vectors/health`)).ok,
        after: letGo,
      },
    ],
    async close() {
      await letGo();
      await service.close();
    },
  };
};
