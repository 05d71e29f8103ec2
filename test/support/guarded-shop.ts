// The smallest world that tests of guards need: shops that one POST mends, and a rule that does so by itself.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEngine } from './engine.ts';
import type { AlertGiven, EngineUnderTest } from './engine.ts';
import { createLedger } from './ledger.ts';
import type { Ledger } from './ledger.ts';

const RULE = {
  name: 'shop-down',
  description: 'The shop is mended.',
  priority: 10,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'ShopDown' }] },
  event: { type: 'remediate', params: { runbook: 'shop/mend', mode: 'auto' } },
};
const RUNBOOK = `
version: 1
summary: Mend the shop.
severity: SEV3
timeout: 20s
steps:
  - { id: mend, uses: http.request, with: { url: "\${{ connect.url }}/mend/\${{ target }}", method: POST }, idempotent: true }
verify:
  - { uses: http.get, with: { url: "\${{ connect.url }}/health" }, need: 1, of: 1, every: 10ms }
on_failure: {}
on_success: {}
guide: Look at the shop.
`;

export type Shop = {
  readonly amends: EngineUnderTest;
  readonly ledger: Ledger;
  /** The targets that were mended, in order. */
  mended(): readonly string[];
  /** The alert of a target, firing since a minute ago. */
  alert(target: string, status?: 'firing' | 'resolved'): AlertGiven;
  reasons(): Promise<readonly string[]>;
  close(): Promise<void>;
};

/** `component` are further keys of the component `shop`, `targets` entries of its inventory. */
export const openShop = async (given: {
  readonly component?: string;
  readonly targets?: readonly string[];
  readonly recovery?: string;
  readonly rest?: string;
}): Promise<Shop> => {
  const folder = mkdtempSync(join(tmpdir(), 'amends-ledger-'));
  const ledger = await createLedger(join(folder, 'ledger.ndjson'));
  const targets = given.targets ?? ['main'];
  const amends = await startEngine({
    config: `
version: 1
recovery: { mode: auto ${given.recovery ?? ''} }
components:
  shop:
    connect: { url: "${ledger.url}" }
    inventory: { static: [ ${targets.join(', ')} ] }
    allow: { actions: ["http.*"] }
    ${given.component ?? ''}
allow: { hosts: ["${ledger.host}"] }
${given.rest ?? ''}
`,
    files: { 'rules/shop.json': RULE, 'runbooks/shop/mend.yaml': RUNBOOK },
  });
  return {
    amends,
    ledger,
    mended: () => ledger.effects().map(({ path }) => path.replace('/mend/', '')),
    alert: (target, status = 'firing') => ({
      status,
      labels: { alertname: 'ShopDown', component: 'shop', target },
      startsAt: amends.clock.now() - 60_000,
    }),
    reasons: async () => (await amends.list('decisions')).map((decision) => decision.reason).toReversed(),
    async close() {
      await amends.close();
      await ledger.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
};
