// chroma.*: a real server is asked, copied while it runs, damaged in its files, and rolled back.
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import count from '../../../src/actions/chroma/count.ts';
import heartbeat from '../../../src/actions/chroma/heartbeat.ts';
import query from '../../../src/actions/chroma/query.ts';
import rebuildIndex from '../../../src/actions/chroma/rebuild-index.ts';
import restoreSnapshot from '../../../src/actions/chroma/restore-snapshot.ts';
import snapshot from '../../../src/actions/chroma/snapshot.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import type { TestContext } from '../../support/action-context.ts';
import { createContexts, failureOf, perform, textOf } from '../../support/action-context.ts';
import { makeChroma } from '../../support/chroma.ts';
import { binaryOf, itWith } from '../../support/requires.ts';
import type { ChromaServer } from '../../support/chroma.ts';
import { startHttpDouble } from '../../support/http-double.ts';

const contexts = createContexts();
const snapshots = join(contexts.folder, 'snapshots');
let server: ChromaServer;
const context = (timeout = 20_000): TestContext => contexts.make({ allow: { hosts: [server.host] }, timeout });
const at = (): JsonObject => ({ url: server.url, collection: 'docs' });
const copy = async (more: JsonObject = {}): Promise<JsonObject> =>
  perform(snapshot, { url: server.url, path: server.path, snapshots, ...more }, context());

const itOnChroma = itWith('chroma');
const isThere = binaryOf('chroma') !== undefined;

beforeAll(async () => {
  if (!isThere) return;
  server = await makeChroma(contexts.folder);
  await server.start();
  await server.fill('docs', 2_500);
  await server.fill('notes', 40);
  await server.ask('POST', '/tenants/default_tenant/databases/default_database/collections', { name: 'empty' });
}, 60_000);
afterAll(async () => {
  if (isThere) await server.stop();
  await contexts.stop();
});

const indexFiles = (folder = server.path): readonly string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => /(?:header|data_level0)\.bin$/.test(path))
    .map((path) => join(folder, path));
const damage = (path: string): void => writeFileSync(path, Buffer.alloc(readFileSync(path).length, 0xa5));

describe('a server that answers', () => {
  itOnChroma('says its version and how many documents it has, of one collection and of all', async () => {
    expect(await perform(heartbeat, { url: server.url, max_latency: '5s' }, context())).toMatchObject({
      version: '1.0.0',
    });
    expect(await perform(count, { ...at(), min: 2_500 }, context())).toEqual({
      documents: 2_500,
      dimension: 16,
      collections: [{ name: 'docs', documents: 2_500 }],
    });
    expect(await perform(count, { url: server.url }, context())).toMatchObject({ documents: 2_540, dimension: 0 });
  });

  itOnChroma('finds a document by its own embedding', async () => {
    const found = await perform(query, { ...at(), results: 5 }, context());
    expect(found).toMatchObject({ found: 5, documents: 2_500, nearest: 'document-0' });
    expect(found['distance']).toBeCloseTo(0, 5);
  });

  itOnChroma(
    'F31: fewer documents than wanted, an empty or a missing collection are failures that name it',
    async () => {
      const few = await failureOf(perform(count, { ...at(), min: 2_501 }, context()));
      expect(few).toMatchObject({ kind: 'permanent', message: 'docs holds 2500 documents, fewer than 2501' });
      expect(few.outputs).toMatchObject({ documents: 2_500 });
      expect(await failureOf(perform(query, { url: server.url, collection: 'empty' }, context()))).toMatchObject({
        kind: 'permanent',
      });
      const missing = await failureOf(perform(count, { url: server.url, collection: 'nowhere' }, context()));
      expect(missing).toMatchObject({
        kind: 'permanent',
        message: expect.stringContaining('there is no collection nowhere'),
      });
    },
  );
});

describe('a server that does not', () => {
  itOnChroma('F54: unreachable, not declared, or frozen is an error of its own kind within the deadline', async () => {
    const nobody = contexts.make({ allow: { hosts: ['127.0.0.1:1'] } });
    expect(await failureOf(perform(heartbeat, { url: 'http://127.0.0.1:1' }, nobody))).toMatchObject({
      kind: 'retryable',
    });
    expect(await failureOf(perform(heartbeat, { url: server.url }, contexts.make()))).toMatchObject({
      kind: 'permanent',
      message: expect.stringContaining('allow.hosts'),
    });
    server.signal('SIGSTOP');
    try {
      const held = context(500);
      const start = held.clock.monotonic();
      expect(await failureOf(perform(count, at(), held))).toMatchObject({ kind: 'retryable' });
      expect(held.clock.monotonic() - start).toBeLessThan(1_500);
    } finally {
      server.signal('SIGCONT');
    }
  });

  itOnChroma(
    'F54: another service, endless and dripping answers are told from a ChromaDB, and no token is ever shown',
    async () => {
      const double = await startHttpDouble();
      const secret = join(contexts.folder, 'token');
      writeFileSync(secret, 'tok-4711-secret\n');
      const hosts = { allow: { hosts: [double.host] }, timeout: 700 };
      try {
        for (const path of ['', '/hang', '/body-drip', '/endless']) {
          const held = contexts.make(hosts);
          const failed = await failureOf(perform(heartbeat, { url: `${double.url}${path}`, token_file: secret }, held));
          expect(failed.message).not.toContain('tok-4711');
          expect(held.secrets).toEqual(['tok-4711-secret']);
        }
      } finally {
        await double.close();
      }
    },
  );
});

