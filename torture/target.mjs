// A target that writes down what it feels, and the bodies that are posted about it.
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';

/** Each effect is written down, synced, before it is answered; GET is a look, and /told takes notifications. `slow` milliseconds lie between. */
export const createTarget = async (file, slow) => {
  const answers = new Map();
  const heard = [];
  const server = createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => void chunks.push(chunk));
    request.on('end', () => {
      const path = request.url ?? '/';
      const text = Buffer.concat(chunks).toString('utf8');
      // Like many a server it says back what it was told.
      const said = JSON.stringify({ heard: request.headers.authorization ?? null });
      if (path === '/told') {
        heard.push(text);
        response.writeHead(200).end(said);
        return;
      }
      if (request.method === 'GET') {
        response.writeHead(answers.get(path)?.() ?? 200).end('{}');
        return;
      }
      const { run, step, target } = JSON.parse(text);
      const entry = { run, step, target, at: Date.now() };
      appendFileSync(file, `${JSON.stringify({ ...entry, phase: 'in' })}\n`, { flush: true });
      setTimeout(() => {
        appendFileSync(file, `${JSON.stringify({ ...entry, phase: 'out', left: Date.now() })}\n`);
        response.writeHead(answers.get(path)?.() ?? 200).end(said);
      }, slow());
    });
  });
  await new Promise((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return {
    host: `127.0.0.1:${server.address().port}`,
    /** The notifications that came to /told. */
    heard,
    /** `status` is asked each time. */
    answer: (path, status) => void answers.set(path, status),
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => void server.close(resolve));
    },
  };
};

export const pause = (ms) => new Promise((resolve) => void setTimeout(resolve, ms));

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
