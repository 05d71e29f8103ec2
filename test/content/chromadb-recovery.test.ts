// The shipped ChromaDB strategies on a real server: frozen, emptied of its index, with damaged files, and gone.
import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import type { JsonObject } from '../../src/base/json.ts';
import { makeChroma } from '../support/chroma.ts';
import { binaryOf, itWith } from '../support/requires.ts';
import type { ChromaServer } from '../support/chroma.ts';
import { startEngine } from '../support/engine.ts';
import type { EngineUnderTest } from '../support/engine.ts';
import { root } from '../support/servers.ts';

const DOCUMENTS = 2_200;
let folder: string;
let chroma: ChromaServer;
let supervisor: Server;
let control: string;
let amends: EngineUnderTest;

const config = (): string => `
version: 1
rule_files: ["${root}rules/chromadb/*.json"]
runbook_files: ["${root}runbooks/chromadb/*.yaml"]
recovery: { mode: auto, cooldown: { after_failure: 60s, after_success: 0s }, attempts: [ { max: 50, per: 1h } ], budget: [ { max: 50, per: 1h } ], settle: 1s }
components:
  memory:
    kind: chromadb
    inventory:
      static:
        - target: docs
          connect:
            url: "${chroma.url}"
            collection: docs
            path: "${chroma.path}"
            snapshots: "${folder}/snapshots"
            stop: ["${control}", stop]
            start: ["${control}", start]
    allow: { actions: ["chroma.*", "command.run", "degrade.*", "inbox.*", "triage.*"] }
allow: { paths: ["${folder}"], hosts: ["${chroma.host}"], commands: ["${control}"] }
degraded_modes: { chromadb_unavailable: { available: [conversation], unavailable: [search], impact: "no search" } }
`;

const itOnChroma = itWith('chroma');
const isThere = binaryOf('chroma') !== undefined;

beforeAll(async () => {
  if (!isThere) return;
  folder = mkdtempSync(join(tmpdir(), 'amends-chroma-'));
  chroma = await makeChroma(folder);
  await chroma.start();
  await chroma.fill('docs', DOCUMENTS);
  supervisor = createServer((request, response) => {
    if (request.url === '/stop') void chroma.stop().then(() => response.end());
    else {
      chroma.launch();
      response.end();
    }
  });
  await new Promise<void>((resolve) => void supervisor.listen(0, '127.0.0.1', resolve));
  control = join(folder, 'control');
  const { port } = supervisor.address() as AddressInfo;
  writeFileSync(
    control,
    `#!${process.execPath}\nfetch('http://127.0.0.1:${port}/' + process.argv[2]).then((reply) => reply.text());\n`,
  );
  chmodSync(control, 0o755);
  amends = await startEngine({ config: config(), files: {} });
}, 60_000);
afterAll(async () => {
  if (!isThere) return;
  await amends.close();
  await chroma.stop();
  supervisor.closeAllConnections();
  await new Promise((resolve) => void supervisor.close(resolve));
  rmSync(folder, { recursive: true, force: true });
});

let fired = 0;
/** Each a new incident, so that one test's attempts are not another's. */
const fire = (alertname: string): Promise<void> => {
  fired += 1;
  amends.clock.advance(120_000);
  return amends.post([{ labels: { alertname, component: 'memory', target: 'docs', incident: String(fired) } }]);
};
type Run = Awaited<ReturnType<typeof amends.list<'runs'>>>[number];
/** With `ended`, a run that waits to be approved as the next try is left out. */
const newest = async (
  ended = false,
): Promise<{
  run: Run;
  outputs: (step: string) => JsonObject;
  tries: (step: string) => readonly number[];
}> => {
  const [run] = (await amends.list('runs'))
    .filter(({ outcome }) => !ended || outcome !== null)
    .toSorted((left, right) => right.createdAt - left.createdAt);
  if (run === undefined) throw new Error(`no run; decisions: ${JSON.stringify(await amends.list('decisions'))}`);
  const stored = (await amends.store.run(run.id))?.events ?? [];
  return {
    run,
    outputs(step) {
      const found = stored
        .map(({ event }) => event)
        .findLast((event) => event.type === 'step_succeeded' && event.step === step);
      return found !== undefined && 'outputs' in found ? found.outputs : {};
    },
    tries: (step) =>
      stored.filter(({ event }) => event.type === 'step_started' && event.step === step).map(({ at }) => at),
  };
};
const approve = async (): Promise<void> => {
  const { run } = await newest();
  expect(run).toMatchObject({ strategy: 'snapshot_rollback', state: 'awaiting_approval' });
  expect(await amends.engine.desk.approve({ runId: run.id, step: null, by: 'ann', comment: 'go back' })).toMatchObject({
    ok: true,
  });
  await amends.settle();
};
const indexFiles = (): readonly string[] =>
  readdirSync(chroma.path, { recursive: true, encoding: 'utf8' })
    .filter((name) => /(?:header|data_level0)\.bin$/.test(name))
    .map((name) => join(chroma.path, name));
