// The k-th call of the file system that amends itself makes fails: the halt file, the emergency journal, a secret file,
// the folder of its record, a backup, a restore; for every k until a pass ends without the fault.
import { mkdtempSync } from 'node:fs';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listBackups } from '../src/actions/sqlite/backups.ts';
import { makeBackup } from '../src/actions/sqlite/backing-up.ts';
import { performRestore, prepareRestore } from '../src/actions/sqlite/restoring.ts';
import { StoreUnavailable } from '../src/port/store.ts';
import { addOrders, breakHeader, countOrders, makeDatabase } from '../test/support/sqlite-files.ts';
import { configOf, head, ruleOf, SECRET, secretIn, verify } from './content.mjs';
import { checked, everyK, hold } from './expect.mjs';
import { withFailingFiles } from './failing-files.mjs';
import { distinct } from './licences.ts';
import { openRig } from './rig.ts';

export const covers = [
  'F16 F25 F45 I4 I5 I6 I9 I12 I13 the k-th call of the file system fails, of the halt file, the emergency journal, a secret and the folder of the record, for every k',
  'C8 F58 the k-th call of the file system fails during a backup or a restore, for every k: the database is the old one or the new one, and what counts as a backup is one',
];

const labels = { alertname: 'ShopDown', component: 'shop', target: 'main', n: '1' };
const step = (id, idempotent, secret) =>
  `  - id: ${id}\n    uses: torture.effect\n    with: { target: "\${{ target.name }}", secret_file: "${secret}" }\n    idempotent: ${idempotent}\n    timeout: 1h\n`;

const turns = async (count) => {
  for (let turn = 0; turn < count; turn += 1) await new Promise((resolve) => void setImmediate(resolve));
};

/** A run whose second step ends while the store cannot be written; then a crash, or the store is back. */
const enginePass = async (crashes, fault) => {
  const folder = mkdtempSync(join(tmpdir(), 'amends-secret-'));
  const secret = secretIn(folder);
  let full = false;
  const rig = await openRig({
    listen: true,
    config: configOf({ settle: '0s', attempts: [{ max: 3, per: '1h' }] }, { shop: { targets: ['main'] } }),
    files: {
      'rules/shop.json': ruleOf('shop-down', 'ShopDown', 'shop/mend'),
      'runbooks/shop/mend.yaml': `${head}steps:\n${step('stop', true, secret)}${step('charge', false, secret)}${verify}`,
    },
    aroundStore: (store) =>
      new Proxy(store, {
        get: (real, name) =>
          full && name === 'extendRun'
            ? async () => {
                throw new StoreUnavailable('the disk is full');
              }
            : real[name],
      }),
  });
  const settle = () => rig.settle().catch(() => undefined);
  // The lock of the folder is the kernel's to free when a process ends, and this one goes on.
  const touches = (path) =>
    path === secret || (path.startsWith(rig.folder) && !/ledger.ndjson$|amends\.(db|lock)/.test(path));
  try {
    await withFailingFiles(touches, fault, async () => {
      rig.targets.manner('main', 'holds');
      hold('I9', 'it was not acknowledged', await rig.submit([{ labels }]));
      await settle();
      rig.targets.release('main', null);
      await settle();
      if (rig.targets.holding().length > 0) {
        full = true;
        // An error whose words hold the secret: nothing of it may be kept.
        rig.targets.release('main', 'permanent');
        await turns(30);
      }
      rig.targets.manner('main', 'well');
      if (crashes) {
        // Who cannot open its record does not start, and is started again.
        fault.calm = true;
        await rig.crash(() => {
          full = false;
          fault.calm = false;
        });
        await rig.engine.recover().catch(() => rig.engine.recover());
      }
      full = false;
      for (let turn = 0; turn < 3; turn += 1) {
        await rig.clock.advance(31_000);
        await settle();
      }
    });
    const label = `the file system's call ${fault.k} (${fault.came ?? 'none'}) failed with ${fault.code}`;
    const ledger = rig.targets.felt();
    fault.effects = distinct(ledger).size;
    checked(label, {
      database: rig.database,
      ledger,
      reference: fault.reference,
      acknowledged: ['1'],
      atRest: true,
      oneClock: true,
      secrets: [SECRET],
      emitted: await rig.emitted(),
    });
    const query = { limit: 10, cursor: null, filters: {}, since: null };
    const [runs, told] = [await rig.store.list('runs', query), await rig.store.list('inbox', query)];
    hold('I9', `${label}: nothing was done and nobody was told`, runs.items.length + told.items.length > 0);
  } finally {
    await rig.close();
    fs.rmSync(folder, { recursive: true, force: true });
  }
};

