// The demo from its first process to its last: sets the shop, amends and the monitoring up, plays the incidents, and takes
// everything away again.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatDuration } from '../../base/duration.ts';
import { TEMPO, componentOf, writeConfiguration } from './configuration.ts';
import { INCIDENTS, play, resultOf } from './incidents.ts';
import type { Demo } from './incidents.ts';
import { choosePorts, postDirectly, startPrometheus } from './monitoring.ts';
import { answers, createProcesses, freePort, until } from './processes.ts';
import type { Processes } from './processes.ts';
import { makeShopFiles } from './shop-files.ts';
import { startStory } from './story.ts';
import { createClient } from '../terminal/client.ts';
import type { Invocation } from '../terminal/command.ts';
import { FINE, FOUND } from '../terminal/edge.ts';

/** Of the package: where the shipped rules, runbooks and alerts are. */
const SHIPPED = new URL('../../../', import.meta.url);
const programOf = (name: string): string =>
  new URL(`${name}.${import.meta.url.endsWith('.ts') ? 'ts' : 'js'}`, import.meta.url).pathname;
const UP_WITHIN_MS = 20_000;

export const runDemo = async (invocation: Invocation): Promise<number> => {
  const { edge, options, output } = invocation;
  const stopping = new AbortController();
  const off = edge.onStop(() => (stopping.signal.aborted ? edge.exitNow(FOUND) : stopping.abort(new Error('stopped'))));
  const folder = mkdtempSync(join(tmpdir(), 'amends-demo-'));
  const processes = createProcesses(edge.clock);
  const print = output === 'json' ? edge.err : edge.out;
  try {
    const demo = await setUp(invocation, { folder, processes, print, signal: stopping.signal });
    let asExpected = true;
    for (const incident of INCIDENTS) asExpected = (await play(incident, demo)) && asExpected;
    const incidents = await Promise.all(
      INCIDENTS.map(({ department }) => resultOf(demo.client, componentOf(department))),
    );
    asExpected =
      asExpected &&
      incidents.every(
        (incident, index) => (incident.outcome === 'resolved') === (INCIDENTS[index]?.expected === 'resolved'),
      );
    for (const { component, strategy, outcome, attempts, in_inbox, alert_to_verified_ms } of incidents) {
      const end =
        alert_to_verified_ms === null
          ? in_inbox
            ? 'a human has it'
            : 'not recovered'
          : `verified ${formatDuration(alert_to_verified_ms)} after the alert`;
      print(
        `${component.padEnd(14)} ${strategy ?? '-'}: ${outcome ?? '-'} after ${attempts} ${attempts === 1 ? 'attempt' : 'attempts'}, ${end}`,
      );
    }
    if (options['once'] !== true) {
      print(
        `\nStays up until Ctrl-C. Look around:\n  amends status --url=${demo.client.url}\n  amends history --url=${demo.client.url}\n  curl ${demo.client.url}/api/v1/runs`,
      );
      await new Promise<void>((resolve) => {
        stopping.signal.addEventListener('abort', () => resolve(), { once: true });
      });
    }
    if (output === 'json') edge.out(JSON.stringify({ incidents, via: demo.monitoring.via }));
    return asExpected ? FINE : FOUND;
  } catch (error) {
    if (stopping.signal.aborted) return FINE;
    edge.err(`The demo could not go on: ${error instanceof Error ? error.message : String(error)}`);
    return FOUND;
  } finally {
    stopping.abort(new Error('over'));
    off();
    await processes.end();
    rmSync(folder, { recursive: true, force: true });
  }
};

type Stage = {
  readonly folder: string;
  readonly processes: Processes;
  readonly print: (line: string) => void;
  readonly signal: AbortSignal;
};

const setUp = async (
  { edge, options, output }: Invocation,
  { folder, processes, print, signal }: Stage,
): Promise<Demo> => {
  const { clock } = edge;
  const colors = edge.colors && output !== 'json';
  const shopFolder = join(folder, 'shop');
  mkdirSync(shopFolder);
  makeShopFiles(shopFolder, clock.now());
  const shop = await processes.start('shop', process.execPath, [programOf('./shop'), shopFolder]);
  const { port: shopPort } = JSON.parse((await shop?.firstLine) ?? '{}') as { port: number };
  const shopUrl = `http://127.0.0.1:${shopPort}`;

  const amends = `127.0.0.1:${await freePort()}`;
  const client = createClient({ url: `http://${amends}`, tokenFile: undefined });
  const configFile = writeConfiguration(folder, SHIPPED, shopFolder);
  const serve = [
    programOf('../../main'),
    'serve',
    `--config.file=${configFile}`,
    `--web.listen-address=${amends}`,
    `--storage.path=${join(folder, 'data')}`,
  ];
  const server = await processes.start('amends', process.execPath, serve);
  await Promise.race([
    until(clock, `amends at ${client.url}`, UP_WITHIN_MS, signal, async () => answers(`${client.url}/-/ready`)),
    server?.ended.then((words) => Promise.reject(new Error(`amends serve ended:\n${words}`))),
  ]);
  const plan = {
    clock,
    processes,
    signal,
    folder,
    alertsFolder: new URL('alerts/', SHIPPED).pathname,
    amends,
    ports: await choosePorts(),
  };
  const monitoring =
    (options['direct'] === true ? undefined : await startPrometheus(plan)) ?? postDirectly(clock, amends);
  print(
    [
      `shop       ${shopUrl}/orders, /stock, /receipts: one process, a SQLite file and backups for each`,
      `amends     ${client.url}: the console at ${client.url}/console, metrics at ${client.url}/metrics`,
      `settings   ${INCIDENTS.length} components, mode ${TEMPO.mode}, ${TEMPO.attempts} attempts an hour, cooldown ${TEMPO.cooldown}, settling ${TEMPO.settle}, probes every ${TEMPO.probes}; a real one has minutes and hours`,
      ...monitoring.about.map((line) => `alerts     ${line}`),
      '',
    ].join('\n'),
  );
  // The folder's name says nothing and is long.
  const short = (line: string): void => print(line.replaceAll(`${shopFolder}/`, ''));
  const story = startStory({ clock, client, print: short, colors, signal });
  return { clock, signal, client, story, processes, monitoring, shopFolder, shopUrl };
};
