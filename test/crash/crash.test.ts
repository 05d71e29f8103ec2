// kill -9 at every call by which a run is written, before its commit and right after it; then a restart. The truth is
// what the target felt, written down outside amends.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { check } from '../../torture/check.ts';
import type { Felt } from '../../torture/ledger.ts';
import { startBuilt, untilFound } from '../support/built.ts';
import type { Built, Fault } from '../support/built.ts';
import { body, writeFiles } from '../support/engine.ts';
import { createLedger } from '../support/ledger.ts';
import type { Ledger } from '../support/ledger.ts';

const BUDGET_MS = 20_000;

/** Polls amends until `found` answers something, at most for the budget, and no longer than it lives. */
const until = <T>(amends: Built, what: string, found: () => Promise<T | undefined>): Promise<T> =>
  untilFound(what, BUDGET_MS, found, amends.hasEnded);

const get = async <T>(amends: Built, path: string): Promise<T> => (await amends.call<T>(path)).body;

type Run = { id: string; state: string; outcome: string | null; cause: string | null };

const rule = (mode: string) => ({
  name: 'shop-down',
  description: 'The shop is mended.',
  priority: 10,
  conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'ShopDown' }] },
  event: { type: 'remediate', params: { runbook: 'shop/mend', mode, accept_destructive: true } },
});
/** Each effect says whose it is, for the checker. */
const request = (path: string, phase = 'steps', id = path.slice(1)): string =>
  `uses: http.request\n    with: { url: "\${{ connect.url }}${path}", method: POST, json: { run: "\${{ run.id }}", step: ${phase}/${id}, target: main } }`;
const head = 'version: 1\nsummary: Mend the shop.\nseverity: SEV3\ntimeout: 20s\nguide: Look at the shop.\n';
const verify = (path: string): string =>
  `verify:\n  - { uses: http.get, with: { url: "\${{ connect.url }}${path}" }, need: 1, of: 1, every: 10ms }\n`;

/** The shapes a run can have. `once`: paths that may be felt at most once; `twice`: idempotent ones, once more after a crash. */
const SHAPES = {
  idempotent: {
    mode: 'auto',
    runbook: `${head}steps:\n  - id: mend\n    ${request('/mend')}\n    idempotent: true\n${verify('/health')}`,
    once: [] as string[],
    twice: ['/mend'],
  },
  mixed: {
    mode: 'auto',
    runbook: `${head}steps:\n  - id: stop\n    ${request('/stop')}\n    idempotent: true\n  - id: charge\n    ${request('/charge')}\n    idempotent: false\n  - id: start\n    ${request('/start')}\n    idempotent: true\n${verify('/health')}`,
    once: ['/charge'],
    twice: ['/stop', '/start'],
  },
  approval: {
    mode: 'approve',
    runbook: `${head}steps:\n  - id: charge\n    ${request('/charge')}\n    idempotent: false\n${verify('/health')}`,
    once: ['/charge'],
    twice: [],
  },
  undo: {
    mode: 'auto',
    runbook: `${head}steps:\n  - id: open\n    ${request('/open')}\n    idempotent: true\n    undo:\n      ${request('/close', 'undo', 'open').replace('\n', '\n  ')}\n      idempotent: true\n${verify('/broken')}`,
    once: [],
    twice: ['/open', '/close'],
  },
} as const;

const prepare = (folder: string, ledger: Ledger, shape: (typeof SHAPES)[keyof typeof SHAPES]): void => {
  ledger.answer('/broken', 500);
  writeFiles(folder, {
    'amends.yaml': `version: 1\nrecovery: { mode: auto, settle: 0s, attempts: [ { max: 1, per: 1h } ] }\ncomponents:\n  shop:\n    inventory: { static: [ { target: main, connect: { url: "${ledger.url}" } } ] }\n    allow: { actions: ["http.*"] }\nallow: { hosts: ["${ledger.host}"] }\n`,
    'rules/shop.json': rule(shape.mode),
    'runbooks/shop/mend.yaml': shape.runbook,
  });
};

/** Answers whatever is asked, and waits until no run is open; gives the runs. */
const rest = (amends: Built): Promise<readonly Run[]> =>
  until(amends, 'the end of every run', async () => {
    const { items } = await get<{ items: Run[] }>(amends, '/api/v1/runs?limit=50');
    for (const run of items.filter(({ state }) => state === 'awaiting_approval')) {
      await amends.call(`/api/v1/runs/${run.id}/approve`, { by: 'ann', comment: 'go' });
    }
    return items.length > 0 && items.every(({ state }) => state === 'done') ? items : undefined;
  });

