// Starts a real `amends serve` for a measurement, on a port and in a folder of its own, and ends it afterwards.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { root } from '../scripts/setup.mjs';

export const say = (line) => process.stderr.write(`${line}\n`);

/** A port that was free a moment ago. */
export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** `files` by name relative to a new folder, of which `amends.yaml` is the configuration. Resolves once it is ready. */
export async function startAmends(files, flags = []) {
  const folder = mkdtempSync(join(tmpdir(), 'amends-bench-'));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  const port = await freePort();
  const configFile = 'amends.yaml' in files ? join(folder, 'amends.yaml') : join(root, 'amends.yaml');
  const started = performance.now();
  const child = spawn(
    process.execPath,
    [
      join(root, 'bin/amends'),
      'serve',
      `--config.file=${configFile}`,
      `--web.listen-address=127.0.0.1:${port}`,
      `--storage.path=${join(folder, 'data')}`,
      ...flags,
    ],
    { cwd: root, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let log = '';
  child.stderr.on('data', (chunk) => (log = `${log}${chunk}`.slice(-8_192)));
  let ended = false;
  const exit = new Promise((resolve) => {
    child.once('exit', () => {
      ended = true;
      resolve();
    });
  });
  const url = `http://127.0.0.1:${port}`;
  const stop = async () => {
    child.kill('SIGTERM');
    await exit;
    rmSync(folder, { recursive: true, force: true });
  };
  while (!ended && performance.now() - started < 15_000) {
    if (await answers(`${url}/-/ready`))
      return { url, port, folder, pid: child.pid, readyMs: performance.now() - started, stop };
    await sleep(5);
  }
  await stop();
  throw new Error(`amends did not become ready:\n${log}`);
}

async function answers(url) {
  try {
    return (await fetch(url)).ok;
  } catch {
    return false;
  }
}

/** The value of one metric without labels, or the sum over its series. */
export async function metric(url, name) {
  const text = await (await fetch(`${url}/metrics`)).text();
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

export const percentile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
export const median = (values) =>
  percentile(
    values.toSorted((left, right) => left - right),
    0.5,
  );
export const rounded = (value, digits = 2) => Number(value.toFixed(digits));
