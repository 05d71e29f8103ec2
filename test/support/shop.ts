// A shop with one way of mending it, whose every effect is written down outside amends: what tests of the present share.
import type { Telemetry } from '../../src/port/telemetry.ts';
import type { EngineUnderTest } from './engine.ts';
import { body, startEngine } from './engine.ts';
import type { Ledger } from './ledger.ts';

export const ALERT = { alertname: 'ShopDown', component: 'shop', target: 'main' } as const;
export const FIRING = { labels: ALERT, startsAt: Date.now() - 60_000 };

export const ruleOf = (params: object = {}, conditions: readonly object[] = []): object => ({
  name: 'shop-down',
  priority: 10,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'ShopDown' }, ...conditions] },
  event: { type: 'remediate', params: { runbook: 'shop/mend', mode: 'auto', ...params } },
});

const HEALTHY = '{ uses: http.get, with: { url: "${{ connect.url }}/health" }, need: 1, of: 1, every: 10ms }';

export const runbookOf = ({ verify = HEALTHY, more = '' }: { verify?: string; more?: string } = {}): string => `
version: 1
summary: Mend the shop.
severity: SEV3
timeout: 20s
steps:
  - id: mend
    uses: http.request
    with: { url: "\${{ connect.url }}/mend", method: POST }
    idempotent: true
${more}
verify:
  - ${verify}
guide: Look at the shop.
`;

export const configOf = (ledger: Ledger, { top = '', component = '', recovery = '' } = {}): string => `
version: 1
${top}
recovery: { mode: auto${recovery === '' ? '' : `, ${recovery}`} }
components:
  shop:
    inventory: { static: [ { target: main, connect: { url: "${ledger.url}" } } ] }
    allow: { actions: ["http.*"] }
    ${component}
allow: { hosts: ["${ledger.host}"] }
`;

export const alertmanagersAt = (...urls: readonly string[]): string =>
  `alertmanagers: [${urls.map((url) => `{ url: "${url}" }`).join(', ')}]`;
export const prometheusAt = (url: string): string => `prometheus: { url: "${url}" }`;

export const openShop = (
  config: string,
  rule: object = ruleOf(),
  runbook: string = runbookOf(),
  telemetry: Partial<Telemetry> = {},
): Promise<EngineUnderTest> =>
  startEngine({ config, files: { 'rules/shop.json': rule, 'runbooks/shop/mend.yaml': runbook } }, { telemetry });

/** The same alert from another source. */
export const postFrom = async (amends: EngineUnderTest, source: string): Promise<void> => {
  await amends.engine.intake.submit(source, body(amends.clock, [FIRING]));
  await amends.settle();
};

/** Newest first, but for what says nothing new. */
export const reasons = async (amends: EngineUnderTest): Promise<readonly string[]> =>
  (await amends.list('decisions')).map(({ reason }) => reason).filter((reason) => reason !== 'duplicate');

export const mended = (ledger: Ledger): number => ledger.effects().filter(({ path }) => path === '/mend').length;
