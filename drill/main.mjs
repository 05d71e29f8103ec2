// `npm run drill`: breaks each real system in each way that its strategies mend, several times, in random order, and lets
// a real amends with the shipped rules and runbooks recover it. Prints how often and how fast, with the figure that the
// source runbooks give beside it. `-- --tries N`, `-- --only SYSTEM`, `-- --seed N`, `-- --output=json`. With `--prometheus`
// a Prometheus watches, and what the dashboards say stands below; `--preview FILE` draws them too. `--record FOLDER` keeps the
// journal and what was decided, to be decided again with `amends backtest`. Exit 1 when fewer than
// 95% recovered without a human, or once a human had said yes, or one took a minute or more.
//
// A system is a file beside this one: `export const available = () => null | 'why not'` and
// `export const prepare = async ({ folder, root }) => ({ component, allow, degradedModes, faults, close })`, a fault being
// `{ name, strategy, alertname, labels, figureMs, source, break(), healthy() }`. `ruleFiles` stand in for the shipped rules;
// A fault that `asks` has a strategy that waits for a human, whose yes is said at once; it is counted apart.
// `probes` are what amends looks at by itself meanwhile, `settled` waits until a fault may begin, and a fault that `shows`
// by a probe is told of once that probe has seen it, as its alert would.
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { register } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { argumentsOf, misused, wholeNumber } from '../scripts/arguments.mjs';
import { root, setUp } from '../scripts/setup.mjs';
import { keepRecord } from './record.mjs';
import { overviewText, restText, rowsOf, seconds, tableOf } from './table.mjs';
import { partsOf, whereText } from './where.mjs';

const ENOUGH = 0.95;
const LONGEST_MS = 60_000;
const PATIENCE_MS = 90_000;
const REST_MS = 10_000;
const OTHERS = new Set([
  'main.mjs',
  'prometheus.mjs',
  'record.mjs',
  'rules.mjs',
  'table.mjs',
  'typescript.mjs',
  'where.mjs',
]);

const names = readdirSync(import.meta.dirname)
  .filter((file) => file.endsWith('.mjs') && !OTHERS.has(file))
  .map((file) => basename(file, '.mjs'))
  .toSorted();
const { values: given } = argumentsOf({
  usage: `
npm run drill -- [options]

Breaks each real system in each way that its strategies mend, several times, in random order, and lets a real amends with
the shipped rules and runbooks recover it. Exit 0: at least 95% recovered without a human, each within a minute. 1: fewer,
or slower. 2: not understood.

  --tries N          how often each fault, 1 to 9999 (5)
  --only SYSTEM      one system, or several: ${names.join(', ')}
  --strategy NAME    the faults of one strategy, or of several
  --seed N           the order of an earlier run again
  --where            where the time from alert to verified went
  --prometheus       a Prometheus watches, and what the dashboards say stands below
  --preview FILE     draws the dashboards from it too
  --record FOLDER    keeps the journal and what was decided, for amends backtest
  --built            amends as it was built last, whatever has changed in src/ since
  --output FORMAT    table or json (table)

Examples:
  npm run drill
  npm run drill -- --only database --tries 20
  npm run drill -- --strategy release-lock --where
  npm run drill -- --seed 42 --output=json
`,
  options: {
    tries: { type: 'string', default: '5' },
    only: { type: 'string', multiple: true },
    seed: { type: 'string' },
    output: { type: 'string', default: 'table' },
    prometheus: { type: 'boolean', default: false },
    preview: { type: 'string' },
    record: { type: 'string' },
    where: { type: 'boolean', default: false },
    strategy: { type: 'string', multiple: true },
    built: { type: 'boolean', default: false },
  },
});
const unknown = (given.only ?? []).find((name) => !names.includes(name));
if (unknown !== undefined) misused(`There is no system '${unknown}'; there are ${names.join(', ')}.`);
if (!/^[1-9]\d{0,3}$/.test(given.tries)) misused(`--tries takes a whole number from 1 to 9999, not '${given.tries}'.`);
if (!['table', 'json'].includes(given.output)) misused(`--output is table or json, not '${given.output}'.`);
const seed = wholeNumber('seed', given.seed) ?? randomInt(2 ** 31);

