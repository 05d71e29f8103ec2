// A built amends in a process of its own, to be killed and started again, and a target that writes down what it feels.
import { spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const CHILD = fileURLToPath(new URL('../test/crash/amends-child.mjs', import.meta.url));

const settingsOf = (folder) => ({
  configFile: join(folder, 'amends.yaml'),
  configFileGiven: true,
  listen: { host: '127.0.0.1', port: 0 },
  externalUrl: null,
  storagePath: join(folder, 'data'),
  storageUrl: null,
  webConfigFile: null,
  recoveryMode: null,
  haltFile: join(folder, 'halt'),
  acceptEmptyHistory: false,
  logLevel: 'silent',
});

/** `dieAt`: the call of the store at which it kills itself, with `inside` before its commit; null: it lives. Null: it died while starting. */
export const serve = async (folder, dieAt = null) => {
  const child = spawn(process.execPath, [CHILD, JSON.stringify(settingsOf(folder)), JSON.stringify(dieAt)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const gone = new Promise((resolve) => void child.once('exit', resolve));
  const line = await Promise.race([
    new Promise((resolve) => void createInterface({ input: child.stdout }).once('line', resolve)),
    gone.then(() => null),
  ]);
  if (line === null) return null;
  const { url } = JSON.parse(line);
  const call = async (path, body) => {
    const response = await fetch(`${url}${path}`, {
      ...(body === undefined ? {} : { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) }),
      headers: { 'content-type': 'application/json', connection: 'close' },
    });
    return { status: response.status, body: await response.json().catch(() => null) };
  };
  return {
    url,
    gone,
    call,
    /** True only for a 202. */
    post: (body) =>
      call('/webhook/alertmanager', body).then(
        ({ status }) => status === 202,
        () => false,
      ),
    async kill() {
      child.kill('SIGKILL');
      await gone;
    },
  };
};

/** Each effect is written down, synced, before it is answered; GET is a look. `slow` milliseconds lie between. */
export const createTarget = async (file, slow) => {
  const answers = new Map();
  const server = createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => void chunks.push(chunk));
    request.on('end', () => {
      const path = request.url ?? '/';
      if (request.method === 'GET') {
        response.writeHead(answers.get(path)?.() ?? 200).end('{}');
        return;
      }
      const { run, step, target } = JSON.parse(Buffer.concat(chunks).toString('utf8'));
      const entry = { run, step, target, at: Date.now() };
      appendFileSync(file, `${JSON.stringify({ ...entry, phase: 'in' })}\n`, { flush: true });
      setTimeout(() => {
        appendFileSync(file, `${JSON.stringify({ ...entry, phase: 'out', left: Date.now() })}\n`);
        response.writeHead(answers.get(path)?.() ?? 200).end('{}');
      }, slow());
    });
  });
  await new Promise((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return {
    host: `127.0.0.1:${server.address().port}`,
    /** `status` is asked each time. */
    answer: (path, status) => void answers.set(path, status),
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => void server.close(resolve));
    },
  };
};

export const pause = (ms) => new Promise((resolve) => void setTimeout(resolve, ms));

/** Asks until there is an answer, at most for `ms`. */
export const until = async (what, ms, found) => {
  const end = performance.now() + ms;
  while (performance.now() < end) {
    const value = await found().catch(() => undefined);
    if (value !== undefined && value !== false) return value;
    await pause(25);
  }
  throw new Error(`${what} did not come within ${ms} ms`);
};

/** An Alertmanager body. */
export const bodyOf = (alerts, now = Date.now()) =>
  JSON.stringify({
    version: '4',
    groupKey: '{}',
    receiver: 'amends',
    status: 'firing',
    truncatedAlerts: 0,
    externalURL: '',
    groupLabels: {},
    commonLabels: {},
    commonAnnotations: {},
    alerts: alerts.map(({ labels, status = 'firing', startsAt = now }) => ({
      status,
      labels,
      annotations: {},
      startsAt: new Date(startsAt).toISOString(),
      endsAt: status === 'resolved' ? new Date(now).toISOString() : '0001-01-01T00:00:00Z',
      generatorURL: '',
      fingerprint: '0',
    })),
  });
