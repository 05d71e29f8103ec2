// Who is told of what, and how often, by a started amends: a database that nothing can be restored for is SEV1, one whose
// WAL cannot be cut down is SEV3, and a listener in place of the telephones keeps what each of them was told.
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { createLauncher } from '../support/command.ts';
import { startJsonServer } from '../support/json-server.ts';
import type { JsonServer } from '../support/json-server.ts';
import { itWith } from '../support/requires.ts';
import { getJson, root, startedHere, until } from '../support/servers.ts';
import type { Running } from '../support/servers.ts';
import { makeDatabase } from '../support/sqlite-files.ts';

type Row = Readonly<Record<string, unknown>>;

const servers = startedHere();
const launcher = createLauncher();
let phones: JsonServer;
beforeAll(async () => {
  phones = await startJsonServer(() => ({ json: {} }));
});
afterAll(async () => {
  await launcher.endAll();
  await servers.stopAll();
  await phones.close();
});

const told = (receiver: string, topic: string): readonly Row[] =>
  phones.asked
    .filter(({ path }) => path === `/${receiver}`)
    .map(({ body }) => body as Row)
    .filter((message) => message['topic'] === topic);
const updates = (component: string): readonly Row[] =>
  told('oncall', 'status_update').filter((message) => message['component'] === component);

/** A later start is one after so much time, for everything that looks at the wall clock. */
const after = (minutes: number): NodeJS.ProcessEnv => ({
  LD_PRELOAD: readdirSync('/usr/lib')
    .map((name) => join('/usr/lib', name, 'faketime/libfaketimeMT.so.1'))
    .find((path) => existsSync(path)),
  FAKETIME: `+${minutes}m`,
  DONT_FAKE_MONOTONIC: '1',
  FAKETIME_DONT_FAKE_MONOTONIC: '1',
});

describe('severities', () => {
  itWith('faketime')(
    'O1 R17 at SEV1 the one on call is told at once and each 15 minutes until a human closes the entry; the team is told of SEV3, once',
    async () => {
      const folder = await servers.folder();
      const databases = { orders: makeDatabase(folder, 'wal'), bills: makeDatabase(folder, 'wal') };
      for (const { backups } of Object.values(databases)) mkdirSync(backups);
      // Nobody can write a WAL into what is a folder.
      const connects = { ...databases, notes: { path: folder, backups: databases.orders.backups } };
      const config = join(folder, 'amends.yaml');
      writeFileSync(
        config,
        JSON.stringify({
          version: 1,
          rule_files: ['database-missing', 'wal-too-large'].map((name) => join(root, `rules/database/${name}.json`)),
          runbook_files: [join(root, 'runbooks/database/*.yaml')],
          recovery: { mode: 'auto', cooldown: { after_failure: '0s' }, attempts: [{ max: 1, per: '1h' }] },
          components: Object.fromEntries(
            Object.entries(connects).map(([name, { path, backups }]) => [
              name,
              {
                kind: 'database',
                inventory: { static: [{ target: name, connect: { path, backups } }] },
                allow: { actions: ['sqlite.*', 'locks.*', 'inbox.*'] },
              },
            ]),
          ),
          degraded_modes: { database_unavailable: { available: [], unavailable: ['all'], impact: 'no orders' } },
          notify: {
            receivers: ['oncall', 'team'].map((name) => ({ name, type: 'webhook', url: `${phones.url}/${name}` })),
            routes: [
              { severity: ['SEV1'], receiver: 'oncall' },
              { severity: ['SEV2', 'SEV3', 'SEV4'], receiver: 'team' },
            ],
          },
          allow: { paths: [folder] },
        }),
      );
      const serve = (env: NodeJS.ProcessEnv = {}): Promise<Running> =>
        servers.amends({ config, env, args: [`--storage.path=${join(folder, 'data')}`] });
      let amends = await serve();
      const post = async (alertname: string, component: string): Promise<void> => {
        const alert = {
          status: 'firing',
          labels: { alertname, component, target: component },
          annotations: {},
          startsAt: new Date().toISOString(),
          endsAt: '0001-01-01T00:00:00Z',
        };
        const response = await fetch(`${amends.url}/webhook/alertmanager`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ version: '4', groupKey: '{}', receiver: 'amends', alerts: [alert] }),
        });
        expect(response.status).toBe(202);
      };
      for (const { path } of Object.values(databases))
        for (const end of ['', '-wal', '-shm']) rmSync(`${path}${end}`, { force: true });
      await post('DatabaseMissing', 'orders');
      await post('DatabaseMissing', 'bills');
      await post('WalTooLarge', 'notes');
      await until('the one on call is told', () => told('oncall', 'escalation').length === 2);
      await until('so is the team', () => told('team', 'escalation').some(({ component }) => component === 'notes'));
      const pages = told('oncall', 'escalation').map(
        ({ severity, component }) => `${String(severity)} ${String(component)}`,
      );
      expect(pages.toSorted()).toEqual(['SEV1 bills', 'SEV1 orders']);
      expect(told('team', 'escalation').map(({ severity }) => severity)).not.toContain('SEV1');
      expect(told('oncall', 'status_update')).toEqual([]);

      await amends.stop();
      amends = await serve(after(16));
      await until('a status update is due on both', () => told('oncall', 'status_update').length === 2);
      expect(updates('orders')).toMatchObject([
        { severity: 'SEV1', title: expect.stringMatching(/^Status update due \(SEV1, every 15m\): /) },
      ]);
      const { items } = await getJson<{ items: readonly Row[] }>(
        `${amends.url}/api/v1/inbox?status=open&kind=escalation`,
      );
      const page = items.find(({ severity, component }) => severity === 'SEV1' && component === 'orders');
      const args = ['inbox', 'close', String(page?.['id']), '--comment=restored by hand', '--by=ann'];
      expect((await launcher.launch([...args, `--url=${amends.url}`], { cwd: folder }).ended).code).toBe(0);

      await amends.stop();
      amends = await serve(after(32));
      await until('another is due on the one that is open', () => updates('bills').length === 2);
      expect(updates('orders')).toHaveLength(1);
      expect(told('team', 'status_update')).toEqual([]);
      expect(told('oncall', 'escalation')).toHaveLength(2);
      await amends.stop();
    },
    90_000,
  );
});