const damage = (file: string): void => writeFileSync(file, Buffer.alloc(readFileSync(file).length, 0xa5));

describe('queries that fail', () => {
  itOnChroma(
    'R7 R18 are tried again after 1.5 s and recovered by the first that succeeds; nothing is changed',
    async () => {
      await chroma.stop();
      const done = fire('ChromaDBQueryTimeout');
      await amends.until(
        async () => (await amends.list('runs')).length > 0 && (await newest()).tries('steps/query').length > 0,
      );
      await chroma.start();
      await done;
      const { run, tries, outputs } = await newest();
      expect(run).toMatchObject({ strategy: 'query_retry', outcome: 'resolved' });
      const waits = tries('steps/query')
        .slice(1)
        .map((at, index) => at - (tries('steps/query')[index] ?? 0));
      expect(waits[0]).toBeGreaterThanOrEqual(1_500);
      expect(tries('steps/query').length).toBeLessThanOrEqual(4);
      expect(outputs('steps/query')).toMatchObject({ found: 5, documents: DOCUMENTS });
      expect(await amends.store.degraded()).toEqual([]);
    },
    60_000,
  );
});

describe('a collection that does not load', () => {
  itOnChroma(
    'R8 is loaded over a new connection and counted',
    async () => {
      await fire('ChromaDBCollectionMissing');
      const { run, outputs } = await newest();
      expect(run).toMatchObject({ strategy: 'collection_reload', outcome: 'resolved' });
      expect(outputs('steps/load')).toMatchObject({ documents: DOCUMENTS, dimension: 16 });
    },
    60_000,
  );
});

describe('an index', () => {
  itOnChroma(
    'R10 is built anew beside the old one, and the collection is searched as before',
    async () => {
      await fire('ChromaDBIndexError');
      const { run, outputs } = await newest();
      expect(run).toMatchObject({ strategy: 'index_rebuild', outcome: 'resolved' });
      expect(outputs('steps/rebuild')).toMatchObject({ documents: DOCUMENTS });
      expect(await chroma.count('docs')).toBe(DOCUMENTS);
      expect(await chroma.count(outputs('steps/rebuild')['replaced_to'] as string)).toBe(DOCUMENTS);
    },
    60_000,
  );
});

describe('damaged files', () => {
  itOnChroma(
    'R9 R18 are rolled back to the newest snapshot by approval, with the same document count; what was there is kept',
    async () => {
      const recovered = await amends.engine.desk.recover({
        component: 'memory',
        target: 'docs',
        strategy: 'snapshot',
        failureType: null,
        inputs: {},
        context: {},
        requireApproval: false,
        override: [],
        reason: 'before the test',
        by: 'ann',
      } as unknown as Parameters<typeof amends.engine.desk.recover>[0]);
      expect(recovered).toMatchObject({ ok: true });
      await amends.settle();
      expect((await newest()).run).toMatchObject({ strategy: 'snapshot', outcome: 'resolved' });
      await chroma.stop();
      for (const file of indexFiles()) damage(file);
      await chroma.start();
      await expect(chroma.count('docs')).rejects.toThrow('500');
      await fire('ChromaDBDataCorruption');
      await approve();
      const { run, outputs } = await newest();
      expect(run).toMatchObject({ strategy: 'snapshot_rollback', outcome: 'resolved', cause: 'verified' });
      expect(outputs('steps/restore')).toMatchObject({ restored: true, documents: DOCUMENTS });
      expect(await chroma.count('docs')).toBe(DOCUMENTS);
      expect(readdirSync(outputs('steps/restore')['replaced_to'] as string)).toContain('chroma.sqlite3');
      expect(await amends.store.degraded()).toEqual([]);
    },
    90_000,
  );

  itOnChroma(
    'R9 F58 R17: without a snapshot that passes nothing is touched, the server is started again, and a human has it',
    async () => {
      for (const name of readdirSync(join(folder, 'snapshots')))
        writeFileSync(join(folder, 'snapshots', name, 'chroma.sqlite3'), '');
      await chroma.stop();
      damage(join(chroma.path, 'chroma.sqlite3'));
      const before = readFileSync(join(chroma.path, 'chroma.sqlite3'));
      await fire('ChromaDBDataCorruption');
      await approve();
      const { run } = await newest(true);
      expect(run).toMatchObject({ strategy: 'snapshot_rollback', outcome: 'unresolved' });
      expect(readFileSync(join(chroma.path, 'chroma.sqlite3'))).toEqual(before);
      expect(await amends.store.degraded()).toMatchObject([{ mode: 'chromadb_unavailable' }]);
      const said = JSON.stringify((await amends.store.run(run.id))?.events);
      expect(said).toContain('passes its check');
      expect(said).toContain('0 bytes instead of');
    },
    90_000,
  );
});
