// What `npm test` and `npm run demo` do first, so that a clean clone needs no third command: check the machine, install
// the packages, build. Starts without node_modules and tells of its progress on stderr, which leaves stdout to results.
import { spawn } from 'node:child_process';
import { accessSync, constants, lstatSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { constants as os } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

const nodeFloor = [20, 19];
const heartbeat = 15_000;
/** What the install needs, and the Debian package that brings it. */
const tools = { git: 'git', 'g++': 'g++', make: 'make', python3: 'python3' };

const say = (line) => process.stderr.write(`${line}\n`);

/** Brings the working tree to where it can run; ends the process with what to do when it cannot. */
export async function setUp() {
  checkNode();
  if (isSetUp()) return;
  await alone(bringUp);
}

const isInstalled = () => mtime('node_modules/.package-lock.json') >= mtime('package-lock.json');
const isBuilt = () =>
  Math.min(newest('dist'), newest('bundle')) >=
  Math.max(newest('src'), mtime('tsconfig.build.json'), mtime('scripts/build.mjs'));
const isSetUp = () => isInstalled() && isBuilt();

/** Two of these at once in one checkout would each delete the packages that the other installs. */
async function alone(work) {
  const file = join(root, '.setup.lock');
  let told = false;
  for (;;) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const owner = Number(readOr(file, '0'));
    if (owner > 0 && !isAlive(owner)) rmSync(file, { force: true });
    else {
      if (!told) say('Waiting for another set-up of this folder.');
      told = true;
      await sleep(250);
    }
  }
  try {
    await work();
  } finally {
    rmSync(file, { force: true });
  }
}

const readOr = (file, otherwise) => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return otherwise;
  }
};

const isAlive = (pid) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
};

/** npm would empty the folder behind the link, which is somebody else's. */
const isLink = (path) => lstatSync(join(root, path), { throwIfNoEntry: false })?.isSymbolicLink() === true;

async function bringUp() {
  if (!isInstalled()) {
    if (isLink('node_modules')) {
      say(
        'node_modules is a link to another folder and older than package-lock.json: remove the link, then try again.',
      );
      process.exit(1);
    }
    checkTools();
    say('Installing packages (npm ci). better-sqlite3 compiles from source: allow one to three minutes.');
    await step('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], 'still installing');
  }
  if (!isBuilt()) {
    say('Building (npm run build).');
    await step('npm', ['run', '--silent', 'build'], 'still building');
  }
}

/** Runs a command on our terminal, passes signals on to it, and gives its exit code. */
export function run(command, args, { stdout = 'inherit' } = {}) {
  const child = spawn(command, args, { cwd: root, stdio: ['inherit', stdout, 'inherit'] });
  const passOn = (signal) => {
    // A terminal sends Ctrl-C to the child as well; sending it twice would say "at once".
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.on(signal, passOn);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      for (const each of signals) process.off(each, passOn);
      resolve(code ?? 128 + os.signals[signal]);
    });
  });
}

async function step(command, args, meanwhile) {
  const started = Date.now();
  const beat = setInterval(() => say(`  ${meanwhile}, ${Math.round((Date.now() - started) / 1000)} s`), heartbeat);
  const code = await run(command, args, { stdout: process.stderr }).finally(() => clearInterval(beat));
  if (code !== 0) stop(`${command} ${args.join(' ')} failed (exit ${code}); its reason is above.`, code);
  say(`  done in ${Math.round((Date.now() - started) / 1000)} s`);
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > nodeFloor[0] || (major === nodeFloor[0] && minor >= nodeFloor[1])) return;
  stop(
    `Node ${nodeFloor.join('.')} or later is needed, this is ${process.versions.node}. Run:\n\n` +
      '  curl -fsSL https://deb.nodesource.com/setup_24.x | sudo -E bash - && sudo apt-get install -y nodejs\n',
  );
}

function checkTools() {
  const missing = Object.keys(tools).filter((tool) => !onPath(tool));
  if (missing.length === 0) return;
  const packages = missing.map((tool) => tools[tool]).join(' ');
  stop(
    `Missing on this machine: ${missing.join(', ')}. Run:\n\n  sudo apt-get update && sudo apt-get install -y ${packages}\n`,
  );
}

function onPath(tool) {
  return (process.env.PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, tool), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function mtime(path) {
  return statSync(join(root, path), { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** The newest change under a folder; a folder's own time tells of files that went away. */
function newest(path) {
  const own = mtime(path);
  if (own === 0) return 0;
  const inside = readdirSync(join(root, path), { withFileTypes: true }).map((entry) =>
    entry.isDirectory() ? newest(join(path, entry.name)) : mtime(join(path, entry.name)),
  );
  return Math.max(own, ...inside);
}

function stop(message, code = 1) {
  say(message);
  process.exit(code);
}
