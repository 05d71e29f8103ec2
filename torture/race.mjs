// Eight processes ask for one capped component at the same time, turn by turn, so that none of them runs ahead: exactly
// the cap is admitted, every time, and to all of them.
import { fork } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { checked, hold, same } from './expect.mjs';
import { memory } from './resources.ts';

export const covers = [
  'I1 I2 F18 eight processes that take turns and ten thousand tries on one cap admit exactly the cap',
];

const CHILD = fileURLToPath(new URL('race-child.mjs', import.meta.url));
const PROCESSES = 8;

const hears = (child, member) =>
  new Promise((resolve, reject) => {
    const onMessage = (message) => {
      if (!(member in message)) return;
      over();
      resolve(message[member]);
    };
    const onExit = (code, signal) => {
      over();
      reject(new Error(`a racer ended (${code ?? signal}) before it told ${member}`));
    };
    const over = () => void child.off('message', onMessage).off('exit', onExit);
    child.on('message', onMessage).once('exit', onExit);
  });

const round = async (tries, cap, batch) => {
  const folder = mkdtempSync(join(tmpdir(), 'amends-race-'));
  const ledger = join(folder, 'ledger.ndjson');
  const now = Date.now();
  const racers = [];
  try {
    // One after the other: each may be the one that makes the database.
    for (let at = 0; at < PROCESSES; at += 1) {
      const given = { folder: join(folder, 'data'), ledger, me: `p${at}`, tries: tries / PROCESSES, batch, now, cap };
      const child = fork(CHILD, [JSON.stringify(given)], { execArgv: [] });
      racers.push(child);
      await hears(child, 'ready');
    }
    const told = Promise.all(racers.map((child) => hears(child, 'reasons')));
    // Whoever has the lock would have it again before another has woken up: each turn begins for all of them at once.
    for (let asking = racers; asking.length > 0;) {
      const asked = asking.map((child) => hears(child, 'asked'));
      for (const child of asking) child.send('turn');
      const goOn = await Promise.all(asked);
      asking = asking.filter((_, index) => goOn[index]);
    }
    const reasons = await told;
    const sum = (reason) => reasons.reduce((total, each) => total + (each[reason] ?? 0), 0);
    const database = new Database(join(folder, 'data/amends.db'), { readonly: true });
    const count = (text) => database.prepare(text).pluck().get();
    const rows = [
      count('select count(*) from attempts where released_at is null'),
      count('select count(*) from runs'),
      count(`select count(*) from decisions where reason = 'admitted'`),
      count('select count(*) from decisions'),
      count(`select count(*) from audit where action = 'run.admitted'`),
    ];
    const callers = database.prepare('select caller from decisions order by rowid').pluck().all();
    const winners = database
      .prepare(`select caller from decisions where reason = 'admitted' order by rowid`)
      .pluck()
      .all();
    database.close();
    const lines = existsSync(ledger) ? readFileSync(ledger, 'utf8').trim().split('\n') : [];
    const runs = new Set(lines.map((line) => JSON.parse(line).run));
    same('I1', 'attempts, runs, admitted, decisions, audit rows', rows, [cap, cap, cap, tries, cap]);
    same('I1', 'lines and runs in the ledger', [lines.length, runs.size], [cap, cap]);
    same('I1', 'answers', [sum('admitted'), sum('attempts_used_up')], [cap, tries - cap]);
    checked(`${tries} tries on a cap of ${cap}`, { database: join(folder, 'data/amends.db'), ledger: [] });
    const changes = (list) => list.filter((who, at) => at > 0 && who !== list[at - 1]).length;
    const [given, asked] = [winners, callers].map(changes);
    const all = new Set(winners).size;
    hold('I1', `${all} processes won something`, all === Math.min(PROCESSES, cap));
    hold('I1', `${given} changes of hands among ${cap} admissions`, given >= cap / 2 - 1);
    return { given, asked, all };
  } finally {
    for (const child of racers) child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
};

const TRIES = 10_000;

export default async ({ quick, random, say, over }) => {
  const caps = quick ? [7, 30, 100] : [1, 3, ...Array.from({ length: 18 }, () => 1 + random.below(300))];
  let rounds = 0;
  for (const [index, cap] of caps.entries()) {
    if (over()) break;
    rounds += 1;
    // One transaction for one try takes five times as long; the long suite does that too.
    const batch = quick ? 20 : index % 4 === 0 ? 1 : 1 + random.below(20);
    const start = performance.now();
    const { given, asked, all } = await round(TRIES, cap, batch);
    memory.look();
    const took = ((performance.now() - start) / 1_000).toFixed(1);
    say(
      `${TRIES} tries, refused ones ${batch} at a time, on a cap of ${cap}: exactly ${cap}, to ${all} processes; ${given} changes of hands among them, ${asked} among all tries; ${took} s`,
    );
  }
  return `${rounds} rounds`;
};
