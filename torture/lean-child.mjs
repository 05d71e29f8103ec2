// What a restart of amends is made of, and nothing else: the folder with its lock, the store, configuration, rules and
// runbooks, the engine and its loops. No HTTP, no command line, no log; its parent talks to it. It is killed again and
// again, so it has to start cheaply (torture/pack.mjs), can be started before there is something for it to open, and can
// hold several folders that know nothing of each other.
import { appendFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { createSpawner } from '../dist/actions/spawner.js';
import { createSteadyClock, systemClock } from '../dist/base/clock.js';
import { ActionError } from '../dist/base/failure.js';
import { createIds } from '../dist/base/ids.js';
import { createRedactor } from '../dist/base/secret.js';
import { loadCatalog } from '../dist/catalog.js';
import { loadConfig } from '../dist/config.js';
import { createEmergencyJournal } from '../dist/engine/emergency.js';
import { createEngine } from '../dist/engine/engine.js';
import { createHaltFile } from '../dist/engine/halt-file.js';
import { createStoreHealth } from '../dist/engine/store-watch.js';
import alertname from '../dist/facts/alertname.js';
import logNotifier from '../dist/notifiers/log.js';
import { createSources } from '../dist/sources/sources.js';
import { openSqliteStore } from '../dist/store/sqlite.js';
import { createDeath } from '../test/support/dying-store.mjs';
import { countedClock, resources } from './resources.ts';

const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log };
const telemetry = new Proxy({}, { get: () => () => undefined });
const chance = (of) => Math.random() < of;

/** The target's side of it: each effect is written down and synced, in the moment in which it happens. */
const actionsOf = (ledger, death) => {
  const write = (entry) => appendFileSync(ledger, `${JSON.stringify(entry)}\n`, { flush: true });
  const input = z.strictObject({
    target: z.string(),
    fails: z.number().default(0),
    secret_file: z.string().optional(),
  });
  const effect = {
    summary: 'An effect that its target writes down.',
    effect: 'change',
    input,
    outputs: { said: 'what its target answered' },
    undo: 'another effect',
    defaultTimeout: 10_000,
    async run({ target, fails, secret_file: secret }, context) {
      const { marker } = context;
      // What is secret ends up in errors and outputs, as it does in real life.
      const said = secret === undefined ? '' : `heard ${await context.secret(secret)}`;
      const slash = marker.indexOf('/');
      const entry = { run: marker.slice(0, slash), step: marker.slice(slash + 1), target, at: Date.now() };
      context.began();
      const moment = death.enter();
      write({ ...entry, phase: 'in' });
      await systemClock.sleep(Math.floor(Math.random() * 15));
      write({ ...entry, phase: 'out', left: Date.now() });
      death.leave(moment);
      if (chance(fails)) throw new ActionError(chance(0.5) ? 'permanent' : 'indeterminate', `it broke: ${said}`);
      return { outputs: { said } };
    },
  };
  const look = {
    summary: 'Looks whether the target is well.',
    effect: 'read',
    input,
    outputs: {},
    undo: 'nothing to undo',
    defaultTimeout: 5_000,
    async run({ fails }) {
      if (chance(fails)) throw new ActionError('permanent', 'it is not well');
      return { outputs: {} };
    },
  };
  return new Map([
    ['torture.effect', effect],
    ['torture.look', look],
  ]);
};

const must = (result) => {
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  return result.value;
};

const open = async (folder, fault) => {
  const death = createDeath(fault);
  const counted = countedClock(systemClock);
  const clock = createSteadyClock(counted);
  const ids = createIds(clock);
  const redactor = createRedactor();
  const actions = actionsOf(join(folder, 'ledger.ndjson'), death);
  const facts = new Map([['alertname', alertname]]);
  const config = must(await loadConfig(join(folder, 'amends.yaml')));
  const loaded = { config, catalog: must(await loadCatalog({ config, actions, facts })) };
  const owner = `lean:${process.pid}`;
  const store = await openSqliteStore({
    folder: join(folder, 'data'),
    clock,
    ids,
    log,
    owner,
    acceptEmptyHistory: false,
    onFatal: () => process.exit(1),
  });
  clock.resumeFrom((await store.controls()).now);
  const health = createStoreHealth();
  const engine = createEngine({
    store: health.watched(death.around(store)),
    clock,
    jumps: clock,
    ids,
    log,
    redactor,
    actions,
    facts,
    notifiers: new Map([['log', logNotifier]]),
    // What it needs for its commands goes soon, so that what is left is seen to be too much.
    spawner: createSpawner({ log, clock, idleMs: 100 }),
    sources: createSources(() => loaded.config, { clock, redactor }),
    telemetry,
    halt: createHaltFile(join(folder, 'halt')),
    emergency: createEmergencyJournal(join(folder, 'data/emergency.ndjson')),
    storeHealth: health,
    owner,
    loaded: () => loaded,
  });
  await engine.recover();
  engine.start();
  return {
    post: async (body) => (await engine.intake.submit('alertmanager', Buffer.from(body))).status === 'accepted',
    list: async ([kind, filters]) =>
      (await store.list(kind, { limit: 100, cursor: null, filters, since: null })).items.map(({ id }) => id),
    disabled: async () => [...(await store.controls()).components.keys()],
    desk: ([name, act]) => engine.desk[name](act),
    waiting: () => counted.waiting(),
  };
};

/** By folder: one process may work on several. */
const opened = new Map();
/** Of all of them; the files are those of their records, since other processes share the folder for temporary ones. */
const held = async () => {
  const waiting = [...opened.values()].reduce((sum, verbs) => sum + verbs.waiting(), 0);
  const files = [...opened.keys()].flatMap((folder) =>
    readdirSync(join(folder, 'data')).map((name) => join(folder, name)),
  );
  return { ...resources(waiting), files };
};
process.on('message', ({ id, folder, verb, given }) => {
  const work =
    verb === 'open'
      ? open(folder, given).then((verbs) => void opened.set(folder, verbs))
      : verb === 'held'
        ? held()
        : opened.get(folder)[verb](given);
  work.then(
    (answer) => answers({ id, answer }),
    (error) => answers({ id, error: String(error?.stack ?? error) }),
  );
});
/** Nobody may be there any more to hear it. */
const answers = (message) => process.connected && process.send(message, () => undefined);
process.on('disconnect', () => process.exit(0));