const ROWS = 200;
const AT = Date.UTC(2026, 0, 6);

/** A database with a sound backup from yesterday. */
const withDatabase = async (mode, work) => {
  const root = mkdtempSync(join(tmpdir(), 'amends-files-'));
  try {
    const { path, backups } = makeDatabase(root, mode, ROWS);
    const backup = (at) => makeBackup({ path, backups, at, keep: 10, rawOk: false, busyMs: 500 });
    await backup(AT - 86_400_000);
    await work({ root, path, backups, backup });
  } finally {
    fs.rmSync(root, { recursive: true, force: true });
  }
};

const backupPass = (mode, fault) =>
  withDatabase(mode, async ({ root, path, backups, backup }) => {
    addOrders(path, ROWS);
    const label = () => `backup, call ${fault.k} (${fault.came ?? 'none'}) failed with ${fault.code}`;
    const made = await withFailingFiles(
      (file) => file.startsWith(root),
      fault,
      () => backup(AT),
    ).catch(() => null);
    hold('F58', `${label()}: the database has ${countOrders(path)} rows`, countOrders(path) === 2 * ROWS);
    const counts = listBackups(backups, path).map((one) => countOrders(one.path));
    hold(
      'F58',
      `${label()}: backups of ${counts.join(', ')} rows`,
      counts.every((rows, index) => rows === (counts.length - index) * ROWS),
    );
    hold('F58', `${label()}: a backup was told of that is not there`, made === null || counts.length === 2);
    await backup(AT + 1_000);
  });

const restorePass = (mode, fault) =>
  withDatabase(mode, async ({ root, path, backups }) => {
    breakHeader(path);
    const broken = fs.readFileSync(path);
    const restore = (at) => {
      const prepared = prepareRestore({ path, backups, at, allowOpen: false, evenIfHealthy: false });
      if (prepared !== null) performRestore(prepared);
    };
    const label = () => `restore, call ${fault.k} (${fault.came ?? 'none'}) failed with ${fault.code}`;
    await withFailingFiles(
      (file) => file.startsWith(root),
      fault,
      async () => restore(AT),
    ).catch(() => undefined);
    const old = fs.existsSync(path) && fs.readFileSync(path).equals(broken);
    if (!old) hold('C8', `${label()}: neither the old nor the new database`, countOrders(path) === ROWS);
    restore(AT + 1_000);
    hold('C8', `${label()}: a second try does not mend it`, countOrders(path) === ROWS);
  });

export default async ({ quick }) => {
  const passes = {
    'a run': (fault) => enginePass(false, fault),
    'a run and a crash': (fault) => enginePass(true, fault),
    'a backup': (fault) => backupPass('wal', fault),
    'a restore': (fault) => restorePass('wal', fault),
    ...(quick
      ? {}
      : {
          'a backup without WAL': (fault) => backupPass('delete', fault),
          'a restore without WAL': (fault) => restorePass('delete', fault),
        }),
  };
  const figures = [];
  for (const [name, pass] of Object.entries(passes)) {
    let cases = 0;
    for (const code of quick ? ['EIO'] : ['EIO', 'ENOSPC', 'EMFILE', 'EACCES']) cases += await everyK({ code }, pass);
    figures.push(`${name}: ${cases} faults`);
  }
  return figures.join(', ');
};
