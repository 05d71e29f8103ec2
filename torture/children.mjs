// Hostile children through the real spawner: nothing of them is left five seconds later, their floods fit into a small
// memory, and file descriptors come back.
import { readdirSync, readFileSync } from 'node:fs';
import { systemClock } from '../src/base/clock.ts';
import { createSpawner } from '../src/actions/spawner.ts';
import { hold } from './expect.mjs';
import { memory } from './resources.ts';
import { pause } from './target.mjs';

export const covers = [
  'F51 children that ignore TERM, double-fork with setsid, stop themselves or linger: 0 survivors within 5 s',
  'F52 a flood of output, binary or one endless line, fits into 64 MiB',
  'F53 I14 file descriptors come back to base after hundreds of runs, good and bad',
];

const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log };
const never = new AbortController().signal;
const MIB = 1_048_576;

const CHILDREN = {
  'ignores TERM': "trap '' TERM; while :; do sleep 1; done",
  'double-forks with setsid':
    '(setsid sleep 100 &) ; (setsid sh -c "trap \'\' TERM HUP; sleep 100 & wait" &) ; sleep 100',
  'stops itself': 'kill -STOP $$; sleep 100',
  'stops itself, with children': "trap '' TERM; sleep 100 & setsid sleep 100 & kill -STOP $$",
  'closes its output and lingers': 'exec >&- 2>&-; sleep 100',
  'forks on and on': 'f() { sleep 0.05; setsid sh -c "sleep 100" & f; }; f',
};
const FLOODS = {
  'a flood of lines': 'yes amends',
  'one endless line': "tr '\\0' 'x' < /dev/zero",
  binary: 'cat /dev/urandom',
  'both outputs': 'yes a & yes b >&2',
};

const request = (script, timeoutMs) => ({
  file: '/bin/sh',
  args: ['-c', script],
  env: { PATH: '/usr/bin:/bin' },
  cwd: '/',
  stdin: null,
  timeoutMs,
  graceMs: 300,
});

const marked = (marker) =>
  readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      // A process that has ended and waits to be taken note of has no environment any more.
      return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`AMENDS_MARKER=${marker}`);
    } catch {
      return false;
    }
  });

const rssOf = (pid) => {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0) * 1_024;
  } catch {
    return 0;
  }
};
/** This process and the helper that runs the commands. */
const ours = () => [
  process.pid,
  ...readdirSync('/proc').filter((pid) => {
    try {
      return (
        /^\d+$/.test(pid) &&
        readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('spawner-child') &&
        readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1].split(' ')[1] === String(process.pid)
      );
    } catch {
      return false;
    }
  }),
];
/** The most that one of them holds beyond what it held before. */
const growthOver = (base) => Math.max(...ours().map((pid) => rssOf(pid) - (base.get(pid) ?? 0)));
const descriptors = () =>
  ours().reduce((sum, pid) => {
    try {
      return sum + readdirSync(`/proc/${pid}/fd`).length;
    } catch {
      return sum;
    }
  }, 0);

export default async ({ quick, random, seed, ms, over }) => {
  const spawner = createSpawner({ log, clock: systemClock, idleMs: 600_000 });
  try {
    await spawner.run(request('true', 5_000), 'torture/first', never);
    const rounds = quick ? 2 : 50;
    const short = quick || Number.isFinite(ms);
    let ended = 0;
    for (let round = 0; round < rounds && !over(0.5); round += 1)
      await Promise.all(
        Object.entries(CHILDREN).map(async ([name, script], index) => {
          const marker = `torture-${seed}/${round}-${index}`;
          const start = performance.now();
          const abort = new AbortController();
          const early = random.next() < 0.3;
          if (early) setTimeout(() => abort.abort(new Error('enough')), 200).unref();
          const result = await spawner.run(request(script, 500), marker, abort.signal);
          hold('F51', `a child that ${name} ended by itself: ${JSON.stringify(result)}`, early || result.timedOut);
          const left = () => marked(marker);
          while (left().length > 0 && performance.now() - start < 5_500 + 1_000) await pause(50);
          hold('F51', `${left().length} processes of a child that ${name} are left`, left().length === 0);
          ended += 1;
        }),
      );
    const base = new Map(ours().map((pid) => [pid, rssOf(pid)]));
    let peak = 0;
    const watch = setInterval(() => (peak = Math.max(peak, growthOver(base))), 50);
    let dropped = 0;
    for (const [name, script] of Object.entries(FLOODS)) {
      const { stdout, timedOut } = await spawner.run(
        request(script, short ? 1_500 : 10_000),
        `torture-${seed}/flood`,
        never,
      );
      hold(
        'F52',
        `${name}: ${stdout.text.length} characters kept`,
        timedOut && Buffer.byteLength(stdout.text) <= 4 * 131_072,
      );
      dropped += stdout.dropped;
    }
    clearInterval(watch);
    const growth = peak / MIB;
    hold('F52', `${Math.round(growth)} MiB more while flooded`, growth < 64);
    const before = descriptors();
    const runs = short ? 500 : 10_000;
    const KINDS = [
      () => request('true', 5_000),
      () => request('echo a; exit 3', 5_000),
      () => ({ ...request('', 5_000), file: '/nowhere/at/all' }),
      () => ({ ...request('', 5_000), file: '/etc/passwd' }),
    ];
    for (let at = 0; at < runs; at += 10) {
      await Promise.all(
        Array.from({ length: 10 }, (_, index) =>
          spawner.run(random.of(KINDS)(), `torture-${seed}/fd-${index}`, never).catch(() => null),
        ),
      );
      memory.look();
    }
    for (let tries = 0; descriptors() > before && tries < 100; tries += 1) await pause(50);
    hold('F53', `${descriptors()} descriptors after ${runs} runs, ${before} before`, descriptors() <= before);
    return `${ended} hostile children, 0 survivors; ${Math.round(dropped / MIB)} MiB dropped, ${Math.round(growth)} MiB more memory; ${before} descriptors before and after ${runs} runs`;
  } finally {
    await spawner.stop();
  }
};
