// From posting an alert to the first effect of its run, seen from outside: the first step calls a server of ours, which
// notes when. One alert at a time, on an idle machine.
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { percentile, rounded, say, startAmends } from './amends.mjs';

const goals = { p50_ms: 10, p99_ms: 50 };

/** Hundreds of components in a minute would be a storm, and held. */
const storm = { components: 100_000 };

/** A component for each alert, so that its history is as short as in real life; JSON is YAML too. */
const files = (port, alerts) => ({
  'amends.yaml': JSON.stringify({
    version: 1,
    rule_files: ['rules/**/*.json'],
    runbook_files: ['runbooks/**/*.yaml'],
    recovery: { mode: 'auto', budget: [{ max: 100_000, per: '1h' }], max_concurrent_total: 1_000, storm },
    components: Object.fromEntries(
      Array.from({ length: alerts }, (_, index) => [
        `bench-${index}`,
        {
          kind: 'bench',
          inventory: { static: [`target-${index}`] },
          connect: { url: `http://127.0.0.1:${port}` },
          allow: { actions: ['http.*'] },
        },
      ]),
    ),
    allow: { hosts: [`127.0.0.1:${port}`] },
  }),
  'rules/bench/touch.json': JSON.stringify({
    name: 'bench-touch',
    description: 'Every bench alert starts a run.',
    priority: 50,
    conditions: { all: [{ fact: 'alertname', operator: 'equal', value: 'BenchLatency' }] },
    event: { type: 'remediate', params: { runbook: 'bench/touch', mode: 'auto' } },
  }),
  'runbooks/bench/touch.yaml': `version: 1
summary: Calls the bench's own server.
severity: SEV4
timeout: 30s
steps:
  - { id: touch, uses: http.request, with: { url: "\${{ connect.url }}", method: POST }, idempotent: true }
verify:
  - { uses: http.get, with: { url: "\${{ connect.url }}" } }
guide: |
  Nothing to do: this runbook measures.
`,
});

export async function measure({ alerts = 300, warm = 20 }) {
  let arrived = () => undefined;
  let verified = () => undefined;
  const server = createServer((request, response) => {
    if (request.method === 'POST') arrived(performance.now());
    else verified();
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const amends = await startAmends(files(server.address().port, alerts + warm));
  const times = [];
  try {
    for (let index = 0; index < alerts + warm; index += 1) {
      const effect = new Promise((resolve, reject) => {
        arrived = resolve;
        setTimeout(() => reject(new Error(`no step within 10 s for target-${index}`)), 10_000).unref();
      });
      const ended = new Promise((resolve) => (verified = resolve));
      const began = performance.now();
      const response = await fetch(`${amends.url}/webhook/alertmanager`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: bodyFor(index),
      });
      if (response.status !== 202) throw new Error(`${response.status}: ${await response.text()}`);
      await response.arrayBuffer();
      const ms = (await effect) - began;
      if (index >= warm) times.push(ms);
      // The machine is idle again before the next one.
      await ended;
      await sleep(20);
    }
  } finally {
    server.closeAllConnections();
    server.close();
    await amends.stop();
  }
  times.sort((left, right) => left - right);
  const result = {
    p50_ms: rounded(percentile(times, 0.5)),
    p99_ms: rounded(percentile(times, 0.99)),
    max_ms: rounded(times.at(-1)),
  };
  say(`${alerts} alerts, p50 ${result.p50_ms} ms, p99 ${result.p99_ms} ms`);
  return {
    bench: 'latency',
    alerts,
    ...result,
    goals,
    pass: result.p50_ms < goals.p50_ms && result.p99_ms < goals.p99_ms,
  };
}

function bodyFor(index) {
  const labels = {
    alertname: 'BenchLatency',
    component: `bench-${index}`,
    target: `target-${index}`,
    instance: `target-${index}`,
  };
  return JSON.stringify({
    version: '4',
    groupKey: `{}:{instance="target-${index}"}`,
    truncatedAlerts: 0,
    status: 'firing',
    receiver: 'amends',
    groupLabels: labels,
    commonLabels: labels,
    commonAnnotations: {},
    externalURL: 'http://127.0.0.1:9093',
    alerts: [
      {
        status: 'firing',
        labels,
        annotations: { summary: 'bench' },
        startsAt: new Date().toISOString(),
        endsAt: '0001-01-01T00:00:00Z',
        generatorURL: '',
        fingerprint: String(index),
      },
    ],
  });
}
