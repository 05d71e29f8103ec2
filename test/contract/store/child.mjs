// A process of its own for the tests of the store: it races, is killed, holds a lock. Told what to do by its arguments,
// it tells how far it is by messages; it runs what was built (dist).
import Database from 'better-sqlite3';
import { promises } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { systemClock } from '../../../dist/base/clock.js';
import { createIds } from '../../../dist/base/ids.js';
import { MIGRATIONS, migrate } from '../../../dist/store/migrate.js';
import { openSqliteStore } from '../../../dist/store/sqlite.js';

const [act, folder, ...rest] = process.argv.slice(2);
const ids = createIds(systemClock);
const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log };
const tell = (message) => process.send?.(message);
const open = (lock) =>
  openSqliteStore({ folder, clock: systemClock, ids, log, owner: 'a child', acceptEmptyHistory: false, lock });

const alert = (delivery, index) => ({
  id: `${delivery}-${index}`,
  index,
  status: 'firing',
  key: `${delivery}-${index}`,
  labels: { alertname: 'a' },
  annotations: {},
  startsAt: 0,
  component: 'cache',
  kind: 'redis',
  target: 't',
  resolveHold: 1,
});

const delivery = (alerts, bytes = 100) => {
  const id = ids.next();
  const entries = Array.from({ length: alerts }, (_, index) => alert(id, index));
  return {
    id,
    at: Date.now(),
    source: 'alertmanager',
    body: Buffer.alloc(bytes, 'x'),
    groupSize: alerts,
    truncatedAlerts: 0,
    unknownFields: 0,
    alerts: entries,
  };
};

const plan = {
  component: { name: 'cache', kind: 'redis' },
  target: { name: 't' },
  policy: { attempts: [], budget: [] },
  limits: { attempts: [] },
};

const request = () => ({
  id: ids.next(),
  at: Date.now(),
  origin: 'retry',
  caller: null,
  alertId: null,
  deliveryId: null,
  episodeId: null,
  component: 'cache',
  kind: 'redis',
  target: 't',
  rule: null,
  strategy: 'reconnect',
  reason: null,
  wishes: [{ plan, ledger: 'live' }],
  historyQueries: [
    { component: 'cache', kind: 'redis', target: 't', rule: null, episodeId: null, ledger: 'live', window: 3_600_000 },
  ],
  version: null,
  record: {},
  writes: [],
});

const admitBelow = (max) => (_wish, history, asked) => {
  if (history.attempts.length >= max)
    return { reason: 'attempts_used_up', runId: null, verdicts: [], retryAt: null, writes: [] };
  const runId = ids.next();
  const said = { component: 'cache', kind: 'redis', target: 't', strategy: 'reconnect', rule: null, episodeId: null };
  const attempt = {
    ...said,
    id: ids.next(),
    ledger: 'live',
    runId,
    rung: 0,
    at: history.now,
    endedAt: null,
    outcome: null,
    cause: null,
  };
  const run = { ...said, id: runId, decisionId: asked.id, plan, alertStartedAt: null };
  const writes = [
    { type: 'run.create', run, events: [{ type: 'admitted', approval: false, notBefore: history.now }] },
    { type: 'attempt.add', attempt },
    { type: 'audit', actor: 'amends', action: 'run.admitted', subject: runId, detail: {} },
  ];
  return { reason: 'admitted', runId, verdicts: [], retryAt: null, writes };
};

/** The wait for a lock is not fair: on a slow machine one of several racers may wait in vain, and tries again. */
const untilAvailable = async (work) => {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (error.name !== 'StoreUnavailable') throw error;
    }
  }
};

/** A message at every turn of the event loop: whoever listens may kill at any of them. */
const tellTurns = () => {
  let turn = 0;
  const next = () => {
    tell({ turn: (turn += 1) });
    setImmediate(next);
  };
  setImmediate(next);
};