if (!given.built) await setUp();
register('./typescript.mjs', import.meta.url);
const watched = given.prometheus || given.preview !== undefined ? await import('./prometheus.mjs') : null;
const unwatched = watched?.available() ?? null;
if (unwatched !== null) {
  process.stderr.write(`${unwatched}\n`);
  process.exit(2);
}
const note = (line) => process.stderr.write(`${line}\n`);
note(`seed ${seed}`);

/** The same order for the same seed (mulberry32). */
const createRandom = (from) => {
  let state = from >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
};
const shuffled = (items, random) => {
  const order = [...items];
  for (let last = order.length - 1; last > 0; last -= 1) {
    const other = Math.floor(random() * (last + 1));
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
};

const freePort = () =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

const until = async (what, check, withinMs = PATIENCE_MS, everyMs = 50) => {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const found = await check();
    if (found !== undefined && found !== null && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await pause(everyMs);
  }
};

/** The shipped rules and runbooks; of the policy only what would keep a drill from following upon a drill. */
const configurationOf = (systems) => ({
  version: 1,
  rule_files: systems.flatMap(({ name, system }) => system.ruleFiles ?? [join(root, `rules/${name}/*.json`)]),
  runbook_files: systems.map(({ name }) => join(root, `runbooks/${name}/*.yaml`)),
  recovery: {
    mode: 'auto',
    attempts: [{ max: 100_000, per: '1s' }],
    budget: [{ max: 100_000, per: '1h' }],
    cooldown: { after_failure: '0s', after_success: '0s' },
    settle: '0s',
    breaker: { failures: 1_000 },
    storm: { min: 100_000, max: 100_000, components: 100_000, window: '1s', components_window: '1s', gather: '0s' },
  },
  components: Object.assign(
    {},
    ...systems.map(({ name, system }) => ({ [name]: { kind: name, ...system.component } })),
  ),
  probes: systems.flatMap(({ name, system }) => (system.probes ?? []).map((probe) => ({ component: name, ...probe }))),
  degraded_modes: Object.assign({}, ...systems.map(({ system }) => system.degradedModes ?? {})),
  allow: {
    hosts: systems.flatMap(({ system }) => system.allow?.hosts ?? []),
    paths: systems.flatMap(({ system }) => system.allow?.paths ?? []),
    commands: systems.flatMap(({ system }) => system.allow?.commands ?? []),
    containers: systems.flatMap(({ system }) => system.allow?.containers ?? []),
  },
});

const startAmends = async (folder, config) => {
  const file = join(folder, 'amends.yaml');
  // JSON is YAML.
  writeFileSync(file, JSON.stringify(config, null, 2));
  const port = await freePort();
  const output = join(folder, 'amends.log');
  const log = openSync(output, 'a');
  const child = spawn(
    process.execPath,
    [
      join(root, 'bin/amends'),
      'serve',
      `--config.file=${file}`,
      `--web.listen-address=127.0.0.1:${port}`,
      `--storage.path=${join(folder, 'data')}`,
    ],
    { cwd: root, stdio: ['ignore', log, log] },
  );
  const url = `http://127.0.0.1:${port}`;
  const gone = new Promise((resolve) => void child.once('exit', resolve));
  const isReady = async () => {
    if (child.exitCode !== null)
      throw new Error(`amends did not start:\n${readFileSync(output, 'utf8').slice(-4_000)}`);
    return fetch(`${url}/-/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
  };
  await until('amends is ready', isReady, 30_000);
  return {
    url,
    pid: child.pid,
    async stop() {
      child.kill('SIGTERM');
      await gone;
    },
  };
};

const getJson = async (url) => {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${response.status} from ${url}`);
  return response.json();
};

const post = async (url, labels, status, startsAt) => {
  const alert = {
    status,
    labels,
    annotations: {},
    startsAt: new Date(startsAt).toISOString(),
    endsAt: '0001-01-01T00:00:00Z',
  };
  const response = await fetch(`${url}/webhook/alertmanager`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ version: '4', groupKey: '{}', receiver: 'amends', alerts: [alert] }),
  });
  if (response.status !== 202) throw new Error(`the webhook answered ${response.status}: ${await response.text()}`);
};

