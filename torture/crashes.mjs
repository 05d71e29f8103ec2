// amends is killed with SIGKILL at random moments and at random calls under a stream of alerts, started again, and killed
// again: most of the time the store and the engine alone, which start quickly, now and then the whole of it as it is built.
// The truth is what the targets felt and what was acknowledged.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { startBuilt, untilFound } from '../test/support/built.ts';
import { writeFiles } from '../test/support/engine.ts';
import { configOf, ruleOf, SECRET, secretIn } from './content.mjs';
import { answersOf, textAt } from './emitted.ts';
import { checked, checkedHeld } from './expect.mjs';
import { startLean } from './lean.mjs';
import { pack } from './pack.mjs';
import { heldBy, memory } from './resources.ts';
import { readLedger } from './ledger.ts';
import { bodyOf, createTarget, pause } from './target.mjs';

export const covers = [
  'F1 F2 F3 F4 F5 F6 F7 F8 F11 I3 I4 I5 I6 I8 I9 I13 random kill -9 under a stream of alerts: nothing acknowledged is lost, nothing is repeated that must not be, every run ends',
  'I1 I2 I10 I12 I14 caps, order on a target and cooldowns hold over the restarts; a kill is no leave to act, and who lived through alerts holds no more than who has just begun',
];

/** What a step does and what a look finds: through HTTP at a target of ours, or in the process itself. Both are told a secret, and give it away. */
const BY_HTTP = {
  effect: (path, key) =>
    `uses: http.request\n    with: { url: "\${{ connect.url }}/${path}", method: POST, json: { run: "\${{ run.id }}", step: ${key}, target: "\${{ target.name }}" }, bearer_token_file: "\${{ connect.token_file }}" }`,
  look: (path) => `uses: http.get, with: { url: "\${{ connect.url }}/${path}" }`,
};
const FAILS = { broken: 1, flaky: 0.3, charge: 0.1 };
const INSIDE = {
  effect: (path) =>
    `uses: torture.effect\n    with: { target: "\${{ target.name }}", fails: ${FAILS[path] ?? 0}, secret_file: "\${{ connect.token_file }}" }`,
  look: (path) => `uses: torture.look, with: { target: "\${{ target.name }}", fails: ${FAILS[path] ?? 0} }`,
};

const HEAD = 'version: 1\nsummary: Mend it.\nseverity: SEV3\ntimeout: 20s\nguide: Look at it.\nsteps:\n';
const shapesOf = ({ effect, look }) => {
  const step = (name, idempotent) =>
    `  - id: ${name}\n    ${effect(name, `steps/${name}`)}\n    idempotent: ${idempotent}\n`;
  const undo = (name) =>
    `    undo:\n      ${effect(name, `undo/${name}`).replaceAll('\n', '\n  ')}\n      idempotent: true\n`;
  const verify = (path) => `verify:\n  - { ${look(path)}, need: 1, of: 2, every: 10ms }\n`;
  return {
    single: { mode: 'auto', text: `${HEAD}${step('mend', true)}${verify('health')}` },
    mixed: {
      mode: 'auto',
      text: `${HEAD}${step('stop', true)}${step('charge', false)}${step('start', true)}${verify('flaky')}`,
    },
    asked: { mode: 'approve', text: `${HEAD}${step('charge', false)}${verify('health')}` },
    undone: {
      mode: 'auto',
      text: `${HEAD}${step('open', true)}${undo('open')}${step('charge', false)}${verify('broken')}`,
    },
  };
};
const KINDS = Object.keys(shapesOf(INSIDE));
const TARGETS = ['a', 'b', 'c'];
/** Declared and never firing, so that three at once are not all of them: that would be a storm. */
const QUIET = ['d', 'e', 'f', 'g'];

const writeContent = (folder, manner, host) => {
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
  // Beside the folder of the record, where I13 looks for what must not be there.
  const connect = { url: `http://${host}`, token_file: secretIn(folder) };
  const receivers =
    manner === BY_HTTP
      ? `notify: { receivers: [ { name: hook, type: webhook, url: "http://${host}/told", bearer_token_file: "${connect.token_file}" } ], routes: [ { receiver: hook } ] }\n`
      : '';
  const targets = (kind) => [...TARGETS, ...QUIET].map((name) => ({ target: `${kind}-${name}`, connect }));
  writeFiles(folder, {
    'amends.yaml': `${configOf(recovery, Object.fromEntries(KINDS.map((kind) => [kind, { targets: targets(kind) }])))}allow: { hosts: ["${host}"] }\n${receivers}`,
    ...Object.fromEntries(
      Object.entries(shapesOf(manner)).flatMap(([kind, { mode, text }]) => [
        [`rules/${kind}.json`, ruleOf(kind, `${kind}Down`, `${kind}/mend`, mode)],
        [`runbooks/${kind}/mend.yaml`, text],
      ]),
    ),
  });
};