describe('an index built anew', () => {
  itOnChroma(
    'R10 has every document of the old one, is searched before it takes the name, and the old one is kept',
    async () => {
      const before = await server.ask<JsonObject>(
        'GET',
        '/tenants/default_tenant/databases/default_database/collections/docs',
      );
      const done = await perform(rebuildIndex, at(), context(60_000));
      expect(done).toMatchObject({
        documents: 2_500,
        replaced_to: expect.stringMatching(/^docs\.replaced-\d{8}T\d{9}Z$/),
      });
      expect(done['collection_id']).not.toBe(before['id']);
      expect(await server.count('docs')).toBe(2_500);
      expect(await server.count(textOf(done, 'replaced_to'))).toBe(2_500);
      expect(await perform(query, at(), context())).toMatchObject({ found: 5, nearest: 'document-0' });
      const page = await server.ask<JsonObject>(
        'POST',
        `/tenants/default_tenant/databases/default_database/collections/${textOf(done, 'collection_id')}/get`,
        { ids: ['document-7'] },
      );
      expect(page).toMatchObject({ documents: ['text 7'], metadatas: [{ number: 7 }] });
      await server.ask(
        'DELETE',
        `/tenants/default_tenant/databases/default_database/collections/${textOf(done, 'replaced_to')}`,
      );
    },
    60_000,
  );

  itOnChroma('R10 a run that was killed between the two names is finished by the next', async () => {
    const base = '/tenants/default_tenant/databases/default_database/collections';
    await server.ask('POST', base, { name: 'notes.rebuilding', metadata: { amends_rebuilding: 'notes' } });
    const rest = await perform(rebuildIndex, { url: server.url, collection: 'notes', keep_replaced: false }, context());
    expect(rest).toMatchObject({ documents: 40, replaced_to: '' });
    const { id } = await server.ask<{ id: string }>('GET', `${base}/notes`);
    await server.ask('PUT', `${base}/${id}`, {
      new_name: 'notes.rebuilding',
      new_metadata: { amends_rebuilding: 'notes' },
    });
    expect(await perform(rebuildIndex, { url: server.url, collection: 'notes' }, context())).toMatchObject({
      documents: 40,
    });
    expect(await server.count('notes')).toBe(40);
  });

  itOnChroma(
    'F31: an empty collection, one larger than declared, or a name that is taken is left as it is',
    async () => {
      for (const input of [{ collection: 'empty' }, { collection: 'docs', max_documents: 2_499 }]) {
        const refused = context();
        expect(await failureOf(perform(rebuildIndex, { url: server.url, ...input }, refused))).toMatchObject({
          kind: 'permanent',
        });
        expect(refused.beganCount()).toBe(0);
      }
      await server.fill('docs.rebuilding', 3);
      expect(await failureOf(perform(rebuildIndex, at(), context()))).toMatchObject({
        kind: 'permanent',
        message: expect.stringContaining('did not make'),
      });
      expect(await server.count('docs.rebuilding')).toBe(3);
      expect(await server.count('docs')).toBe(2_500);
      await server.ask('DELETE', '/tenants/default_tenant/databases/default_database/collections/docs.rebuilding');
    },
  );
});

describe('a snapshot', () => {
  itOnChroma(
    'R9 of a running server is whole: each file with its checksum, each collection with its documents',
    async () => {
      const taken = await copy();
      expect(taken).toMatchObject({ documents: 2_540 });
      const manifest = JSON.parse(readFileSync(join(textOf(taken, 'path'), 'manifest.json'), 'utf8')) as {
        files: unknown[];
        collections: unknown[];
      };
      expect(manifest.files.length).toBe(taken['files']);
      expect(manifest.collections).toEqual([
        { name: 'docs', documents: 2_500 },
        { name: 'empty', documents: 0 },
        { name: 'notes', documents: 40 },
      ]);
      expect(await server.count('docs')).toBe(2_500);
    },
  );

  itOnChroma('keeps the newest and removes older ones of the same data only', async () => {
    mkdirSync(join(snapshots, 'other-20260101T000000000Z.snapshot'));
    await copy();
    const { removed } = await copy({ keep: 1 });
    expect((removed as unknown[]).length).toBeGreaterThan(0);
    expect(readdirSync(snapshots).filter((name) => name.startsWith('chroma-'))).toHaveLength(1);
    expect(existsSync(join(snapshots, 'other-20260101T000000000Z.snapshot'))).toBe(true);
  });

  itOnChroma('of a folder that is no ChromaDB, or outside of what is allowed, is refused', async () => {
    mkdirSync(join(contexts.folder, 'nothing'));
    expect(
      await failureOf(perform(snapshot, { path: join(contexts.folder, 'nothing'), snapshots }, context())),
    ).toMatchObject({ kind: 'permanent' });
    expect(await failureOf(perform(snapshot, { path: '/var/lib', snapshots }, context()))).toMatchObject({
      kind: 'permanent',
      message: expect.stringContaining('allow.paths'),
    });
  });
});