const dieAt = (k) => {
  let moments = 0;
  const moment = (name) => {
    moments += 1;
    if (moments !== k) return;
    // The message has to be out before the end.
    process.send?.({ died: name });
    process.kill(process.pid, 'SIGKILL');
  };
  for (const name of ['mkdir', 'open', 'rename', 'rm', 'readFile']) {
    const original = promises[name];
    promises[name] = async (...given) => {
      moment(name);
      const result = await original(...given);
      if (name !== 'open') return result;
      for (const method of ['writeFile', 'sync', 'close']) {
        const own = result[method].bind(result);
        result[method] = async (...args) => {
          moment(`handle.${method}`);
          return own(...args);
        };
      }
      return result;
    };
  }
  syncBuiltinESMExports();
  const exec = Reflect.get(Database.prototype, 'exec');
  Database.prototype.exec = function (text) {
    if (text !== 'commit') return exec.call(this, text);
    moment('before commit');
    const result = exec.call(this, text);
    moment('after commit');
    return result;
  };
};

const acts = {
  async race() {
    const [count, max] = rest.map(Number);
    const store = await open(false);
    let admitted = 0;
    for (let round = 0; round < count; round += 1) {
      const [decided] = await untilAvailable(() => store.decide([request()], Date.now(), admitBelow(max)));
      if (decided.reason === 'admitted') admitted += 1;
    }
    await store.close();
    tell({ admitted });
  },
  async receive() {
    const [alerts] = rest.map(Number);
    const store = await open(true);
    tellTurns();
    for (;;) {
      const next = delivery(alerts);
      tell({ sending: next.id });
      await store.receive([next]);
      tell({ acknowledged: next.id });
    }
  },
  async decide() {
    const [requests] = rest.map(Number);
    const store = await open(true);
    tellTurns();
    for (;;) {
      const decided = await store.decide(Array.from({ length: requests }, request), Date.now(), admitBelow(1e9));
      tell({ decided: decided.map((answer) => answer.runId) });
    }
  },
  /** Until the file may not grow any more. */
  async fill() {
    const [bytes] = rest.map(Number);
    const store = await open(true);
    const acknowledged = [];
    for (let tries = 0; tries < 500; tries += 1) {
      const next = delivery(1, bytes);
      try {
        await store.receive([next]);
        acknowledged.push(next.id);
      } catch (error) {
        tell({ acknowledged, refused: next.id, error: { name: error.name, code: error.cause?.code ?? null } });
        return;
      }
    }
  },
  /** Archives what is from before the given time, and dies at the k-th moment: before a call of the file system, before a commit or after one. */
  async archive() {
    const [before, k] = rest.map(Number);
    const store = await open(true);
    dieAt(k);
    while ((await store.archiveAudit({ before, compress: true }, Date.now())).did !== 'nothing');
    tell({ finished: true });
    await store.close();
    process.disconnect();
  },
  async own() {
    await open(true);
    tell({ open: true });
    setInterval(() => {}, 60_000);
  },
  hold() {
    const database = new Database(`${folder}/amends.db`);
    database.exec('begin immediate');
    tell({ held: true });
    process.on('message', () => {
      database.exec('rollback');
      database.close();
      process.disconnect();
    });
  },
  /** Dies before the given statement of a migration. */
  migrate() {
    const [at] = rest.map(Number);
    const database = new Database(`${folder}/amends.db`);
    database.function('die', { directOnly: false }, () => process.kill(process.pid, 'SIGKILL'));
    const statements = [
      'create table more (id integer) strict',
      'insert into more values (1)',
      'alter table more add column name text',
      "update more set name = 'x'",
    ];
    const migration = { version: MIGRATIONS.length + 1, sqlite: statements.toSpliced(at, 0, 'select die()') };
    migrate(database, `${folder}/amends.db`, 0, [...MIGRATIONS, migration], () => tell({ finished: true }));
  },
};

await acts[act]();
