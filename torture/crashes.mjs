// A built amends is killed with SIGKILL at random moments under a stream of alerts, started again, and killed again.
// The truth is what the targets felt and what was answered 202.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { writeFiles } from '../test/support/engine.ts';
import { configOf, ruleOf } from './content.mjs';
import { checked } from './expect.mjs';
import { readLedger } from './rig.ts';
import { bodyOf, createTarget, pause, serve, until } from './served.mjs';

export const covers = [
  'F1 F2 F3 F4 F5 F6 F7 F8 F11 I3 I4 I5 I6 I8 I9 random kill -9 under a stream of alerts: nothing acknowledged is lost, nothing is repeated that must not be, every run ends',
  'I1 I2 I10 caps, order on a target and cooldowns hold over the restarts',
];

const step = (name, path, idempotent, phase = 'steps', id = name) =>
  `  - id: ${name}\n    uses: http.request\n    with: { url: "\${{ connect.url }}/${path}", method: POST, json: { run: "\${{ run.id }}", step: ${phase}/${id}, target: "\${{ target.name }}" } }\n    idempotent: ${idempotent}\n`;
const undo = (name) =>
  step(name, name, true, 'undo')
    .replace(/ {2}- id: .*\n/, '    undo:\n')
    .replaceAll('\n    uses', '\n      uses')
    .replaceAll('\n    with', '\n      with')
    .replaceAll('\n    idempotent', '\n      idempotent');
const verify = (path) =>
  `verify:\n  - { uses: http.get, with: { url: "\${{ connect.url }}/${path}" }, need: 1, of: 2, every: 10ms }\n`;
const HEAD = 'version: 1\nsummary: Mend it.\nseverity: SEV3\ntimeout: 20s\nguide: Look at it.\n';

const SHAPES = {
  single: { mode: 'auto', text: `${HEAD}steps:\n${step('mend', 'mend', true)}${verify('health')}` },
  mixed: {
    mode: 'auto',
    text: `${HEAD}steps:\n${step('stop', 'stop', true)}${step('charge', 'charge', false)}${step('start', 'start', true)}${verify('flaky')}`,
  },
  asked: { mode: 'approve', text: `${HEAD}steps:\n${step('charge', 'charge', false)}${verify('health')}` },
  undone: {
    mode: 'auto',
    text: `${HEAD}steps:\n${step('open', 'open', true)}${undo('open')}${step('charge', 'charge', false)}${verify('broken')}`,
  },
};
const TARGETS = ['a', 'b', 'c'];
/** Declared and never firing, so that three at once are not all of them: that would be a storm. */
const QUIET = ['d', 'e', 'f', 'g'];

const prepare = (folder, host) => {
  const recovery = {
    settle: '0s',
    resolve_hold: '1s',
    attempts: [{ max: 8, per: '5s' }],
    budget: [{ max: 20, per: '5s' }],
    cooldown: { after_failure: '40ms', after_success: '10ms' },
    max_concurrent: 2,
    breaker: { failures: 1_000, trials: ['1h'] },
    storm: { min: 100, max: 100, share: '100%', components: 100, gather: '0s' },
    approval: { remind: '5m', escalate: '10m', expires: '30m' },
  };
  const targets = (kind) =>
    [...TARGETS, ...QUIET].map((name) => ({ target: `${kind}-${name}`, connect: { url: `http://${host}` } }));
  writeFiles(folder, {
    'amends.yaml': `${configOf(recovery, Object.fromEntries(Object.keys(SHAPES).map((kind) => [kind, { targets: targets(kind) }])))}allow: { hosts: ["${host}"] }\n`,
    ...Object.fromEntries(
      Object.entries(SHAPES).flatMap(([kind, { mode, text }]) => [
        [`rules/${kind}.json`, ruleOf(kind, `${kind}Down`, `${kind}/mend`, mode)],
        [`runbooks/${kind}/mend.yaml`, text],
      ]),
    ),
  });
};

/** People at work: they answer what is asked and take what is stuck. */
const people = async (amends, random) => {
  const runs = await amends.call('/api/v1/runs?limit=100');
  for (const run of runs.body.items.filter(({ state }) => state === 'awaiting_approval'))
    await amends.call(`/api/v1/runs/${run.id}/${random.next() < 0.85 ? 'approve' : 'deny'}`, {
      by: 'ann',
      comment: 'so be it',
    });
  const inbox = await amends.call('/api/v1/inbox?status=open&limit=100');
  for (const { id } of inbox.body.items.filter(({ kind }) => kind === 'escalation'))
    await amends.call(`/api/v1/inbox/${id}/close`, { by: 'ann', comment: 'seen to' });
  const { items } = (await amends.call('/api/v1/components')).body;
  for (const { name, disabled } of items)
    if (disabled) await amends.call(`/api/v1/components/${name}/enable`, { by: 'ann' });
};