describe('a rollback', () => {
  const back = (more: JsonObject = {}): Promise<JsonObject> =>
    perform(restoreSnapshot, { path: server.path, snapshots, ...more }, context());

  itOnChroma('is refused while the server runs, which would go on with the files that are replaced', async () => {
    const refused = context();
    const failed = await failureOf(perform(restoreSnapshot, { path: server.path, snapshots }, refused));
    expect(failed).toMatchObject({ kind: 'retryable', message: expect.stringContaining(`${server.pid()} (`) });
    expect(refused.beganCount()).toBe(0);
  });

  itOnChroma(
    'R9 brings a server with damaged files back with the same document count, and keeps the damaged files',
    async () => {
      await copy();
      await server.fill('later', 5);
      await server.stop();
      for (const file of indexFiles()) damage(file);
      await server.start();
      expect(await failureOf(perform(query, at(), context()))).toMatchObject({
        kind: 'retryable',
        message: expect.stringContaining('500'),
      });
      await server.stop();
      const done = await back({ collection: 'docs' });
      expect(done).toMatchObject({ restored: true, documents: 2_500, skipped_snapshots: [] });
      await server.start();
      expect(await server.count('docs')).toBe(2_500);
      expect(await perform(query, at(), context())).toMatchObject({ found: 5, nearest: 'document-0' });
      for (const file of indexFiles(textOf(done, 'replaced_to'))) expect(readFileSync(file)[0]).toBe(0xa5);
    },
    60_000,
  );

  itOnChroma(
    'R9 brings a server back that does not even start, and one whose data is gone',
    async () => {
      await server.stop();
      damage(join(server.path, 'chroma.sqlite3'));
      expect(await back()).toMatchObject({ documents: 2_540 });
      await server.start();
      expect(await server.count('docs')).toBe(2_500);
      await server.stop();
      renameSync(server.path, `${server.path}.lost`);
      expect(await back()).toMatchObject({ documents: 2_540, replaced_to: '' });
      await server.start();
      expect(await server.count('notes')).toBe(40);
    },
    60_000,
  );

  itOnChroma(
    'F58: is refused, with nothing touched, when the snapshot is missing, unfinished, empty, changed or too old',
    async () => {
      await server.stop();
      const good =
        readdirSync(snapshots)
          .filter((name) => name.startsWith('chroma-'))
          .toSorted()
          .at(-1) ?? '';
      const kept = join(contexts.folder, 'kept');
      const state = (): string => JSON.stringify(readdirSync(server.path, { recursive: true }));
      const before = state();
      const spoil: ReadonlyArray<readonly [string, (folder: string) => void]> = [
        ['no manifest', (folder) => rmSync(join(folder, 'manifest.json'))],
        ['empty', (folder) => truncateSync(join(folder, 'chroma.sqlite3'), 0)],
        ['bytes instead of', (folder) => appendFileSync(join(folder, 'chroma.sqlite3'), 'x')],
        ['checksum', (folder) => damage(join(folder, 'chroma.sqlite3'))],
        ['s old', () => undefined],
        [
          'manifest is not one',
          (folder) =>
            writeFileSync(
              join(folder, 'manifest.json'),
              JSON.stringify({
                version: 1,
                at: '',
                of: '',
                collections: [],
                files: [{ path: '../../etc/passwd', bytes: 1, sha256: 'a'.repeat(64) }],
              }),
            ),
        ],
      ];
      for (const [reason, spoilIt] of spoil) {
        rmSync(kept, { recursive: true, force: true });
        mkdirSync(kept);
        cpSync(join(snapshots, good), join(kept, good), { recursive: true });
        spoilIt(join(kept, good));
        const refused = context();
        const failed = await failureOf(
          perform(
            restoreSnapshot,
            { path: server.path, snapshots: kept, ...(reason === 's old' ? { max_age: '1ms' } : {}) },
            refused,
          ),
        );
        expect(failed.kind).toBe('permanent');
        expect(JSON.stringify(failed.outputs)).toContain(reason === 'empty' ? '0 bytes instead' : reason);
        expect(refused.beganCount()).toBe(0);
        expect(state()).toBe(before);
      }
      const none = await failureOf(back({ snapshots: join(contexts.folder, 'none') }));
      expect(none).toMatchObject({ kind: 'permanent', message: expect.stringContaining('none is there') });
      expect(state()).toBe(before);
      utimesSync(server.path, new Date(), new Date());
    },
    60_000,
  );
});
