// Swaps folders for links that lead outside, files for links, and old files for young ones, as fast as it can, until it is
// told to stop; then it puts the folders back and says what must still be there.
import { renameSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [, , root, outside, folders, files] = process.argv;
const young = new Set();
let swaps = 0;
let stopped = false;
// A fixed sequence, so that a failure can be had again.
let seed = 42;
const draw = (most) => {
  seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
  return seed % most;
};
const swapFolder = (name) => {
  const path = join(root, name);
  renameSync(path, `${path}.aside`);
  symlinkSync(join(outside, name), path);
  for (let turn = 0; turn < 5; turn += 1) process.uptime();
  unlinkSync(path);
  renameSync(`${path}.aside`, path);
};
/** Taken out of the root for a moment, as it is. */
const moveOut = (name) => {
  renameSync(join(root, name), join(outside, `moved-${name}`));
  renameSync(join(outside, `moved-${name}`), join(root, name));
};
const putYoung = (name) => {
  const spare = join(root, '.spare');
  writeFileSync(spare, 'young');
  renameSync(spare, join(root, name));
  young.add(name);
};
const putLink = (name, target) => {
  const spare = join(root, '.spare-link');
  symlinkSync(target, spare);
  renameSync(spare, join(root, name));
  young.delete(name);
};
const turn = () => {
  for (let count = 0; count < 20; count += 1) {
    const folder = `d${draw(Number(folders))}`;
    const file = `f${draw(Number(files))}`;
    const name = join(folder, file);
    const what = draw(10);
    if (what < 6) swapFolder(folder);
    else if (what < 7) moveOut(folder);
    else if (what < 9) putYoung(name);
    else putLink(name, join(outside, folder, file));
    swaps += 1;
  }
  if (stopped) process.send({ swaps, young: [...young] }, () => process.exit(0));
  else setImmediate(turn);
};
process.on('message', () => (stopped = true));
process.send('ready');
turn();
