// What becomes of old rows of the audit: they leave for archives in order, a slice at a time, and the chain goes on.
import { describe, expect, it } from '@jest/globals';
import type { ArchiveSlice, Store } from '../../../src/port/store.ts';
import type { Write } from '../../../src/run/writes.ts';
import { DAY, START, everything, heldClock } from './given.ts';
import type { OpenStore } from './given.ts';
import { onEveryLastingStore } from './stores.ts';

const told = (subject: string): Write => ({ type: 'audit', actor: 'anna', action: 'halt', subject, detail: {} });
const TODAY = Math.floor(START / DAY) * DAY;

const archiveAll = async (store: Store, before: number, compress = true): Promise<readonly ArchiveSlice[]> => {
  const slices: ArchiveSlice[] = [];
  for (;;) {
    const slice = await store.archiveAudit({ before, compress }, Math.max(before, TODAY) + DAY);
    if (slice.did === 'nothing') return slices;
    slices.push(slice);
    if (slice.did === 'refused') return slices;
  }
};

/** `perDay` rows on each of `days` days, the last of them today. */
const audited = async (store: Store, days: number, perDay: number): Promise<void> => {
  for (let day = days - 1; day >= 0; day -= 1)
    for (let row = 0; row < perDay; row += 1)
      await store.write([told(`${day} days ago, ${row}`)], TODAY - day * DAY + row);
};

const archiving = (openStore: OpenStore): void => {
  describe('the archive of the audit', () => {
    it('R22: takes whole days that are over, one archive each, and leaves what is younger', async () => {
      const store = await openStore(heldClock());
      await audited(store, 4, 5);
      expect(await archiveAll(store, TODAY - DAY)).toMatchObject([
        { did: 'sealed', first: 1, last: 5 },
        { did: 'removed', rows: 5 },
        { did: 'sealed', first: 6, last: 10 },
        { did: 'removed', rows: 5 },
      ]);
      const { items } = await store.list('audit', everything);
      expect(items.map(({ seq, action }) => `${seq} ${action}`).toReversed()).toEqual([
        ...Array.from({ length: 10 }, (_, index) => `${11 + index} halt`),
        '21 audit.sealed',
        '22 audit.sealed',
      ]);
      expect((await store.figures()).archived).toMatchObject({ files: 2, rows: 10 });
      expect(await archiveAll(store, TODAY - DAY)).toEqual([]);
    });

    it('I8: goes on with the chain where it was, also when every row is old', async () => {
      const store = await openStore(heldClock());
      await audited(store, 1, 3);
      await archiveAll(store, TODAY + DAY);
      await store.write([told('after')], TODAY + 2 * DAY);
      const { items } = await store.list('audit', everything);
      expect(items.map(({ seq, subject }) => [seq, subject.slice(0, 5)])).toEqual([
        [5, 'after'],
        [4, 'audit'],
      ]);
      expect(items[0]?.prev).toBe(items[1]?.hash);
      const archived = items[1]?.detail;
      expect(archived).toMatchObject({
        first: 1,
        last: 3,
        digest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/) as unknown,
      });
    });

    it('R22: makes no archive for nothing but the seals of earlier ones', async () => {
      const store = await openStore(heldClock());
      await audited(store, 1, 1);
      await archiveAll(store, TODAY + DAY);
      expect(await archiveAll(store, TODAY + 400 * DAY)).toEqual([]);
      await store.write([told('news')], TODAY + 400 * DAY);
      expect((await archiveAll(store, TODAY + 402 * DAY)).map(({ did }) => did)).toEqual([
        'sealed',
        'removed',
        'sealed',
        'removed',
      ]);
    });

    it('R22: takes no more than 5,000 rows into an archive and 1,000 out of the table at once', async () => {
      const store = await openStore(heldClock());
      await store.write(
        Array.from({ length: 6_200 }, (_, index) => told(String(index))),
        TODAY,
      );
      const slices = await archiveAll(store, TODAY + DAY);
      expect(slices.map((slice) => (slice.did === 'removed' ? slice.rows : slice.did))).toEqual([
        'sealed',
        1_000,
        1_000,
        1_000,
        1_000,
        1_000,
        'sealed',
        1_000,
        200,
      ]);
    }, 30_000);
  });
};

onEveryLastingStore(archiving);