/** What targets that are receivers as well were told. */
const heardBy = new Map();

/** The whole of amends on one database, with people who come by its API. */
const builtFleet = {
  homes: 1,
  // So long a connection to a receiver is kept, in case there is more to tell.
  restMs: 6_000,
  async prepare(folder, random) {
    const target = await createTarget(join(folder, 'ledger.ndjson'), () => random.below(15));
    for (const [path, chance] of Object.entries(FAILS))
      target.answer(`/${path}`, () => (random.next() < chance ? 500 : 200));
    writeContent(folder, BY_HTTP, target.host);
    heardBy.set(folder, target.heard);
    return () => {
      heardBy.delete(folder);
      return target.close();
    };
  },
  async start([folder], [fault]) {
    const amends = await startBuilt(folder, fault, { logLevel: 'debug' });
    if (amends === null) return null;
    const idsOf = async (path) => (await amends.call(path)).body.items.map(({ id }) => id);
    const office = {
      post: amends.post,
      asked: () => idsOf('/api/v1/runs?state=awaiting_approval&limit=100'),
      escalations: () => idsOf('/api/v1/inbox?status=open&kind=escalation&limit=100'),
      disabled: async () =>
        (await amends.call('/api/v1/components')).body.items.filter((one) => one.disabled).map(({ name }) => name),
      desk: (name, { runId, id, name: component, ...act }) =>
        name === 'enable'
          ? amends.call(`/api/v1/components/${component}/enable`, act)
          : name === 'closeInbox'
            ? amends.call(`/api/v1/inbox/${id}/close`, act)
            : amends.call(`/api/v1/runs/${runId}/${name}`, act),
    };
    const held = async () => heldBy(amends.pid, join(folder, 'data'));
    /** What was told to people, and with `asks` every answer of the API. */
    const emitted = async (asks) => [
      ...amends.logged().map((text) => ({ where: 'the log', text })),
      ...heardBy.get(folder).map((text) => ({ where: 'a notification', text })),
      ...(asks ? await answersOf((path) => textAt(`${amends.url}${path}`)) : []),
    ];
    return { gone: amends.gone, kill: amends.kill, offices: [office], held, emitted };
  },
  close: async () => undefined,
};

/** The store and the engine alone on some databases at once; the next process is on its way while one lives. */
const leanFleet = (packed) => {
  const spare = [];
  return {
    homes: 8,
    restMs: 0,
    prepare: async (folder) => {
      writeContent(folder, INSIDE, '127.0.0.1:1');
      return async () => undefined;
    },
    async start(folders, faults, random) {
      const lean = spare.pop() ?? startLean(packed);
      spare.push(startLean(packed));
      const opened = Promise.all(folders.map((folder, index) => lean.open(folder, faults[index])));
      // Some do not live to see the end of their start.
      if (random.next() < 0.15) {
        await Promise.race([opened.catch(() => undefined), pause(random.below(150))]);
        await lean.kill();
      }
      return opened.then(
        (offices) => ({ gone: lean.gone, kill: lean.kill, offices, held: lean.held, emitted: async () => [] }),
        async (error) => {
          if (!lean.hasEnded()) throw error;
          await lean.gone;
          return null;
        },
      );
    },
    close: () => Promise.all(spare.map((lean) => lean.kill())),
  };
};

/** People at work: they answer what is asked and take what is stuck. */
const people = async (office, random) => {
  for (const runId of await office.asked())
    await office.desk(random.next() < 0.85 ? 'approve' : 'deny', { runId, step: null, by: 'ann', comment: 'so be it' });
  for (const id of await office.escalations()) await office.desk('closeInbox', { id, by: 'ann', comment: 'seen to' });
  for (const name of await office.disabled()) await office.desk('enable', { scope: 'component', name, by: 'ann' });
};

