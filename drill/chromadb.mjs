// A ChromaDB that stands still for a moment in the middle of its queries.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { makeChroma } from '../test/support/chroma.ts';

const COLLECTION = 'documents';
const DOCUMENTS = 200;
const STILL_MS = 1_500;

export const available = () =>
  existsSync(join(import.meta.dirname, '../test/servers/node_modules/.bin/chroma'))
    ? null
    : 'there is no chroma here (npm run setup:servers brings it)';

export const prepare = async ({ folder }) => {
  const server = await makeChroma(folder);
  await server.start();
  await server.fill(COLLECTION, DOCUMENTS);
  return {
    component: {
      inventory: { static: [{ target: 'main', connect: { url: server.url, collection: COLLECTION } }] },
      allow: { actions: ['chroma.*', 'degrade.*', 'inbox.*', 'triage.*'] },
    },
    allow: { hosts: [server.host], paths: [folder] },
    degradedModes: {
      chromadb_unavailable: {
        available: ['basic conversation', 'direct API calls'],
        unavailable: ['semantic search', 'long-term memory'],
        impact: 'search is off',
      },
    },
    faults: [
      {
        name: `still for ${STILL_MS / 1_000} s`,
        strategy: 'query_retry',
        alertname: 'ChromaDBQueryTimeout',
        figureMs: 3_000,
        source: 'recovery-and-failover',
        break() {
          server.signal('SIGSTOP');
          setTimeout(() => server.signal('SIGCONT'), STILL_MS);
        },
        healthy: async () => (await server.count(COLLECTION)) === DOCUMENTS,
        after: () => server.signal('SIGCONT'),
      },
    ],
    close: () => server.stop(),
  };
};
