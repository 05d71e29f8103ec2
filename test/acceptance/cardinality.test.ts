// Alerts whose labels nobody has seen before, a hundred thousand of them, to a real amends: what Prometheus scrapes stays as it was.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from '@jest/globals';
import { startedHere, until } from '../support/servers.ts';

const servers = startedHere();
afterAll(() => servers.stopAll(), 30_000);

const POSTS = 100;
const ALERTS = 1_000;

const post = async (url: string, number: number): Promise<void> => {
  const alerts = Array.from({ length: ALERTS }, (_, index) => {
    const id = `${number}-${index}`;
    return {
      status: 'firing',
      labels: {
        alertname: `Alert${id}`,
        component: `component-${id}`,
        target: `target-${id}`,
        strategy: `strategy-${id}`,
        rule: `rule-${id}`,
        [`label_${number}_${index}`]: id,
      },
      annotations: {},
      startsAt: new Date().toISOString(),
      endsAt: '0001-01-01T00:00:00Z',
    };
  });
  const response = await fetch(`${url}/webhook/alertmanager`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ version: '4', groupKey: '{}', receiver: 'amends', status: 'firing', alerts }),
  });
  expect(response.status).toBe(202);
};

const scrape = async (url: string): Promise<string> => (await fetch(`${url}/metrics`)).text();
const figure = (text: string, name: string): number =>
  Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
const seriesOf = (text: string): readonly string[] =>
  text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.slice(0, line.lastIndexOf(' ')))
    .toSorted();

/**
 * Milliseconds of the processor that amends spends on a scrape: the best of several rounds, since it does other things
 * meanwhile, and how far half of them lay above it.
 */
const costOf = async (url: string): Promise<{ readonly best: number; readonly noise: number }> => {
  const rounds: number[] = [];
  for (let round = 0; round < 9; round += 1) {
    const before = figure(await scrape(url), 'process_cpu_seconds_total');
    for (let count = 0; count < 19; count += 1) await scrape(url);
    rounds.push(((figure(await scrape(url), 'process_cpu_seconds_total') - before) * 1_000) / 20);
  }
  const [best = Number.NaN, ...others] = rounds.toSorted((left, right) => left - right);
  return { best, noise: (others[3] ?? Number.NaN) - best };
};

it('C9 100,000 distinct sets of labels sent in: series and scrape time stay as they were', async () => {
  const folder = await servers.folder();
  writeFileSync(
    join(folder, 'amends.yaml'),
    JSON.stringify({
      version: 1,
      rule_files: [],
      runbook_files: [],
      components: { shop: { inventory: { static: ['one'] }, allow: { actions: [] } } },
    }),
  );
  const amends = await servers.amends({
    config: join(folder, 'amends.yaml'),
    args: [`--storage.path=${join(folder, 'data')}`],
  });
  // The first post and its decisions bring in what had nothing to tell before; so do requests by their route.
  await post(amends.url, 0);
  const decided = (): Promise<true> =>
    until(
      'everything is decided',
      async () => figure(await scrape(amends.url), 'amends_alerts_undecided') === 0 || undefined,
      240_000,
      500,
    );
  await decided();
  await scrape(amends.url);
  const before = await scrape(amends.url);
  await costOf(amends.url);
  const costBefore = await costOf(amends.url);
  for (let number = 1; number <= POSTS; number += 1) await post(amends.url, number);
  await decided();
  const after = await scrape(amends.url);
  const costAfter = await costOf(amends.url);

  expect(figure(after, 'amends_alerts_total\\{status="firing"\\}')).toBe((POSTS + 1) * ALERTS);
  expect(seriesOf(after)).toEqual(seriesOf(before));
  expect(Buffer.byteLength(after)).toBeLessThan(1_024 * 1_024);
  expect(costAfter.best).toBeLessThan(20);
  // 100,000 incidents are open by now.
  expect(figure(after, 'amends_episodes_open')).toBe((POSTS + 1) * ALERTS);
  expect(costAfter.best).toBeLessThan(costBefore.best * 1.3 + costBefore.noise);
}, 400_000);
