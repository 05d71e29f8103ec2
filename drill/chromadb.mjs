// A ChromaDB that stands still for a moment in the middle of its queries, and one whose database is damaged after a snapshot.
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { makeChroma } from '../test/support/chroma.ts';
import { getJson, until } from '../test/support/servers.ts';

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
  const damaged = await makeChroma(folder, 'damaged');
  await damaged.start();
  await damaged.fill(COLLECTION, DOCUMENTS);
  const supervisor = createServer((request, response) => {
    if (request.url === '/stop') void damaged.stop().then(() => response.end());
    else {
      damaged.launch();
      response.end();
    }
  });
  await new Promise((resolve) => supervisor.listen(0, '127.0.0.1', resolve));
  const control = join(folder, 'control');
  writeFileSync(
    control,
    `#!${process.execPath}\nfetch('http://127.0.0.1:${supervisor.address().port}/' + process.argv[2]).then((reply) => reply.text());\n`,
  );
  chmodSync(control, 0o755);
  const snapshot = async (url) => {
    const response = await fetch(`${url}/api/v1/recoveries`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ component: 'chromadb', target: 'damaged', strategy: 'snapshot', by: 'drill' }),
    });
    const { runId } = await response.json();
    await until('a snapshot is made', async () => {
      const { state, outcome } = await getJson(`${url}/api/v1/runs/${runId}`);
      if (state === 'done' && outcome !== 'resolved') throw new Error(`the snapshot is ${outcome}`);
      return state === 'done';
    });
  };
  return {
    component: {
      inventory: {
        static: [
          { target: 'main', connect: { url: server.url, collection: COLLECTION } },
          {
            target: 'damaged',
            connect: {
              url: damaged.url,
              collection: COLLECTION,
              path: damaged.path,
              snapshots: join(folder, 'snapshots'),
              stop: [control, 'stop'],
              start: [control, 'start'],
            },
          },
        ],
      },
      allow: { actions: ['chroma.*', 'command.run', 'degrade.*', 'inbox.*', 'triage.*'] },
    },
    allow: { hosts: [server.host, damaged.host], paths: [folder], commands: [control] },
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
      {
        name: 'database damaged after a snapshot',
        target: 'damaged',
        strategy: 'snapshot_rollback',
        alertname: 'ChromaDBDataCorruption',
        figureMs: 30_000,
        source: 'recovery-and-failover',
        asks: true,
        async break({ url }) {
          await snapshot(url);
          await damaged.stop();
          const file = join(damaged.path, 'chroma.sqlite3');
          writeFileSync(file, Buffer.alloc(readFileSync(file).length, 0xa5));
        },
        healthy: async () => (await damaged.count(COLLECTION)) === DOCUMENTS,
      },
    ],
    async close() {
      supervisor.closeAllConnections();
      await new Promise((resolve) => supervisor.close(resolve));
      await Promise.all([server.stop(), damaged.stop()]);
    },
  };
};
