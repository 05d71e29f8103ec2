// A halt file that is gone before anybody has put it on record must not hold an alert for ever.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { createLedger } from '../support/ledger.ts';
import { configOf, FIRING, mended, openShop } from '../support/shop.ts';

it('F45 an alert that met a halt file which was gone a moment later is decided anew within seconds', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'amends-blip-'));
  const ledger = await createLedger(join(folder, 'ledger.ndjson'));
  const amends = await openShop(configOf(ledger));
  try {
    writeFileSync(amends.haltFile, '');
    await amends.post([FIRING]);
    expect((await amends.list('decisions'))[0]).toMatchObject({ reason: 'halted' });
    rmSync(amends.haltFile);
    amends.clock.advance(11_000);
    await amends.settle();
    expect((await amends.list('decisions'))[0]).toMatchObject({ origin: 'retry', reason: 'admitted' });
    expect(mended(ledger)).toBe(1);
  } finally {
    await amends.close();
    await ledger.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
