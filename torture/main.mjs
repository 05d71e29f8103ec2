// `npm run torture`: everything that must be survived, done to it. `-- --quick` fits into CI, `-- --only NAME` does one
// torment, `-- --minutes N` all of them within about that time, `-- --seed N` repeats a run, `-- --only crashes --restarts N` does so many, `-- --list` says what covers each id of test/ids.json.
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { register } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { argumentsOf, misused, wholeNumber } from '../scripts/arguments.mjs';
import { root, setUp } from '../scripts/setup.mjs';

// In the order in which they run: what is decided about first. Of a given time each has so many hundredths.
const SHARES = {
  storm: 10,
  race: 8,
  crashes: 38,
  model: 18,
  order: 2,
  kth: 2,
  files: 2,
  fuzz: 6,
  children: 4,
  deletes: 2,
  labels: 2,
  clock: 2,
  long: 2,
  strangers: 2,
};
const NAMES = Object.keys(SHARES);

const USAGE = `
npm run torture -- [options]

Everything that must be survived, done to amends; one checker asserts the invariants after every case.
Exit 0: all held. 1: something broke, and how to see it again is said. 2: not understood.

  --quick         what CI runs, under ten minutes; without it, hours
  --minutes N     everything within about so many minutes
  --only NAME     one torment, or several: ${NAMES.join(', ')}
  --seed N        the random numbers of an earlier run again
  --restarts N    so many restarts in crashes, however long they take
  --list          every threat, fault and invariant with what covers it

Examples:
  npm run torture -- --quick
  npm run torture -- --minutes 30
  npm run torture -- --only race --only crashes --seed 42
  npm run torture -- --only crashes --restarts 1000 --seed 1
`;
const { values: given } = argumentsOf({
  usage: USAGE,
  options: {
    quick: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    seed: { type: 'string' },
    minutes: { type: 'string' },
    restarts: { type: 'string' },
    only: { type: 'string', multiple: true },
  },
});

const say = (line) => process.stdout.write(`${line}\n`);

if (given.list) {
  const { status } = spawnSync(process.execPath, ['scripts/coverage-ids.mjs'], { cwd: root, stdio: 'inherit' });
  process.exit(status ?? 1);
}
const unknown = (given.only ?? []).find((name) => !NAMES.includes(name));
if (unknown !== undefined) misused(`There is no torment '${unknown}'; there are ${NAMES.join(', ')}.`);
const seed = wholeNumber('seed', given.seed) ?? randomInt(2 ** 31);
const minutes = wholeNumber('minutes', given.minutes, 1) ?? Number.POSITIVE_INFINITY;
const restarts = wholeNumber('restarts', given.restarts, 1);

await setUp();
// A folder of its own for temporary files: what is left in there is somebody's fault (I14).
const folder = mkdtempSync(join(tmpdir(), 'amends-torture-run-'));
process.env.TMPDIR = folder;
register('./typescript.mjs', import.meta.url);
say(`seed ${seed}${given.quick ? ', quick' : ''}${Number.isFinite(minutes) ? `, ${minutes} minutes` : ''}`);

/** The same numbers for the same seed (mulberry32), a stream of its own for each torment. */
const createRandom = (from) => {
  let state = from >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return { next, below: (most) => Math.floor(next() * most), of: (list) => list[Math.floor(next() * list.length)] };
};

const { course, growing, keepForGood, memory, mib, resources } = await import('./resources.ts');
const { givenBack, hold } = await import('./expect.mjs');
await keepForGood();
const began = performance.now();
const failed = [];
for (const name of NAMES) {
  if (given.only !== undefined && !given.only.includes(name)) continue;
  const start = performance.now();
  const { default: torment } = await import(`./${name}.mjs`);
  const before = resources();
  memory.begin();
  const ms = (minutes * 60_000 * SHARES[name]) / 100;
  try {
    const figures = await torment({
      quick: given.quick,
      ms,
      ...(restarts === undefined ? {} : { restarts }),
      over: (part = 1) => performance.now() - start > ms * part,
      seed,
      random: createRandom(seed),
      say: (line) => say(`  ${line}`),
    });
    await givenBack(`the whole of ${name}`, before, () => resources());
    const seen = memory.seen();
    hold('I14', growing(seen), growing(seen) === null);
    const line = course(seen);
    if (line !== null) say(`  memory ${mib(line.from)} to ${mib(line.to)} MiB over ${seen.length} looks`);
    say(`${name.padEnd(9)} held  ${((performance.now() - start) / 1_000).toFixed(1)} s  ${figures}`);
  } catch (error) {
    failed.push(name);
    say(
      `${name.padEnd(9)} BROKE ${((performance.now() - start) / 1_000).toFixed(1)} s\n${error.stack}${error.cause === undefined ? '' : `\n${error.cause.message}`}`,
    );
    say(
      `  again: npm run torture -- --only ${name} --seed ${seed}${given.quick ? ' --quick' : ''}${given.minutes === undefined ? '' : ` --minutes ${given.minutes}`}${given.restarts === undefined ? '' : ` --restarts ${given.restarts}`}`,
    );
    break;
  }
}
say(
  `${failed.length === 0 ? 'all held' : `${failed.join(', ')} broke`}, ${((performance.now() - began) / 1_000).toFixed(1)} s, seed ${seed}`,
);
// What broke leaves others at work, who would stay when this process is gone.
for (const pid of resources().processes) {
  try {
    process.kill(Number(pid), 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}
if (failed.length === 0) rmSync(folder, { recursive: true, force: true });
else say(`what there was is kept in ${folder}`);
process.exit(failed.length === 0 ? 0 : 1);
