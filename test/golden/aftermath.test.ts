// Conditions on the steps that follow a run: each is asked for itself, and `failed()` says how the run went.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { startEngine } from '../support/engine.ts';
import type { EngineUnderTest } from '../support/engine.ts';
import { createLedger } from '../support/ledger.ts';
import type { Ledger } from '../support/ledger.ts';

const call = (id: string, condition: string): string =>
  `    - { id: ${id}, if: '${condition}', uses: http.request, with: { url: "\${{ connect.url }}/${id}", method: POST }, idempotent: true }`;
const RUNBOOK = `version: 1
summary: Mend the shop.
severity: SEV3
steps:
  - { id: mend, uses: http.request, with: { url: "\${{ connect.url }}/mend", method: POST }, idempotent: true }
verify:
  - { uses: wait.for, with: { duration: 1ms }, need: 1, of: 1, every: 10ms }
on_success:
  steps:
${call('cheer', 'steps.mend.outcome == "succeeded"')}
${call('never', 'failed()')}
on_failure:
  steps:
${call('mourn', 'steps.mend.outcome == "failed"')}
${call('count', 'failed()')}
${call('skipped', 'steps.mend.outcome == "succeeded"')}
guide: Look at the shop.
`;
const RULE = {
  name: 'shop-down',
  priority: 10,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'ShopDown' }] },
  event: { type: 'remediate', params: { runbook: 'shop/mend', mode: 'auto' } },
};

describe('what follows a run', () => {
  let folder: string;
  let ledger: Ledger;
  let amends: EngineUnderTest;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'amends-ledger-'));
    ledger = await createLedger(join(folder, 'ledger.ndjson'));
    amends = await startEngine({
      config: `version: 1
recovery: { mode: auto, settle: 0s }
components:
  shop: { inventory: { static: [one] }, connect: { url: "${ledger.url}" }, allow: { actions: ["http.*", "wait.*"] } }
allow: { hosts: ["${ledger.host}"] }
`,
      files: { 'rules/shop.json': RULE, 'runbooks/shop/mend.yaml': RUNBOOK },
    });
  });
  afterEach(async () => {
    await amends.close();
    await ledger.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const done = (): readonly string[] => ledger.effects().map(({ path }) => path);
  const post = (): Promise<void> =>
    amends.post([{ labels: { alertname: 'ShopDown', component: 'shop', target: 'one' } }]);

  it('asks the conditions of on_success when it is verified', async () => {
    await post();
    expect(done()).toEqual(['/mend', '/cheer']);
  });

  it('asks the conditions of on_failure when it failed, without a word about the failure in them', async () => {
    ledger.answer('/mend', 400);
    await post();
    expect(done()).toEqual(['/mend', '/mourn', '/count']);
  });
});
