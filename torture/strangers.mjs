// What somebody does who may not do anything: a captured body is sent again and again for a day, and a flood of posts
// without a credential goes on while real alerts come in.
import { fork } from 'node:child_process';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { hashSync } from 'bcryptjs';
import Database from 'better-sqlite3';
import { startBuilt, untilFound } from '../test/support/built.ts';
import { writeFiles } from '../test/support/engine.ts';
import { createAlertmanager } from './alertmanager.mjs';
import { configOf, MEND, ruleOf } from './content.mjs';
import { checked, givenBack, hold, same } from './expect.mjs';
import { heldBy, memory, waitedForProcessor } from './resources.ts';
import { openRig } from './rig.ts';
import { bodyOf, pause } from './target.mjs';

export const covers = [
  'C3 a captured body sent ten thousand times over 24 hours, also after its alert has resolved: one run',
  'C17 a flood of posts without a credential, as many as the machine makes: real alerts are decided about in time, and nothing of it is stored',
];

const files = { 'rules/shop.json': ruleOf('shop-down', 'ShopDown', 'shop/mend'), 'runbooks/shop/mend.yaml': MEND };
const labels = (target) => ({ alertname: 'ShopDown', component: 'shop', target });
const DAY = 86_400_000;

const replays = async (times) => {
  const alertmanager = await createAlertmanager(labels);
  const rig = await openRig({
    config: `${configOf({ settle: '1m' }, { shop: { targets: ['main'] } })}alertmanagers: [ { url: "${alertmanager.url}" } ]\n`,
    files,
  });
  try {
    const captured = { labels: labels('main'), startsAt: rig.clock.now() };
    alertmanager.firing.add('main');
    for (let time = 0; time < times; time += 1) {
      hold('C3', 'a body was not taken', await rig.submit([captured]));
      await rig.settle();
      // It helped: from now on everybody but the replays says that it is over.
      if (time === 0) {
        alertmanager.firing.delete('main');
        await rig.submit([{ ...captured, status: 'resolved' }]);
      }
      await rig.clock.advance(DAY / times);
      memory.look();
    }
    same('C3', `effects of ${times} replays`, rig.targets.felt().length, 1);
    const database = new Database(rig.database, { readonly: true });
    const reasons = database.prepare('select reason, count(*) as times from decisions group by reason').all();
    const runs = database.prepare('select count(*) from runs').pluck().get();
    database.close();
    same('C3', `runs of ${times} replays`, runs, 1);
    hold(
      'C3',
      `no replay was asked about: ${JSON.stringify(reasons)}`,
      reasons.some(({ reason }) => reason === 'unconfirmed'),
    );
    checked(`${times} replays`, { database: rig.database, ledger: rig.targets.felt(), atRest: true, oneClock: true });
    return `${times} replays over 24 h: 1 run, ${reasons.map(({ reason, times: count }) => `${count} ${reason}`).join(', ')}`;
  } finally {
    await alertmanager.close();
    await rig.close();
  }
};

const TOKEN = 'correct-horse-battery-staple-0001';
const CHILD = fileURLToPath(new URL('flood-child.mjs', import.meta.url));

/** Posts as fast as it can until it is told to stop; then it says how many of each answer there were. */
const flood = (url, body, passwords) => {
  const { hostname: host, port } = new URL(url);
  const given = { host, port: Number(port), body, passwords };
  const child = fork(CHILD, [JSON.stringify(given)], { execArgv: [] });
  const gone = new Promise((resolve) => void child.once('exit', resolve));
  return {
    async stop() {
      const answer = new Promise((resolve) => void child.once('message', resolve));
      child.send('stop');
      const { answers } = await answer;
      await gone;
      return new Map(Object.entries(answers));
    },
    async kill() {
      child.kill('SIGKILL');
      await gone;
    },
  };
};

const SLOWEST_MS = 2_000;

