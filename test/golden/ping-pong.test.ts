// Runbooks whose effects call each other, over a day of alerts that only they cause.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import { createLedger } from '../support/ledger.ts';
import type { Ledger } from '../support/ledger.ts';
import { startEngine } from '../support/engine.ts';
import type { EngineUnderTest } from '../support/engine.ts';

const MINUTE = 60_000;
const rule = (name: string, alertname: string, runbook: string): object => ({
  name, conditions: { all: [{ fact: 'alertname', operator: 'equal', value: alertname }] },
  event: { type: 'remediate', params: { runbook: `shop/${runbook}`, mode: 'auto' } },
});
const runbook = (name: string): string => `
version: 1
summary: Does ${name}.
severity: SEV3
steps:
  - { id: act, uses: http.request, with: { url: "\${{ connect.url }}/${name}" }, idempotent: true }
verify:
  - { uses: http.get, with: { url: "\${{ connect.url }}/health" }, need: 1, of: 1, every: 10ms }
guide: Look.
`;
const config = (host: string): string => `
version: 1
recovery:
  mode: auto
  attempts: [ { max: 1000, per: 1d } ]
  budget: [ { max: 1000, per: 1h } ]
  settle: 10m
  resolve_hold: 1m
  cooldown: { after_failure: 1s, after_success: 0s }
  breaker: { failures: 1000 }
  storm: { min: 100, max: 100 }
components:
  shop:
    inventory: { static: [ { target: main, connect: { url: "http://${host}" } } ] }
    allow: { actions: ["http.*"] }
allow: { hosts: ["${host}"] }
`;

let folder: string;
let ledger: Ledger;
let amends: EngineUnderTest;
afterEach(async () => {
  await amends.close();
  await ledger.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A world in which each runbook silences the alert that it is for and raises the next one of the circle. */
const live = async (names: readonly string[], hours: number): Promise<readonly string[]> => {
  folder = mkdtempSync(join(tmpdir(), 'amends-ping-pong-'));
  ledger = await createLedger(join(folder, 'ledger.ndjson'));
  const files: Record<string, string | object> = Object.fromEntries<string | object>(
    names.flatMap((name): Array<[string, string | object]> => [
      [`rules/${name}.json`, rule(name, `Needs-${name}`, name)],
      [`runbooks/shop/${name}.yaml`, runbook(name)],
    ]),
  );
  amends = await startEngine({ config: config(ledger.host), files });
  let firing = { name: names[0] ?? '', since: amends.clock.now() };
  let seen = 0;
  for (let minute = 0; minute < hours * 60; minute += 1) {
    const done = ledger.effects().map(({ path }) => path.slice(1));
    const last = done.at(-1);
    const resolved: string[] = [];
    if (done.length > seen && last !== undefined) {
      seen = done.length;
      resolved.push(firing.name);
      firing = { name: names[(names.indexOf(last) + 1) % names.length] ?? '', since: amends.clock.now() };
    }
    const alert = (name: string, startsAt: number) => ({ labels: { alertname: `Needs-${name}`, component: 'shop', target: 'main' }, startsAt });
    if (resolved.length > 0 || minute % 5 === 0) {
      await amends.post([
        ...resolved.filter((name) => name !== firing.name).map((name) => ({ ...alert(name, firing.since - 1), status: 'resolved' as const })),
        alert(firing.name, firing.since),
      ]);
    } else await amends.settle();
    amends.clock.advance(MINUTE);
  }
  return ledger.effects().map(({ path }) => path.slice(1));
};

describe('a loop of runbooks', () => {
  it.each([
    ['two', ['grow', 'shrink'], 3],
    ['three', ['grow', 'move', 'shrink'], 5],
  ])('F37 of %s is stopped at its second turn in a day of 24 hours, and a human is told once', async (_, names, most) => {
    const done = await live(names, 24);
    expect(done).toHaveLength(most);
    const runs = await amends.list('runs');
    expect(runs.every(({ outcome }, place) => outcome === (place < runs.length - most ? 'withdrawn' : 'resolved'))).toBe(true);
    const inbox = await amends.list('inbox');
    expect(inbox.filter(({ title }) => title.startsWith('Ping-pong'))).toHaveLength(1);
    expect((await amends.list('outbox')).filter(({ topic }) => topic === 'ping_pong')).toHaveLength(1);
    const asked = inbox.find(({ kind }) => kind === 'approval');
    expect(asked?.title).toContain('asked because ping-pong');
  }, 120_000);

  it('F37 of one is held by settling and its caps: what it raised itself is not answered while it settles', async () => {
    await live(['grow'], 1);
    const at = (await amends.list('runs')).map(({ createdAt }) => createdAt).toReversed();
    for (const [place, time] of at.entries()) if (place > 0) expect(time - (at[place - 1] ?? 0)).toBeGreaterThan(9 * MINUTE);
  }, 60_000);
});
