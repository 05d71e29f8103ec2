// The load generator, a process of its own: keeps `connections` posts of one alert under way for `seconds` and prints
// what it saw as JSON. Every alert is a new one (its instance label), as in a storm. Arguments: url, connections, seconds, name.
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';

const [url, connectionsText, secondsText, name] = process.argv.slice(2);
const connections = Number(connectionsText);
const warmUpMs = 500;
const endsAfterMs = warmUpMs + Number(secondsText) * 1_000;

const capture = JSON.parse(readFileSync(new URL('../test/captures/single-firing.json', import.meta.url), 'utf8'));
const alert = {
  ...capture.alerts[0],
  labels: { ...capture.alerts[0].labels, alertname: 'BenchAlert', instance: 'INSTANCE' },
};
const template = JSON.stringify({ ...capture, alerts: [{ ...alert, startsAt: new Date().toISOString() }] });
const [head, tail] = template.split('INSTANCE');

const agent = new Agent({ keepAlive: true, maxSockets: connections });
const { hostname, port, pathname } = new URL(url);
const latencies = [];
const failures = {};
let sent = 0;
const started = performance.now();

const post = () =>
  new Promise((resolve) => {
    const body = Buffer.from(`${head}${name}-${(sent += 1)}${tail}`);
    const began = performance.now();
    const call = request(
      {
        agent,
        hostname,
        port,
        path: pathname,
        method: 'POST',
        headers: { 'content-type': 'application/json', 'content-length': body.length },
      },
      (response) => {
        response.resume().once('end', () => {
          if (response.statusCode === 202) {
            if (began - started >= warmUpMs) latencies.push(performance.now() - began);
          } else failures[response.statusCode] = (failures[response.statusCode] ?? 0) + 1;
          resolve();
        });
      },
    );
    call.once('error', (error) => {
      failures[error.code] = (failures[error.code] ?? 0) + 1;
      resolve();
    });
    call.end(body);
  });

const connection = async () => {
  while (performance.now() - started < endsAfterMs) await post();
};

await Promise.all(Array.from({ length: connections }, connection));
const seconds = (performance.now() - started - warmUpMs) / 1_000;
agent.destroy();
latencies.sort((left, right) => left - right);
const at = (share) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? null;
process.stdout.write(
  JSON.stringify({ posts: sent, perSecond: latencies.length / seconds, p50: at(0.5), p99: at(0.99), failures }),
);