/** Memory, and the share of one processor, of amends when there is nothing to do. */
const atRest = async (pid) => {
  const ticks = () => {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
    return Number(fields[11]) + Number(fields[12]);
  };
  const before = ticks();
  await pause(REST_MS);
  // A tick is 10 ms on every Linux that there is.
  const cpuShare = ((ticks() - before) * 10) / REST_MS;
  const rssBytes = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1_024;
  return { rssBytes, cpuShare };
};

/** What the log of the run says went wrong. */
const reasonOf = async (url, run, healthy) => {
  const { items } = await getJson(`${url}/api/v1/logs?run_id=${run.id}&limit=500`);
  const said = items.flatMap(({ level, message }) => (level === 'error' || level === 'warn' ? [message] : []));
  return `${run.strategy}: ${run.outcome} (${run.cause})${healthy ? '' : ', not healthy from outside'}: ${said.join('; ')}`;
};

/** Until a look of the probe that began after `since` gave 1 for this output: what it found before is about the last fault. */
const seen = (url, { probe, output }, since) =>
  until(`${probe} shows ${output}`, async () => {
    const text = await (await fetch(`${url}/metrics`)).text();
    const figure = (family, labels) =>
      Number(
        new RegExp(`^${family}\\{[^}]*probe="${probe}"[^}]*${labels}[^}]*\\} (\\S+)$`, 'm').exec(text)?.[1] ?? 'NaN',
      );
    const began = figure('amends_probe_last_run_timestamp_seconds', '') - figure('amends_probe_duration_seconds', '');
    return began * 1_000 > since && figure('amends_probe_output', `output="${output}"`) === 1;
  });

/** What a human who agrees at once does: says yes to the run of the strategy, and to what its steps ask meanwhile. */
const sayYes = async (url, { strategy }, runs) => {
  const run = await until(`${strategy} asks`, async () =>
    (await runs()).find((one) => one.strategy === strategy && one.state === 'awaiting_approval'),
  );
  const at = Date.now();
  const response = await fetch(`${url}/api/v1/runs/${run.id}/approve`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ by: 'drill', comment: 'a drill' }),
  });
  if (!response.ok) throw new Error(`a yes was answered ${response.status}: ${await response.text()}`);
  return { id: run.id, at };
};

/** One fault, from breaking it to seeing from outside that it is mended. */
const drill = async (url, { system, fault, number }) => {
  try {
    await fault.settled?.();
    await fault.break({ url });
    if (fault.shows !== undefined) await seen(url, fault.shows, Date.now());
  } catch (error) {
    return { recovered: false, ms: null, why: `it could not be broken: ${error.message}` };
  }
  const brokenAt = Date.now();
  const labels = {
    alertname: fault.alertname,
    component: system,
    target: fault.target ?? 'main',
    severity: 'critical',
    drill: String(number),
    ...fault.labels,
  };
  const runs = async () => {
    const { items } = await getJson(
      `${url}/api/v1/runs?since=${encodeURIComponent(new Date(brokenAt).toISOString())}&component=${system}`,
    );
    return items;
  };
  try {
    await post(url, labels, 'firing', brokenAt);
    const { id, at } = fault.asks === true ? await sayYes(url, fault, runs) : { id: null, at: brokenAt };
    const run = await until(`a run of ${system}/${fault.strategy} to its end`, async () =>
      (await runs()).find((one) => one.state === 'done' && (id === null || one.id === id)),
    );
    const healthy = await fault.healthy();
    const ms = run.verifiedAt === null ? null : Date.parse(run.verifiedAt) - at;
    const right = run.outcome === 'resolved' && run.strategy === fault.strategy && healthy;
    const why = right ? '' : await reasonOf(url, run, healthy);
    const { events } = await getJson(`${url}/api/v1/runs/${run.id}`);
    return { recovered: right, ms, why, parts: partsOf(events, at) };
  } catch (error) {
    return { recovered: false, ms: null, why: error.message };
  } finally {
    await post(url, labels, 'resolved', brokenAt).catch(() => undefined);
    // What did not help may be tried again meanwhile: it has to be over before the next fault.
    const isQuiet = async () => (await getJson(`${url}/api/v1/components/${system}`)).runs.length === 0;
    await until(`${system} is left alone`, isQuiet).catch((error) => note(error.message));
    await fault.after?.();
  }
};