const AT_REST = { atRest: true, acknowledged: ['1'] } as const;
/** The ledger as the checker reads it. */
const feltIn = (ledger: Ledger): readonly Felt[] =>
  ledger.effects().map(({ body: said, at }) => ({ ...(JSON.parse(said) as Felt), at, left: null }));

/** One case; false when the run ended before the call came. */
const crashAt = async (shape: keyof typeof SHAPES, fault: Fault): Promise<boolean> => {
  const folder = mkdtempSync(join(tmpdir(), 'amends-crash-'));
  const ledger = await createLedger(join(folder, 'ledger.ndjson'));
  let second: Built | null = null;
  const given = SHAPES[shape];
  try {
    prepare(folder, ledger, given);
    const alert = body({ now: () => Date.now() }, [
      { labels: { alertname: 'ShopDown', component: 'shop', target: 'main', n: '1' } },
    ]);
    // Its first call tells what was loaded: who dies at it may not have been ready yet.
    const first = await startBuilt(folder, fault);
    const acknowledged = first !== null && (await first.post(alert));
    const died =
      first === null ||
      (await Promise.race([
        first.gone.then(() => true),
        rest(first).then(
          () => false,
          () => true,
        ),
      ]));
    if (first !== null && !died) {
      await first.kill();
      return false;
    }
    second = await startBuilt(folder);
    if (second === null) throw new Error('amends did not start again');
    if (acknowledged)
      await until(second, 'the decision that was owed', async () =>
        (await get<{ items: unknown[] }>(second as Built, '/api/v1/decisions')).items.length > 0 ? true : undefined,
      );
    await second.post(alert);
    const runs = await rest(second);
    const label = `${shape}, call ${fault.call}, ${fault.when}`;
    const effects = ledger.effects().map((effect) => effect.path);
    const count = (path: string): number => effects.filter((felt) => felt === path).length;
    expect([label, runs.length]).toEqual([label, 1]);
    for (const path of given.once) expect([label, path, count(path) <= 1]).toEqual([label, path, true]);
    for (const path of given.twice) expect([label, path, count(path) <= 2]).toEqual([label, path, true]);
    const { outcome, cause } = runs[0] as Run;
    const ends =
      shape === 'undo'
        ? ['unresolved not_verified']
        : given.once.length > 0
          ? ['resolved verified', 'stuck indeterminate']
          : ['resolved verified'];
    expect([label, ends.includes(`${outcome ?? ''} ${cause ?? ''}`), `${outcome ?? ''} ${cause ?? ''}`]).toEqual([
      label,
      true,
      `${outcome ?? ''} ${cause ?? ''}`,
    ]);
    if (outcome === 'resolved')
      for (const path of [...given.once, ...given.twice])
        expect([label, path, count(path) >= 1]).toEqual([label, path, true]);
    if (outcome === 'stuck') {
      const { items } = await get<{ items: { kind: string; title: string }[] }>(second, '/api/v1/inbox?status=open');
      expect([label, items.filter(({ kind }) => kind === 'escalation').length]).toEqual([label, 1]);
    }
    const { items: decisions } = await get<{ items: { origin: string; reason: string }[] }>(
      second,
      '/api/v1/decisions',
    );
    const acted = decisions.filter(({ reason }) => reason === 'admitted' || reason === 'awaiting_approval');
    expect([label, acted.length]).toEqual([label, 1]);
    await second.kill();
    expect([label, check({ database: join(folder, 'data/amends.db'), ledger: feltIn(ledger), ...AT_REST })]).toEqual([
      label,
      [],
    ]);
    return true;
  } finally {
    await second?.kill();
    await ledger.close();
    rmSync(folder, { recursive: true, force: true });
  }
};

describe('killed at every call, then started again, nothing is lost and nothing is done twice that must not be', () => {
  it.each([
    ['F1 F2 F3 F4 F5 F6 F8 a run of one idempotent step', 'idempotent'],
    ['F5 F6 F8 a run with a step that must not be repeated', 'mixed'],
    ['F4 F5 F6 a run that a human approves', 'approval'],
    ['F7 a run that is undone', 'undo'],
  ] as const)(
    '%s',
    async (_, shape) => {
      let cases = 0;
      for (let call = 1; ; call += 1) {
        const came = await Promise.all([
          crashAt(shape, { call, when: 'inside' }),
          crashAt(shape, { call, when: 'after' }),
        ]);
        if (!came[0] && !came[1]) break;
        cases += came.filter(Boolean).length;
      }
      expect(cases).toBeGreaterThan(10);
    },
    600_000,
  );
});