/** Posts until amends is gone; what was acknowledged goes on record. */
const stream = async (gone, office, random, state, posted) => {
  let over = false;
  void gone.then(() => (over = true));
  for (let turn = 0; !over && turn < 400; turn += 1) {
    const alerts = Array.from({ length: 1 + random.below(3) }, () => {
      const old = state.firing.length > 0 && (state.firing.length > 10 || random.next() < 0.35);
      if (old) return { labels: state.firing.splice(random.below(state.firing.length), 1)[0], status: 'resolved' };
      const kind = random.of(KINDS);
      state.made += 1;
      const target = `${kind}-${random.of(TARGETS)}`;
      return { labels: { alertname: `${kind}Down`, component: kind, target, n: `${state.made}` } };
    });
    const acknowledged = await office.post(bodyOf(alerts));
    posted();
    for (const { labels, status } of alerts) {
      if (acknowledged) state.acknowledged.add(labels.n);
      if (status !== 'resolved' || !acknowledged) state.firing.push(labels);
    }
    if (turn % 3 === 2) await people(office, random).catch(() => undefined);
    await pause(random.below(20));
  }
};

/** Alerts without a decision, runs without an end and what nobody was told yet, by the file. */
const openIn = (folder) => {
  const database = new Database(join(folder, 'data/amends.db'), { readonly: true });
  try {
    return database
      .prepare(
        `select (select count(*) from alerts where decided = 0) + (select count(*) from runs where state <> 'done')
           + (select count(*) from outbox where status = 'pending')`,
      )
      .pluck()
      .get();
  } finally {
    database.close();
  }
};

/** All alerts resolve, and what is under way comes to its end everywhere. */
const quiet = async (folders, offices, random, states) => {
  for (const [index, state] of states.entries())
    for (let turn = 0; turn < 10 && state.firing.length > 0; turn += 1) {
      const last = state.firing.splice(0);
      const resolved = bodyOf(last.map((labels) => ({ labels, status: 'resolved' })));
      if (!(await offices[index].post(resolved))) state.firing.push(...last);
    }
  await untilFound('the end of every run, a decision about every alert and the telling of it', 60_000, async () => {
    for (const office of offices) await people(office, random);
    // Whoever looks all the time takes the time that he waits for.
    await pause(100);
    return folders.every((folder) => openIn(folder) === 0);
  });
};

/** What it holds at rest, looked at several times: in the least of them is what it never gives back. */
const heldAtRest = async (amends, pick) => {
  const seen = [];
  for (let look = 0; look < 10; look += 1) {
    seen.push(await amends.held());
    await pause(50);
  }
  const of = (what) => pick(...seen.map((one) => one[what]));
  const fewest = seen.toSorted((left, right) => left.processes.length - right.processes.length)[0].processes.length;
  // Other processes have other pids: they are told apart by how many there are.
  const processes = Array.from({ length: fewest }, (_, index) => String(index));
  return { ...seen.at(-1), processes, descriptors: of('descriptors'), timers: of('timers') };
};

const LONGEST_MS = 3_000;

