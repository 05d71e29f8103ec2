// The k-th call fails: of the store, before its commit and after it, of the target over HTTP, which refuses, breaks off or
// answers wrongly, and of a command, which cannot be started; for every k until a pass ends without the fault.
import { createServer } from 'node:http';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ActionError } from '../src/base/failure.ts';
import { StoreUnavailable } from '../src/port/store.ts';
import { configOf, head, ruleOf, SECRET, secretIn, verify } from './content.mjs';
import { checked, everyK, hold } from './expect.mjs';
import { readLedger } from './ledger.ts';
import { distinct } from './licences.ts';
import { openRig } from './rig.ts';

export const covers = [
  'F1 F3 F16 I3 I4 I5 I6 I8 I9 I12 I13 the k-th call of the store fails, for every k',
  'F53 I5 I6 the k-th command cannot be started, or its helper dies, in five ways, for every k',
  'F54 I6 I13 the k-th call of the target over HTTP fails in four ways, for every k',
];

/** Each effect is told a secret and gives it away in what it says. */
const step = (id, idempotent, secret) =>
  `  - id: ${id}\n    uses: torture.effect\n    with: { target: "\${{ target.name }}", secret_file: "${secret}" }\n    idempotent: ${idempotent}\n    timeout: 1h\n`;
const SHAPES = {
  single: (secret) => `${head}steps:\n${step('mend', true, secret)}${verify}`,
  mixed: (secret) =>
    `${head}steps:\n${step('stop', true, secret)}${step('charge', false, secret)}${step('start', true, secret)}${verify}`,
};
const COUNTED = new Set([
  'receive',
  'undecided',
  'decide',
  'claim',
  'changeRun',
  'write',
  'snapshot',
  'dueEpisodes',
  'sweepEpisodes',
]);
const labels = { alertname: 'ShopDown', component: 'shop', target: 'main' };

/** Like a full disk: the call fails before anything is written, or its answer is lost. */
const failing = (fault) => (store) => {
  let calls = 0;
  return new Proxy(store, {
    get(real, name) {
      const method = real[name];
      if (!COUNTED.has(name)) return method;
      return async (...args) => {
        calls += 1;
        const mine = calls;
        if (mine === fault.k && fault.when === 'before') {
          fault.came = true;
          throw new StoreUnavailable('the disk is full');
        }
        const answer = await method(...args);
        if (mine === fault.k && fault.when === 'after') {
          fault.came = true;
          throw new StoreUnavailable('the answer was lost');
        }
        return answer;
      };
    },
  });
};

const storePass = async (shape, fault) => {
  const folder = mkdtempSync(join(tmpdir(), 'amends-kth-'));
  const rig = await openRig({
    listen: true,
    config: configOf(
      { settle: '0s', attempts: [{ max: 2, per: '1h' }], cooldown: { after_failure: '5m', after_success: '1m' } },
      { shop: { targets: ['main'] } },
    ),
    files: {
      'rules/shop.json': ruleOf('shop-down', 'ShopDown', 'shop/mend'),
      'runbooks/shop/mend.yaml': SHAPES[shape](secretIn(folder)),
    },
    aroundStore: failing(fault),
  });
  try {
    let acknowledged = false;
    // Alertmanager posts again what was not answered 202.
    for (let tries = 0; tries < 3 && !acknowledged; tries += 1)
      acknowledged = await rig.submit([{ labels: { ...labels, n: '1' } }]).catch(() => false);
    hold('I9', 'it was never acknowledged', acknowledged);
    for (let turn = 0; turn < 4; turn += 1) {
      await rig.settle().catch(() => undefined);
      await rig.clock.advance(31_000);
    }
    // What is left in memory alone is found again by the next start at the latest.
    await rig.crash();
    for (let turn = 0; turn < 3; turn += 1) {
      await rig.settle().catch(() => undefined);
      await rig.clock.advance(31_000);
    }
    const ledger = rig.targets.felt();
    fault.effects = distinct(ledger).size;
    checked(`${shape}, the store's call ${fault.k} failed ${fault.when} its commit`, {
      database: rig.database,
      ledger,
      reference: fault.reference,
      acknowledged: ['1'],
      atRest: true,
      oneClock: true,
      secrets: [SECRET],
      emitted: await rig.emitted(),
    });
  } finally {
    await rig.close();
    rmSync(folder, { recursive: true, force: true });
  }
};

const WAYS = ['refuses', 'resets', 'resets after', 'answers 500'];

