// The receiver beside a bare express with express.json(), in alternating rounds of one run: absolute figures swing with
// the machine, their ratio holds. Single-alert posts, each a new alert, each durable before it is answered.
import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { median, metric, rounded, say, startAmends } from './amends.mjs';

const goal = 0.7;
const here = (name) => fileURLToPath(new URL(name, import.meta.url));

/** What is decided about each alert meanwhile: one of `rules` matches and is recorded. */
const files = (rules) => ({
  'amends.yaml': 'version: 1\nrule_files: [rules/**/*.json]\nrunbook_files: []\n',
  ...Object.fromEntries(
    Array.from({ length: rules }, (_, index) => {
      const name = index === 0 ? 'BenchAlert' : `OtherAlert${index}`;
      const rule = {
        name: `bench-${index}`,
        description: 'Recorded, nothing else.',
        priority: 50,
        conditions: { all: [{ fact: 'alertname', operator: 'equal', value: name }] },
        event: { type: 'observe' },
      };
      return [`rules/bench/bench-${index}.json`, JSON.stringify(rule)];
    }),
  ),
});

export async function measure({ rounds = 5, seconds = 4, connections = 64, rules = 100 }) {
  const amends = await startAmends(files(rules));
  const express = await startExpress();
  const seen = { amends: [], express: [] };
  try {
    for (let round = 0; round <= rounds; round += 1) {
      for (const [name, url] of Object.entries({ amends: amends.url, express: express.url })) {
        const result = await load(url, connections, round === 0 ? 1 : seconds, `${name}-${round}`);
        if (Object.keys(result.failures).length > 0) say(`  ${name} refused: ${JSON.stringify(result.failures)}`);
        if (round > 0) seen[name].push(result);
        say(
          `round ${round}${round === 0 ? ' (warm-up)' : ''}: ${name} ${Math.round(result.perSecond)} posts/s, p99 ${rounded(result.p99 ?? 0, 1)} ms`,
        );
        // Deciding goes on after the answer; the other side must not pay for it.
        if (name === 'amends') await decided(amends.url);
      }
    }
  } finally {
    express.stop();
    await amends.stop();
  }
  const of = (name) => ({
    posts_per_second: Math.round(median(seen[name].map((result) => result.perSecond))),
    p50_ms: rounded(median(seen[name].map((result) => result.p50))),
    p99_ms: rounded(median(seen[name].map((result) => result.p99))),
    refused: seen[name].reduce(
      (sum, { failures }) => sum + Object.values(failures).reduce((all, count) => all + count, 0),
      0,
    ),
  });
  const ratio = median(seen.amends.map((result, index) => result.perSecond / seen.express[index].perSecond));
  const [ours, bare] = [of('amends'), of('express')];
  return {
    bench: 'accept',
    connections,
    rounds,
    rules,
    amends: ours,
    express: bare,
    ratio: rounded(ratio, 3),
    goal,
    pass: ratio >= goal && ours.refused === 0,
  };
}

/** Until every accepted alert has its decision. */
async function decided(url) {
  for (let waited = 0; waited < 120_000; waited += 100) {
    if ((await metric(url, 'amends_decisions_total')) >= (await metric(url, 'amends_alerts_total'))) return;
    await sleep(100);
  }
  say('  gave up waiting for the decisions');
}

async function load(url, connections, seconds, name) {
  const args = [here('load.mjs'), `${url}/webhook/alertmanager`, String(connections), String(seconds), name];
  const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 1 << 20 });
  return JSON.parse(stdout);
}

async function startExpress() {
  const child = spawn(process.execPath, [here('express.mjs')], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, NODE_ENV: 'production' },
  });
  const port = await new Promise((resolve) => child.stdout.once('data', (chunk) => resolve(Number(chunk))));
  return { url: `http://127.0.0.1:${port}`, stop: () => child.kill() };
}
