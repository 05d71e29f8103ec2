// `amends explain` for the first, the middle and the last of a million decisions: by alert, by decision, by run. The
// decisions are multiplied in the store of an amends that is running, from real ones; the command is the real one.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import Database from 'better-sqlite3';
import { root } from '../scripts/setup.mjs';
import { rounded, say, startAmends } from './amends.mjs';

const goals = { max_ms: 1_000 };
const TRIES = 3;
/** As many rows a transaction as leave the amends beside it its turn. */
const BATCH = 20_000;
/** Repeats of one alert that fires for months, every few minutes. */
const REPEATS_AN_EPISODE = 5_000;

const files = {
  'amends.yaml': JSON.stringify({
    version: 1,
    rule_files: ['rules/**/*.json'],
    runbook_files: ['runbooks/**/*.yaml'],
    recovery: { mode: 'auto' },
    components: { bench: { inventory: { static: ['one', 'two', 'three'] }, allow: { actions: ['wait.*'] } } },
  }),
  'rules/bench/touch.json': JSON.stringify({
    name: 'bench-touch',
    description: 'Every bench alert starts a run.',
    priority: 50,
    conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'BenchExplain' }] },
    event: { type: 'remediate', params: { runbook: 'bench/touch', mode: 'auto' } },
  }),
  'runbooks/bench/touch.yaml': `version: 1
summary: Waits a moment.
severity: SEV4
timeout: 30s
steps:
  - { id: wait, uses: wait.for, with: { duration: 1ms } }
verify:
  - { uses: wait.for, with: { duration: 1ms } }
guide: |
  Nothing to do: this runbook measures.
`,
};

export async function measure({ decisions = 1_000_000 }) {
  const amends = await startAmends(files);
  try {
    // One that is admitted, one that the other's cooldown holds, and a repeat of each.
    for (const target of ['one', 'two', 'one', 'two']) await post(amends.url, target);
    const database = new Database(join(amends.folder, 'data/amends.db'), { timeout: 5_000 });
    database.pragma('synchronous = off');
    const before = await settled(database);
    const began = performance.now();
    await multiply(database, decisions);
    const fillS = (performance.now() - began) / 1_000;
    say(`${decisions} decisions in ${rounded(fillS, 1)} s`);
    const asked = idsOf(database, before, decisions);
    database.close();
    const times = {};
    for (const [what, id] of Object.entries(asked)) {
      times[what] = 0;
      for (let time = 0; time < TRIES; time += 1) times[what] = Math.max(times[what], await explain(amends.url, id));
      say(`${what}: ${times[what]} ms`);
    }
    const max = Math.max(...Object.values(times));
    return {
      bench: 'explain',
      decisions,
      fill_s: rounded(fillS, 1),
      ms: times,
      max_ms: max,
      goals,
      pass: max < goals.max_ms,
    };
  } finally {
    await amends.stop();
  }
}

/** As a terminal sees it, from the start of the process to its end. */
async function explain(url, id) {
  const began = performance.now();
  const { stdout } = await promisify(execFile)(process.execPath, [
    join(root, 'bin/amends'),
    'explain',
    id,
    `--url=${url}`,
  ]);
  if (!stdout.includes('reason')) throw new Error(`no explanation of ${id}: ${stdout}`);
  return Math.round(performance.now() - began);
}

/** Once the run is over, what there is to multiply: by reason, the alert, the episode and the decision. */
async function settled(database) {
  const select = database.prepare(
    `select reason, id, alert_id, episode_id, run_id from decisions where origin = 'delivery' order by id`,
  );
  const runs = database.prepare(`select count(*) as count from runs where state = 'done'`);
  for (const end = performance.now() + 20_000; performance.now() < end;) {
    const rows = select.all();
    if (rows.length === 4 && runs.get().count === 1) return rows;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`the decisions to begin with did not come about: ${JSON.stringify(select.all())}`);
}