/** Some databases through many restarts, then left in peace until nothing is under way. */
const life = async (fleet, kills, random, end) => {
  const folders = Array.from({ length: fleet.homes }, () => mkdtempSync(join(tmpdir(), 'amends-crashes-')));
  const states = folders.map(() => ({ firing: [], acknowledged: new Set(), made: 0 }));
  const cleanUps = await Promise.all(folders.map((folder) => fleet.prepare(folder, random)));
  let killed = 0;
  let amends = null;
  let lived = null;
  let streams = [];
  const emitted = [];
  try {
    while (killed < kills && performance.now() < end) {
      const aimed = random.next() < 0.6;
      const faults = folders.map(() => null);
      if (aimed)
        faults[random.below(faults.length)] = { call: 1 + random.below(40), when: random.of(['inside', 'after']) };
      amends = await fleet.start(folders, faults, random);
      if (amends !== null) {
        const { gone, offices } = amends;
        // Counted in posts, since on a busy machine nothing happens in a short while.
        let left = aimed ? Number.POSITIVE_INFINITY : random.below(8 * offices.length);
        const enough = new Promise((resolve) => {
          const posted = () => (left -= 1) < 0 && resolve();
          streams = offices.map((office, index) => stream(gone, office, random, states[index], posted));
        });
        await Promise.race([gone, pause(LONGEST_MS), enough.then(() => pause(random.below(30)))]);
        await amends.kill();
        await Promise.all(streams);
        emitted.push(...(await amends.emitted(false)));
      }
      killed += 1;
    }
    const none = folders.map(() => null);
    // What is still firing may be taken up once more in the moment of the last kill.
    do {
      amends = await fleet.start(folders, none, random);
      killed += 1;
      if (amends === null) continue;
      await quiet(folders, amends.offices, random, states);
      await pause(fleet.restMs);
      lived = await heldAtRest(amends, Math.min);
      emitted.push(...(await amends.emitted(true)));
      await amends.kill();
    } while (amends === null || folders.some((folder) => openIn(folder) > 0));
    // One that has done nothing yet holds as much as one that has done all that.
    amends = await fleet.start(folders, none, { next: () => 1 });
    killed += 1;
    checkedHeld(`what ${killed} restarts of ${folders.join(' ')} came to`, {
      before: await heldAtRest(amends, Math.max),
      after: lived,
    });
    await amends.kill();
    const sum = {
      killed,
      restarts: killed * folders.length,
      databases: folders.length,
      acknowledged: 0,
      runs: 0,
      effects: 0,
    };
    for (const [index, folder] of folders.entries()) {
      const felt = readLedger(join(folder, 'ledger.ndjson'));
      const acknowledged = [...states[index].acknowledged];
      const database = join(folder, 'data/amends.db');
      checked(`${killed} restarts of ${folder}`, {
        database,
        ledger: felt,
        acknowledged,
        atRest: true,
        secrets: [SECRET],
        emitted,
      });
      sum.acknowledged += acknowledged.length;
      sum.runs += new Set(felt.map(({ run }) => run)).size;
      sum.effects += felt.length;
      rmSync(folder, { recursive: true, force: true });
    }
    return sum;
  } catch (error) {
    error.message += `\n  kept: ${folders.join(' ')}`;
    throw error;
  } finally {
    await amends?.kill();
    for (const clean of cleanUps) await clean();
  }
};

/** How many kills one set of databases lives through. */
const A_LIFE = 16;
/** At the same time: some of them always wait for something. */
const LIVES = 4;

/** Lives until there were enough restarts, or the time is up. */
const many = async (fleet, wanted, ms, random, say) => {
  const end = performance.now() + ms;
  const sum = { killed: 0, restarts: 0, databases: 0, acknowledged: 0, runs: 0, effects: 0 };
  const lane = async () => {
    while (sum.restarts < wanted && performance.now() < end) {
      const lived = await life(fleet, A_LIFE, random, end);
      for (const name of Object.keys(sum)) sum[name] += lived[name];
      memory.look();
      say(`${sum.restarts} restarts`);
    }
  };
  try {
    await Promise.all(Array.from({ length: LIVES }, lane));
  } finally {
    await fleet.close();
  }
  return sum;
};

const QUICK_MS = 150_000;
const QUICK_BUILT_MS = 30_000;
const NEVER = Number.POSITIVE_INFINITY;

const told = ({ killed, restarts, databases, acknowledged, runs, effects }) =>
  `${restarts} restarts of ${databases} databases by ${killed} kill -9, ${acknowledged} alerts acknowledged, ${effects} effects of ${runs} runs`;

export default async ({ quick, random, say, ms, restarts = null }) => {
  const folder = mkdtempSync(join(tmpdir(), 'amends-packed-'));
  const quietly = quick ? () => undefined : say;
  try {
    const warmUp = mkdtempSync(join(folder, 'warm-'));
    writeContent(warmUp, INSIDE, '127.0.0.1:1');
    const packed = pack(fileURLToPath(new URL('lean-child.mjs', import.meta.url)), folder);
    const first = startLean(packed);
    const office = await first.open(warmUp, null);
    await office.post(bodyOf([{ labels: { alertname: 'mixedDown', component: 'mixed', target: 'mixed-a', n: '0' } }]));
    await pause(500);
    await first.keepCode();
    const [leanMs, builtMs] = quick ? [QUICK_MS, QUICK_BUILT_MS] : [ms * 0.85, ms * 0.15];
    const wanted = restarts ?? (quick ? 1_000 : 10_000);
    const lean = await many(leanFleet(packed), wanted, restarts === null ? leanMs : NEVER, random, quietly);
    say(`store and engine: ${told(lean)}`);
    const built = await many(builtFleet, wanted / 25, restarts === null ? builtMs : NEVER, random, quietly);
    say(`the whole of it: ${told(built)}`);
    return `${lean.restarts + built.restarts} restarts, 0 alerts lost, 0 effects repeated that must not be, 0 runs without an end`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};