const httpPass = async (fault) => {
  const folder = mkdtempSync(join(tmpdir(), 'amends-kth-'));
  const ledger = join(folder, 'ledger.ndjson');
  const heard = new Set();
  let calls = 0;
  const server = createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => void chunks.push(chunk));
    request.on('end', () => {
      calls += 1;
      heard.add(request.headers.authorization);
      const fails = calls === fault.k;
      if (fails) fault.came = true;
      if (fails && fault.way === 'resets') return void request.socket.resetAndDestroy();
      if (request.method !== 'GET' && !(fails && fault.way === 'refuses')) {
        const entry = { ...JSON.parse(Buffer.concat(chunks).toString('utf8')), at: rig.clock.now() };
        appendFileSync(ledger, `${JSON.stringify({ ...entry, phase: 'in' })}\n`);
      }
      if (fails && fault.way === 'resets after') return void request.socket.resetAndDestroy();
      // Like many a server it says back what it was told.
      response
        .writeHead(fails ? (fault.way === 'refuses' ? 400 : 500) : 200)
        .end(JSON.stringify({ heard: request.headers.authorization ?? null }));
    });
  });
  await new Promise((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${server.address().port}`;
  const secret = secretIn(folder);
  const post = (id, idempotent) =>
    `  - id: ${id}\n    uses: http.request\n    with: { url: "\${{ connect.url }}/${id}", method: POST, json: { run: "\${{ run.id }}", step: steps/${id}, target: main }, bearer_token_file: "${secret}" }\n    idempotent: ${idempotent}\n    retry: { attempts: 2, delay: 0s, factor: 1 }\n`;
  const rig = await openRig({
    listen: true,
    config: `${configOf({ settle: '0s' }, { shop: { targets: [{ target: 'main', connect: { url: `http://${host}` } }] } })}allow: { hosts: ["${host}"] }\n`,
    files: {
      'rules/shop.json': ruleOf('shop-down', 'ShopDown', 'shop/mend'),
      'runbooks/shop/mend.yaml': `${head}steps:\n${post('stop', true)}${post('charge', false)}${post('start', true)}verify:\n  - { uses: http.get, with: { url: "\${{ connect.url }}/health" }, need: 1, of: 1, every: 10ms }\n`,
    },
  });
  try {
    await rig.submit([{ labels }]);
    await rig.settle();
    const felt = readLedger(ledger);
    fault.effects = distinct(felt).size;
    checked(`the target's call ${fault.k} ${fault.way}`, {
      database: rig.database,
      ledger: felt,
      reference: fault.reference,
      atRest: true,
      oneClock: true,
      secrets: [SECRET],
      emitted: await rig.emitted(),
    });
    if (fault.came === null) hold('I13', 'the secret was never sent', heard.has(`Bearer ${SECRET}`));
  } finally {
    await rig.close();
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true, force: true });
  }
};

const NOT_STARTED = {
  started: false,
  exitCode: null,
  signal: null,
  timedOut: false,
  stdout: { text: '', dropped: 0 },
  stderr: { text: '', dropped: 0 },
};
const SPAWN_WAYS = {
  EMFILE: async () => ({ ...NOT_STARTED, error: 'spawn EMFILE' }),
  ENOENT: async () => ({ ...NOT_STARTED, error: '/there/it/was does not exist (ENOENT)' }),
  E2BIG: async () => ({ ...NOT_STARTED, error: 'spawn E2BIG' }),
  'a fork that fails': async () => {
    throw new ActionError('retryable', 'the helper process could not be reached: spawn EAGAIN');
  },
  'a helper that dies when the command has run': async (run) => {
    await run();
    throw new ActionError('indeterminate', 'the helper process ended while the command ran');
  },
};

/** A command that writes down, by the marker in its environment, which step of which run it was. */
const spawnPass = async (fault) => {
  const folder = mkdtempSync(join(tmpdir(), 'amends-kth-'));
  const ledger = join(folder, 'ledger.ndjson');
  const file = join(folder, 'effect');
  const line = '{"run":"%s","step":"%s","target":"main","at":1,"phase":"in"}\\n';
  writeFileSync(file, `#!/bin/sh\nprintf '${line}' "\${AMENDS_MARKER%%/*}" "\${AMENDS_MARKER#*/}" >> ${ledger}\n`, {
    mode: 0o755,
  });
  let calls = 0;
  const command = (id, idempotent) =>
    `  - id: ${id}\n    uses: command.run\n    with: { argv: [ "${file}" ] }\n    idempotent: ${idempotent}\n    retry: { attempts: 2, delay: 0s, factor: 1 }\n`;
  const rig = await openRig({
    config: `${configOf({ settle: '0s' }, { shop: { targets: ['main'], allow: { actions: ['torture.*', 'command.*'] } } })}allow: { commands: ["${file}"] }\n`,
    files: {
      'rules/shop.json': ruleOf('shop-down', 'ShopDown', 'shop/mend'),
      'runbooks/shop/mend.yaml': `${head}steps:\n${command('stop', true)}${command('charge', false)}${command('start', true)}${verify}`,
    },
    aroundSpawner: (spawner) => ({
      ...spawner,
      run(...given) {
        calls += 1;
        if (calls !== fault.k) return spawner.run(...given);
        fault.came = true;
        return SPAWN_WAYS[fault.way](() => spawner.run(...given));
      },
    }),
  });
  try {
    await rig.submit([{ labels }]);
    await rig.settle();
    const felt = readLedger(ledger);
    fault.effects = distinct(felt).size;
    checked(`command ${fault.k}, ${fault.way}`, {
      database: rig.database,
      ledger: felt,
      reference: fault.reference,
      atRest: true,
    });
    if (fault.came === null) hold('F53', `${felt.length} effects of three commands`, felt.length === 3);
  } finally {
    await rig.close();
    rmSync(folder, { recursive: true, force: true });
  }
};

export default async ({ quick }) => {
  const figures = [];
  for (const shape of Object.keys(SHAPES)) {
    let cases = 0;
    for (const when of ['before', 'after'])
      cases += await everyK({ when }, (fault) => storePass(shape, fault), quick ? 80 : 1_000);
    figures.push(`store, ${shape}: ${cases} faults`);
  }
  const everyWay = async (name, ways, pass) => {
    let cases = 0;
    for (const way of ways) cases += await everyK({ way }, pass, 100);
    figures.push(`${name}: ${cases} faults`);
  };
  await everyWay('HTTP', WAYS, httpPass);
  await everyWay('commands', Object.keys(SPAWN_WAYS), spawnPass);
  return figures.join(', ');
};
