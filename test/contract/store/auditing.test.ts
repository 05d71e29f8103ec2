// What the audit promises: rows in order, each bound to the one before, in the same transaction as what they tell of.
import { describe, expect, it } from '@jest/globals';
import type { Write } from '../../../src/run/writes.ts';
import { START, everything, heldClock } from './given.ts';
import type { OpenStore } from './given.ts';
import { onEveryStore } from './stores.ts';

const told = (subject: string, actor = 'anna'): Write => ({
  type: 'audit',
  actor,
  action: 'run.approve',
  subject,
  detail: { why: 'ok', left: undefined },
});

const auditing = (openStore: OpenStore): void => {
  describe('the audit', () => {
    it('chains its rows, also when they come at once (C16, I8)', async () => {
      const store = await openStore(heldClock());
      await Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          store.write([told(`run-${index}`), told(`run-${index}`)], START + index),
        ),
      );
      const { items } = await store.list('audit', everything);
      expect(items.map((row) => row.seq)).toEqual(Array.from({ length: 40 }, (_, index) => 40 - index));
      expect(items.map((row) => row.prev).slice(0, -1)).toEqual(items.map((row) => row.hash).slice(1));
      expect(items[0]?.detail).toEqual({ why: 'ok' });
    });

    it('takes back its rows with the change that failed (I8)', async () => {
      const store = await openStore(heldClock());
      const notice = {
        type: 'notify',
        id: 'twice',
        topic: 't',
        receiver: null,
        severity: null,
        component: null,
        target: null,
        runId: null,
        title: '',
        body: '',
      } as const;
      await store.write([told('a'), notice], START);
      await expect(store.write([told('b'), notice], START)).rejects.toMatchObject({
        code: expect.stringMatching(/^SQLITE_CONSTRAINT/),
      });
      await store.write([told('c')], START);
      expect((await store.list('audit', everything)).items.map((row) => [row.seq, row.subject])).toEqual([
        [2, 'c'],
        [1, 'a'],
      ]);
    });
  });
};

onEveryStore(auditing);
