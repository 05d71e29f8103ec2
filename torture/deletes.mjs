// Folders are swapped for links that lead outside, moved away, and files replaced, while files.clean lists and deletes:
// nothing outside its folders goes, and nothing that was not listed.
import { fork } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { listOld, PROGRESS_BYTES, removeListed } from '../src/actions/files/cleaning.ts';
import { hold, same } from './expect.mjs';
import { memory } from './resources.ts';

export const covers = [
  'C8 deletions raced by a process that swaps folders for links tens of thousands of times: 0 outside',
];

/** In memory the racer is ten times as fast. */
const QUICK_DISK = '/dev/shm';
const RACER = fileURLToPath(new URL('../test/support/symlink-racer.mjs', import.meta.url));
const [FOLDERS, FILES, DAY] = [60, 40, 86_400_000];

const fill = (root) => {
  const old = (Date.now() - 10 * DAY) / 1_000;
  for (let folder = 0; folder < FOLDERS; folder += 1) {
    mkdirSync(join(root, `d${folder}`), { recursive: true });
    for (let file = 0; file < FILES; file += 1) {
      const path = join(root, `d${folder}/f${file}`);
      writeFileSync(path, 'old');
      utimesSync(path, old, old);
    }
  }
};

const told = (child) => new Promise((resolve) => void child.once('message', resolve));

/** One racer against some deletions of everything. */
const round = async (folder, sum) => {
  const [root, outside] = [join(folder, 'root'), join(folder, 'outside')];
  rmSync(root, { recursive: true, force: true });
  fill(root);
  const racer = fork(RACER, [root, outside, String(FOLDERS), String(FILES)], { execArgv: [] });
  try {
    await told(racer);
    for (let pass = 0; pass < 3; pass += 1) {
      const { list } = listOld({ roots: [root], before: Date.now() - DAY, maxFiles: 1e6, maxBytes: 1e12 });
      const removal = removeListed({ list, progress: new SharedArrayBuffer(PROGRESS_BYTES) });
      sum.deleted += removal.files;
      sum.leftAlone += removal.changed;
    }
    const answer = told(racer);
    racer.send('stop');
    const { swaps, young } = await answer;
    sum.swaps += swaps;
    for (const name of young)
      hold('C8', `${name} is gone, which was not listed`, readFileSync(join(root, name), 'utf8') === 'young');
    for (let at = 0; at < FOLDERS; at += 1)
      same('C8', `files outside in d${at}`, readdirSync(join(outside, `d${at}`)).length, FILES);
    same(
      'C8',
      'names left aside',
      readdirSync(root, { recursive: true }).filter((name) => String(name).includes('.amends-')),
      [],
    );
  } finally {
    racer.kill('SIGKILL');
  }
};

export default async ({ quick, over }) => {
  const folder = realpathSync(mkdtempSync(join(existsSync(QUICK_DISK) ? QUICK_DISK : tmpdir(), 'amends-deletes-')));
  const sum = { swaps: 0, deleted: 0, leftAlone: 0 };
  try {
    fill(join(folder, 'outside'));
    const enough = quick ? () => sum.swaps >= 20_000 : () => sum.swaps >= 200_000 && sum.deleted >= 100_000;
    while (!enough() && !(over() && sum.swaps > 0)) {
      await round(folder, sum);
      memory.look();
    }
    hold('C8', 'the racer never got in between', sum.leftAlone > 0);
    return `${sum.swaps} swaps against ${sum.deleted} deletions, ${sum.leftAlone} files left alone because of them, 0 outside gone`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};
