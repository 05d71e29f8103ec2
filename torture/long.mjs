// One process through very many incidents: whatever it took for them it gives back, memory included.
import { readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { configOf, effect, head, ruleOf, verify } from './content.mjs';
import { checked, checkedHeld } from './expect.mjs';
import { resources } from './resources.ts';
import { openRig } from './rig.ts';

export const covers = [
  'I14 one process through hundreds of incidents, with commands, HTTP, failures and restarts: processes, descriptors, timers, files and memory come back to base',
];

const TARGETS = ['a', 'b', 'c', 'd', 'e'];

const runbook = (host) => `${head}steps:
  - id: mend
    ${effect}
    idempotent: true
  - { id: speak, uses: command.run, with: { argv: [/bin/echo, hello] }, idempotent: true }
  - { id: call, uses: http.request, with: { url: "http://${host}/call", method: POST, json: {} }, idempotent: true }
${verify}`;

/** Alerts about some targets, from their beginning to the end of their episodes. */
const incident = async (rig, random, turn) => {
  const labels = (target) => ({ alertname: 'ShopDown', component: 'shop', target, turn: String(turn) });
  const some = TARGETS.filter(() => random.next() < 0.4);
  for (const target of some) {
    rig.targets.manner(target, random.next() < 0.2 ? 'breaks' : 'well');
    rig.targets.well(target, random.next() < 0.8);
  }
  await rig.submit(some.map((target) => ({ labels: labels(target) })));
  for (let step = 0; step < 4; step += 1) {
    await rig.settle();
    await rig.clock.advance(31_000);
  }
  await rig.submit(some.map((target) => ({ labels: labels(target), status: 'resolved' })));
  if (random.next() < 0.05) await rig.crash();
  await rig.settle();
  await rig.clock.advance(120_000);
  await rig.settle();
};

/** What an engine at rest holds: its record's files are given by name, whatever is in them. */
const atRest = (rig) => {
  const held = resources(rig.clock.waiting(), true);
  const record = readdirSync(join(rig.folder, 'data')).map((name) => join(rig.folder, 'data', name));
  return { ...held, files: [...held.files, ...record] };
};

export default async ({ quick, random, over }) => {
  const server = createServer((request, response) => void request.resume().on('end', () => response.end('{}')));
  await new Promise((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${server.address().port}`;
  const rig = await openRig({
    config: `${configOf(
      {
        attempts: [{ max: 1_000, per: '1h' }],
        budget: [{ max: 1_000, per: '1h' }],
        cooldown: { after_failure: '30s', after_success: '1s' },
        max_concurrent: 5,
        settle: '0s',
        resolve_hold: '1m',
        breaker: { failures: 1_000, trials: ['1h'] },
        storm: { min: 100, max: 100, share: '100%', components: 100, gather: '0s' },
      },
      { shop: { targets: [...TARGETS, 'quiet'], allow: { actions: ['torture.*', 'http.*', 'command.*'] } } },
    )}allow: { hosts: ["${host}"], commands: [/bin/echo] }\n`,
    files: {
      'rules/shop.json': ruleOf('shop-down', 'ShopDown', 'shop/mend'),
      'runbooks/shop/mend.yaml': runbook(host),
    },
  });
  try {
    const turns = quick ? 90 : 10_000;
    const warm = turns / 3;
    let before = null;
    let turn = 0;
    for (; turn < turns && !(turn > warm && over()); turn += 1) {
      if (turn === Math.ceil(warm)) before = atRest(rig);
      await incident(rig, random, turn);
    }
    const after = atRest(rig);
    checkedHeld(`${turn} incidents`, { before, after });
    const ledger = rig.targets.felt();
    checked(`${turn} incidents`, { database: rig.database, ledger, atRest: true, oneClock: true });
    const mib = (bytes) => (bytes / 1_048_576).toFixed(1);
    return `${turn} incidents, ${ledger.length} effects: ${mib(before.memory)} MiB after a third of them, ${mib(after.memory)} MiB at the end; ${after.descriptors} descriptors, ${after.timers} timers, ${after.processes.length} processes`;
  } finally {
    await rig.close();
    server.closeAllConnections();
    server.close();
  }
};