/** Posts until amends is gone; what was answered 202 goes on record. */
const stream = async (amends, random, state) => {
  let gone = false;
  void amends.gone.then(() => (gone = true));
  for (let turn = 0; !gone && turn < 400; turn += 1) {
    const alerts = Array.from({ length: 1 + random.below(3) }, () => {
      const old = state.firing.length > 0 && (state.firing.length > 10 || random.next() < 0.35);
      if (old) {
        const labels = state.firing.splice(random.below(state.firing.length), 1)[0];
        return { labels: { ...labels, n: labels.n }, status: 'resolved' };
      }
      const kind = random.of(Object.keys(SHAPES));
      const labels = {
        alertname: `${kind}Down`,
        component: kind,
        target: `${kind}-${random.of(TARGETS)}`,
        n: `${(state.made += 1)}`,
      };
      return { labels };
    });
    const acknowledged = await amends.post(bodyOf(alerts));
    for (const { labels, status } of alerts) {
      if (acknowledged) state.acknowledged.add(labels.n);
      if (status !== 'resolved') state.firing.push(labels);
    }
    if (turn % 3 === 2) await people(amends, random).catch(() => undefined);
    await pause(random.below(30));
  }
};

/** One database through many restarts, then left in peace until nothing is under way. */
const life = async (restarts, random, end) => {
  const folder = mkdtempSync(join(tmpdir(), 'amends-crashes-'));
  const ledger = join(folder, 'ledger.ndjson');
  const target = await createTarget(ledger, () => random.below(15));
  target.answer('/broken', () => 500);
  target.answer('/flaky', () => (random.next() < 0.3 ? 500 : 200));
  target.answer('/charge', () => (random.next() < 0.1 ? 500 : 200));
  const state = { firing: [], acknowledged: new Set(), made: 0 };
  let done = 0;
  let amends = null;
  try {
    prepare(folder, target.host);
    while (done < restarts && performance.now() < end) {
      const itself = random.next() < 0.6 ? { call: 1 + random.below(40), when: random.of(['inside', 'after']) } : null;
      amends = await serve(folder, itself);
      if (amends !== null) {
        const running = amends;
        const streaming = stream(running, random, state);
        await Promise.race([running.gone, pause(itself === null ? random.below(500) : 3_000)]);
        await running.kill();
        await streaming;
      }
      done += 1;
    }
    amends = await serve(folder);
    for (let turn = 0; turn < 10 && state.firing.length > 0; turn += 1) {
      const last = state.firing.splice(0);
      if (!(await amends.post(bodyOf(last.map((labels) => ({ labels, status: 'resolved' }))))))
        state.firing.push(...last);
    }
    const database = new Database(join(folder, 'data/amends.db'), { readonly: true });
    const open = database.prepare(
      `select (select count(*) from alerts where decided = 0) + (select count(*) from runs where state <> 'done')`,
    );
    await until('the end of every run and a decision about every alert', 60_000, async () => {
      await people(amends, random);
      return open.pluck().get() === 0;
    }).finally(() => database.close());
    await amends.kill();
    const felt = readLedger(ledger);
    checked(`${done} restarts`, {
      database: join(folder, 'data/amends.db'),
      ledger: felt,
      acknowledged: [...state.acknowledged],
      atRest: true,
    });
    rmSync(folder, { recursive: true, force: true });
    return {
      restarts: done,
      acknowledged: state.acknowledged.size,
      runs: new Set(felt.map(({ run }) => run)).size,
      effects: felt.length,
    };
  } catch (error) {
    error.message += `\n  kept: ${folder}`;
    throw error;
  } finally {
    await amends?.kill();
    await target.close();
  }
};

const QUICK_MS = 75_000;
/** How many restarts one database lives through. */
const A_LIFE = 25;
/** At the same time: one of them always waits for a start. */
const LIVES = 3;

export default async ({ quick, random, say }) => {
  const end = quick ? performance.now() + QUICK_MS : Number.POSITIVE_INFINITY;
  const wanted = quick ? 1_000 : 10_000;
  const sum = { restarts: 0, acknowledged: 0, runs: 0, effects: 0, lives: 0 };
  const lane = async () => {
    while (sum.restarts < wanted && performance.now() < end) {
      const lived = await life(A_LIFE, random, end);
      sum.lives += 1;
      for (const name of ['restarts', 'acknowledged', 'runs', 'effects']) sum[name] += lived[name];
      if (!quick) say(`${sum.restarts} restarts`);
    }
  };
  await Promise.all(Array.from({ length: LIVES }, lane));
  return `${sum.restarts} restarts of ${sum.lives} databases: ${sum.acknowledged} alerts acknowledged, 0 lost; ${sum.effects} effects of ${sum.runs} runs, 0 repeated that must not be, 0 runs without an end`;
};