/** With wrong tokens or none, as many as it can; or with wrong passwords among them, each of which is dear to compare. */
const strangers = async (ms, passwords) => {
  const folder = mkdtempSync(join(tmpdir(), 'amends-strangers-'));
  const targets = Array.from({ length: 2_000 }, (_, index) => `t${index}`);
  writeFiles(folder, {
    'amends.yaml': `${configOf({}, { shop: { targets, allow: { actions: ['http.*'] } } })}runbook_files: []\n`,
    'rules/shop.json': { ...ruleOf('shop-down', 'ShopDown', ''), event: { type: 'observe' } },
  });
  writeFileSync(join(folder, 'token'), `${TOKEN}\n`, { mode: 0o600 });
  const web = `bearer_tokens: [ { name: am, file: token } ]\nbasic_auth_users: { ann: "${hashSync(TOKEN, 10)}" }\n`;
  writeFileSync(join(folder, 'web.yaml'), web, { mode: 0o600 });
  const amends = await startBuilt(folder, null, { webConfigFile: join(folder, 'web.yaml') });
  const held = () => heldBy(amends.pid, join(folder, 'data'));
  const base = held();
  const database = new Database(join(folder, 'data/amends.db'), { readonly: true });
  const count = (text) => database.prepare(text).pluck().get();
  const size = () => ['', '-wal'].reduce((sum, end) => sum + statSync(join(folder, `data/amends.db${end}`)).size, 0);
  let flooding = null;
  try {
    // The one thing that a start writes by itself comes after it is ready.
    const isKept = async () => count('select count(*) from configurations') > 0;
    await untilFound('what was loaded is on record', 10_000, isKept);
    const began = performance.now();
    const waited = waitedForProcessor(amends.pid);
    flooding = flood(amends.url, bodyOf([{ labels: labels('t0') }]), passwords);
    const before = [size(), count('select count(*) from deliveries')];
    await pause(ms / 2);
    same('C17', 'bytes and deliveries of a flood', [size(), count('select count(*) from deliveries')], before);
    const sent = [];
    for (const end = performance.now() + ms / 2; performance.now() < end;) {
      sent.push(Date.now());
      const answer = await fetch(`${amends.url}/webhook/alertmanager`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${TOKEN}`, connection: 'close' },
        body: bodyOf([{ labels: labels(targets[sent.length % targets.length]) }]),
      });
      hold('C17', `a real alert was answered ${answer.status}`, answer.status === 202);
      await answer.text();
      await pause(50);
    }
    await untilFound(
      'a decision about every real alert',
      60_000,
      async () => count('select count(*) from decisions') >= sent.length,
    );
    const answers = await flooding.stop();
    const seconds = (performance.now() - began) / 1_000;
    const flooded = [...answers.values()].reduce((sum, each) => sum + each, 0);
    // Passwords are dear to compare: of many wrong ones at once some are told to come again.
    const refused = [...answers.keys()].filter((status) => !['401', '503', 'ECONNRESET', 'EPIPE'].includes(status));
    same('C17', 'other answers to the flood', refused, []);
    same('C17', 'deliveries', count('select count(*) from deliveries'), sent.length);
    const decided = database
      .prepare('select decisions.at from decisions join alerts on alerts.id = decisions.alert_id order by alerts.seq')
      .pluck()
      .all();
    const waits = decided.map((at, index) => at - sent[index]).toSorted((left, right) => left - right);
    const p99 = waits[Math.floor(waits.length * 0.99)];
    // On a machine that is busy with other things it takes as much longer as they take away: that part of all the time.
    const taken = Math.min(0.9, (waitedForProcessor(amends.pid) - waited) / (seconds * 1_000));
    const most = Math.round(SLOWEST_MS / (1 - taken));
    hold('C17', `p99 from its post to its decision ${p99} ms, ${most} are allowed`, p99 < most);
    await givenBack('a flood', base, held);
    checked('a flood', { database: join(folder, 'data/amends.db'), ledger: [], atRest: true });
    const rate = Math.round(flooded / seconds);
    return `${flooded} posts ${passwords ? 'with wrong passwords among them' : 'without a credential'} in ${Math.round(seconds)} s, ${rate} a second, ${answers.get('401')} of them 401, the rest 503 or cut off, none stored; ${sent.length} real alerts, p99 to their decision ${p99} ms`;
  } finally {
    await flooding?.kill();
    database.close();
    await amends.kill();
    rmSync(folder, { recursive: true, force: true });
  }
};

export default async ({ quick, say }) => {
  say(await replays(quick ? 600 : 10_000));
  say(await strangers(quick ? 6_000 : 60_000, false));
  say(await strangers(quick ? 4_000 : 60_000, true));
  return '3 cases';
};