const countRecovered = (results) => results.filter((result) => result.recovered).length;

const faultsOf = ({ faults }) =>
  given.strategy === undefined ? faults : faults.filter(({ strategy }) => given.strategy.includes(strategy));

const folder = mkdtempSync(join(tmpdir(), 'amends-drill-'));
const systems = [];
const skipped = [];
let amends;
let watcher;
let interrupted = false;
process.once('SIGINT', () => {
  interrupted = true;
});
try {
  for (const name of names) {
    if (given.only !== undefined && !given.only.includes(name)) continue;
    const { available, prepare } = await import(`./${name}.mjs`);
    const why = await available();
    if (why === null) {
      const own = join(folder, name);
      mkdirSync(own);
      systems.push({ name, system: await prepare({ folder: own, root }) });
    } else {
      note(`${name} is left out: ${why}`);
      skipped.push({ system: name, why });
    }
  }
  if (systems.length === 0) throw new Error('nothing can be drilled here');
  amends = await startAmends(folder, configurationOf(systems));
  const probes = systems.flatMap(({ system }) => system.probes ?? []);
  const haveLooked = async () => {
    const text = await (await fetch(`${amends.url}/metrics`)).text();
    return probes.every(({ name }) =>
      new RegExp(`^amends_probe_success\\{[^}]*probe="${name}"[^}]*\\} 1$`, 'm').test(text),
    );
  };
  await until('every probe has looked once', haveLooked);
  if (watched !== null) watcher = await watched.watch(amends.url);
  const planned = systems.flatMap(({ name, system }) =>
    faultsOf(system).flatMap((fault) => Array.from({ length: Number(given.tries) }, () => ({ system: name, fault }))),
  );
  const order = shuffled(planned, createRandom(seed));
  const results = [];
  for (const [index, { system, fault }] of order.entries()) {
    if (interrupted) break;
    const result = { system, fault, ...(await drill(amends.url, { system, fault, number: index })) };
    results.push(result);
    note(
      `${index + 1}/${order.length} ${system}/${fault.strategy} (${fault.name}): ${result.recovered ? seconds(result.ms) : result.why}`,
    );
  }
  const rows = rowsOf(results);
  const alone = results.filter(({ fault }) => fault.asks !== true);
  const recovered = alone.filter((result) => result.recovered).length;
  const share = recovered / Math.max(1, alone.length);
  const asked = { tries: results.length - alone.length, recovered: countRecovered(results) - recovered };
  const slow = results.filter(({ ms }) => ms !== null && ms >= LONGEST_MS).length;
  const overview = (await watcher?.overview()) ?? null;
  if (given.preview !== undefined) {
    await watcher.preview(given.preview);
    note(given.preview);
  }
  if (given.record !== undefined) await keepRecord({ url: amends.url, root, getJson }, given.record);
  const rest = interrupted ? null : await atRest(amends.pid);
  if (given.output === 'json')
    process.stdout.write(
      `${JSON.stringify({ seed, tries: alone.length, recovered, share, asked, slow, rest, overview, rows, skipped }, null, 2)}\n`,
    );
  else
    process.stdout.write(
      `${given.where ? `${whereText(rows)}\n\n` : ''}${tableOf(rows)}\n\n${recovered} of ${alone.length} recovered without a human (${(share * 100).toFixed(1)}%, 95% are needed), ${asked.recovered} of ${asked.tries} once a human had said yes; ${slow} took a minute or more; from alert, or from that yes, to verified; seed ${seed}\n${overviewText(overview)}${restText(rest, REST_MS)}`,
    );
  process.exitCode = share >= ENOUGH && asked.recovered >= asked.tries * ENOUGH && slow === 0 && !interrupted ? 0 : 1;
} finally {
  await watcher?.stop();
  await amends?.stop();
  for (const { system } of systems) await system.close();
  rmSync(folder, { recursive: true, force: true });
}