/** Copies of the real ones under ids of their own, spread over the month before; one in ten is no repeat. */
async function multiply(database, count) {
  const month = 30 * 86_400_000;
  const columns = (table) => database.pragma(`table_info(${table})`).map(({ name }) => name);
  const insert = (table, replaced, from) => {
    const names = columns(table).filter((name) => replaced[name] !== null);
    return `insert into ${table} (${names.join(', ')}) select ${names.map((name) => replaced[name] ?? `${table}.${name}`).join(', ')} ${from}`;
  };
  const numbers = 'with recursive numbers (n) as (select @from union all select n + 1 from numbers where n + 1 < @to)';
  const at = (table) => `${table}.at - ${month} + n * (${month} / @count)`;
  const suffix = (column) => `printf('%s-%08d', ${column}, n)`;
  const episode = `printf('%s-%08d', decisions.episode_id, n / ${REPEATS_AN_EPISODE})`;
  const chosen = `from numbers join decisions on decisions.rowid = case n % 10 when 0 then @held else @repeat end`;
  const statements = [
    `insert into alerts (id, delivery_id, entry_index, at, status, episode_id, change, decided)
       ${numbers} select ${suffix('decisions.alert_id')}, decisions.delivery_id, 0, ${at('decisions')}, 'firing', null, 'repeated', 1 ${chosen}`,
    insert(
      'decisions',
      {
        id: suffix('decisions.id'),
        at: at('decisions'),
        alert_id: suffix('decisions.alert_id'),
        episode_id: episode,
        run_id: 'null',
      },
      chosen,
    ).replace(' select ', ` ${numbers} select `),
  ].map((text) => database.prepare(text));
  const rowid = database.prepare('select rowid from decisions where reason = ? limit 1').pluck();
  const given = {
    held: rowid.get('cooldown') ?? rowid.get('settling') ?? rowid.get('admitted'),
    repeat: rowid.get('duplicate'),
    count,
  };
  for (let from = 0; from < count; from += BATCH) {
    database.transaction(() => {
      for (const statement of statements) statement.run({ ...given, from, to: Math.min(from + BATCH, count) });
    })();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function idsOf(database, before, decisions) {
  const pick = (order, offset, where) =>
    database
      .prepare(`select id, alert_id from decisions where ${where} order by at ${order} limit 1 offset ${offset}`)
      .get();
  const admitted = before.find(({ run_id: run }) => run !== null);
  return {
    'the first alert': pick('asc', 0, "reason <> 'duplicate'").alert_id,
    'a repeat, the first of thousands': pick('asc', 1, "reason = 'duplicate'").alert_id,
    'a repeat, the last of thousands': pick('asc', REPEATS_AN_EPISODE - 1, "reason = 'duplicate'").alert_id,
    'an alert in the middle': pick('asc', Math.floor(decisions / 20), "reason <> 'duplicate'").alert_id,
    'the newest alert': pick('desc', 0, 'alert_id is not null').alert_id,
    'the first decision': pick('asc', 0, "reason <> 'duplicate'").id,
    'the run': admitted.run_id,
    'its alert': admitted.alert_id,
  };
}

async function post(url, target) {
  const labels = { alertname: 'BenchExplain', component: 'bench', target };
  const alert = {
    status: 'firing',
    labels,
    annotations: {},
    startsAt: new Date().toISOString(),
    endsAt: '0001-01-01T00:00:00Z',
  };
  const body = {
    version: '4',
    groupKey: '{}',
    receiver: 'amends',
    status: 'firing',
    truncatedAlerts: 0,
    alerts: [{ ...alert, generatorURL: '', fingerprint: '0' }],
    groupLabels: {},
    commonLabels: {},
    commonAnnotations: {},
    externalURL: '',
  };
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`${url}/webhook/alertmanager`, { method: 'POST', headers, body: JSON.stringify(body) });
  if (response.status !== 202) throw new Error(`${response.status}: ${await response.text()}`);
}
