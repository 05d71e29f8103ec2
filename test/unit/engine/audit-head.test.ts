// Where the audit ends is told to the outside: with everything that is told anyway, and once a day where that is wished.
import { afterEach, describe, expect, it } from '@jest/globals';
import { createAuditHead } from '../../../src/engine/audit-head.ts';
import { sha256 } from '../../../src/base/json.ts';
import { ids, silentLog } from '../../contract/store/given.ts';
import { startEngine } from '../../support/engine.ts';
import type { EngineUnderTest } from '../../support/engine.ts';

const HOUR = 3_600_000;
let amends: EngineUnderTest;
afterEach(() => amends.close());

const teller = (receiver: string | null, seq = () => 7) =>
  createAuditHead({
    clock: amends.clock,
    log: silentLog,
    ids,
    store: amends.store,
    head: async () => ({ seq: seq(), hash: sha256(String(seq())) }),
    show: () => undefined,
    receiver: () => receiver,
  });
const mailed = async () => (await amends.list('outbox')).filter(({ topic }) => topic === 'audit_head');

describe('the head of the audit', () => {
  it('C16: goes to the receiver that is named for it once a day, over a restart too', async () => {
    amends = await startEngine({ config: 'version: 1\nrule_files: []\nrunbook_files: []\n', files: {} });
    const head = teller('archive');
    await head.tick();
    amends.clock.advance(23 * HOUR);
    await head.tick();
    await teller('archive').tick();
    expect(await mailed()).toMatchObject([
      { receiver: 'archive', severity: null, title: `The audit has 7 rows and ends with ${sha256('7')}` },
    ]);
    expect((await mailed())[0]?.body).toContain(`amends audit verify --head=7:${sha256('7')}`);
    amends.clock.advance(HOUR);
    await head.tick();
    expect(await mailed()).toHaveLength(2);
  });

  it('C16: goes to nobody of its own accord', async () => {
    amends = await startEngine({ config: 'version: 1\nrule_files: []\nrunbook_files: []\n', files: {} });
    await teller(null).tick();
    expect(await mailed()).toEqual([]);
  });

  it('C16: goes along with everything that people are told', async () => {
    const sent: unknown[] = [];
    const heard = {
      summary: 'Keeps what it is sent.',
      settings: { safeParse: () => ({ success: true, data: {} }) },
      send: async (_settings: unknown, notification: unknown) => void sent.push(notification),
    };
    amends = await startEngine(
      {
        config:
          'version: 1\nrule_files: []\nrunbook_files: []\nnotify: { receivers: [ { name: all, type: heard } ], routes: [ { receiver: all } ] }\n',
        files: {},
      },
      { notifiers: new Map([['heard', heard as never]]), auditHead: () => '7:abc' },
    );
    await amends.engine.desk.halt({ by: 'ann', reason: 'an exercise', hard: false });
    await amends.store.write(
      [
        {
          type: 'notify',
          id: 'n',
          topic: 't',
          receiver: null,
          severity: 'SEV1',
          component: null,
          target: null,
          runId: null,
          title: 'look',
          body: '',
        },
      ],
      amends.clock.now(),
    );
    await amends.settle();
    expect(sent).toEqual([expect.objectContaining({ id: 'n', title: 'look', auditHead: '7:abc' })]);
  });
});
