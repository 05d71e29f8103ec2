// `amends check --prometheus.url`: a real Prometheus says which metrics, alerts and labels there are; one that does not answer
// is said, and hides nothing else.
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import { itWith } from '../support/requires.ts';
import { runHere } from '../support/checking.ts';
import { getJson, startedHere, until } from '../support/servers.ts';

const servers = startedHere();
afterEach(async () => servers.stopAll(), 30_000);

const SERVED = `groups:
  - name: shop
    interval: 1s
    rules:
      - { record: shop_orders_up, expr: vector(1), labels: { job: shop, env: prod } }
      - { record: shop_queue_length, expr: vector(3), labels: { job: shop, env: prod } }
      - { alert: OrdersBroken, expr: shop_orders_up == 0, labels: { severity: critical, zone: '{{ $labels.env }}' } }
`;

type Given = {
  readonly alert?: string;
  readonly env?: string;
  readonly label?: string;
  readonly asked?: string;
  readonly floor?: string;
  readonly verified?: string;
  readonly job?: string;
};

/** Everything right unless said otherwise. */
const files = async (given: Given = {}): Promise<string> => {
  const at = await servers.folder();
  mkdirSync(join(at, 'rules'));
  mkdirSync(join(at, 'runbooks/shop'), { recursive: true });
  writeFileSync(
    join(at, 'amends.yaml'),
    `prometheus: { url: 'http://127.0.0.1:9090' }
components:
  shop-db:
    kind: shop
    match: ['job="${given.job ?? 'shop'}"']
    inventory: { static: [orders] }
    min_healthy: { query: 'sum by (job) (${given.floor ?? 'shop_orders_up'}{job="shop"})', min: 1 }
`,
  );
  const rule = {
    name: 'orders-broken',
    conditions: {
      all: [
        { fact: 'alertname', operator: 'in', value: ['OrdersBroken', given.alert ?? 'OrdersBroken'] },
        { fact: `label.${given.label ?? 'env'}`, operator: 'equal', value: given.env ?? 'prod' },
        { fact: 'label.zone', operator: 'equal', value: 'anything' },
        { fact: 'label.cluster', operator: 'equal', value: 'one' },
        {
          fact: 'prometheus',
          params: { query: `max(${given.asked ?? 'shop_queue_length'})` },
          operator: 'greaterThan',
          value: 1,
        },
      ],
    },
    event: { type: 'remediate', params: { runbook: 'shop/look' } },
  };
  writeFileSync(join(at, 'rules/orders.json'), JSON.stringify(rule, null, 2));
  writeFileSync(
    join(at, 'runbooks/shop/look.yaml'),
    `version: 1
summary: Look.
steps:
  - { id: wait, uses: wait.for, with: { duration: 1s } }
verify:
  - { query: 'rate(${given.verified ?? 'shop_orders_up'}[5m]) or vector(0)', above: 0.5 }
guide: |
  Look.
`,
  );
  return at;
};

type Told = readonly (readonly [string, string, string, string])[];
const ask = async (at: string, url: string): Promise<Told> => {
  const said = await runHere(['check', `--config.file=${at}/amends.yaml`, `--prometheus.url=${url}`, '--output=json']);
  const { problems } = JSON.parse(said.out) as {
    readonly problems: ReadonlyArray<Readonly<Record<'code' | 'file' | 'pointer' | 'message' | 'mend', string>>>;
  };
  expect(said.code).toBe(problems.length === 0 ? 0 : 1);
  return problems.map(({ code, file, pointer, mend }) => [
    code,
    file.replace(`${at}/`, ''),
    pointer,
    mend.split(';')[0] ?? '',
  ]);
};

describe('amends check --prometheus.url', () => {
  itWith('prometheus')(
    'says which metrics, alerts and labels are not there, where they are named, and what was meant',
    async () => {
      const { url } = await servers.prometheus({
        config: { global: { evaluation_interval: '1s', external_labels: { cluster: 'one' } } },
        rules: { 'shop.yaml': SERVED },
      });
      await until('the series are there', async () => {
        const answer = await getJson<{ data: unknown[] }>(`${url}/api/v1/label/__name__/values`);
        return answer.data.includes('shop_queue_length');
      });
      expect(await ask(await files(), url)).toEqual([]);
      expect(
        await ask(
          await files({
            alert: 'OrdersBrokn',
            env: 'prodd',
            asked: 'shop_queue_lenght',
            floor: 'shop_orders_upp',
            verified: 'shop_order_up',
            job: 'shopp',
          }),
          url,
        ),
      ).toEqual([
        ['unknown-label', 'amends.yaml', '/components/shop-db/match', 'did you mean shop?'],
        ['unknown-metric', 'amends.yaml', '/components/shop-db/min_healthy/query', 'did you mean shop_orders_up?'],
        ['unknown-alert', 'rules/orders.json', '/conditions/all/0/value', 'did you mean OrdersBroken?'],
        ['unknown-label', 'rules/orders.json', '/conditions/all/1/value', 'did you mean prod?'],
        ['unknown-metric', 'rules/orders.json', '/conditions/all/4/params/query', 'did you mean shop_queue_length?'],
        ['unknown-metric', 'runbooks/shop/look.yaml', '/verify/0/query', 'did you mean shop_orders_up?'],
      ]);
      expect(await ask(await files({ label: 'enviroment', env: 'prod' }), url)).toEqual([
        [
          'unknown-label',
          'rules/orders.json',
          '/conditions/all/1/value',
          'correct the name, or put the label on the alert',
        ],
      ]);
    },
    60_000,
  );

  it('one that refuses the connection is said with its mend, and what else is wrong is said too', async () => {
    const probe = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => probe.once('listening', resolve));
    const { port } = probe.address() as AddressInfo;
    await new Promise((resolve) => probe.close(resolve));
    const at = await files();
    writeFileSync(join(at, 'runbooks/shop/other.yaml'), 'version: 1\nsummary: x\n');
    expect((await ask(at, `http://127.0.0.1:${port}`)).map(([code, file]) => [code, file])).toEqual([
      ['prometheus-unreachable', 'amends.yaml'],
      ['missing', 'runbooks/shop/other.yaml'],
      ['missing', 'runbooks/shop/other.yaml'],
      ['no-guide', 'runbooks/shop/other.yaml'],
    ]);
  });

  it('one that takes the connection and never answers is given up on', async () => {
    const mute = createServer(() => undefined).listen(0, '127.0.0.1');
    await new Promise((resolve) => mute.once('listening', resolve));
    const { port } = mute.address() as AddressInfo;
    try {
      const at = await files();
      const said = await runHere([
        'check',
        `--config.file=${at}/amends.yaml`,
        `--prometheus.url=http://127.0.0.1:${port}`,
      ]);
      expect([said.code, said.out]).toEqual([
        1,
        expect.stringMatching(
          /it did not answer within 5s \(--prometheus\.timeout\) \[prometheus-unreachable\]\n {2}mend: .*curl/,
        ),
      ]);
    } finally {
      mute.close();
    }
  }, 20_000);

  it('what is no address is misuse', async () => {
    const at = await files();
    const said = await runHere(['check', `--config.file=${at}/amends.yaml`, '--prometheus.url=prometheus']);
    expect([said.code, said.err]).toEqual([2, expect.stringContaining('is no address')]);
  });
});
