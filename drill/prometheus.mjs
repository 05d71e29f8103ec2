// A Prometheus that watches the drill, so that what the dashboards say can be held against what the drill itself counted.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { seriesOf } from '../grafana/preview/data.mjs';
import { writePreview } from '../scripts/dashboards-preview.mjs';
import { binaryOf } from '../test/support/requires.ts';
import { getJson, startedHere, until } from '../test/support/servers.ts';

const SCRAPE_SECONDS = 1;

export const available = () =>
  binaryOf('prometheus') === undefined ? 'there is no prometheus here: sudo apt-get install -y prometheus' : null;

const valueOf = async (url, query) => {
  const { data } = await getJson(`${url}/api/v1/query?${new URLSearchParams({ query })}`);
  return data.result.length === 0 ? null : Number(data.result[0].value[1]);
};

/** Runs that ended as a recovery or a failure, as amends has them on record. */
const onRecord = async (amends) => {
  const counts = { success: 0, failure: 0 };
  let cursor = '';
  do {
    const page = await getJson(`${amends}/api/v1/runs?limit=500${cursor === '' ? '' : `&cursor=${cursor}`}`);
    for (const { outcome } of page.items) {
      if (outcome === 'resolved') counts.success += 1;
      if (outcome === 'unresolved' || outcome === 'stuck') counts.failure += 1;
    }
    cursor = page.next ?? '';
  } while (cursor !== '');
  return counts;
};

/** Scrapes amends each second; ready once it has seen every counter at zero, without which the first increase is lost. */
export const watch = async (amends) => {
  const servers = startedHere();
  const from = Date.now() / 1_000;
  const { url } = await servers.prometheus({
    config: {
      global: { scrape_interval: `${SCRAPE_SECONDS}s`, evaluation_interval: `${SCRAPE_SECONDS}s` },
      scrape_configs: [{ job_name: 'amends', static_configs: [{ targets: [new URL(amends).host] }] }],
    },
  });
  const counted = 'sum(infra_recovery_attempts_total{result=~"success|failure"})';
  await until('the first scrape is in', async () => (await valueOf(url, counted)) !== null);
  const spanNow = () => ({ from, to: Date.now() / 1_000, scrapeSeconds: SCRAPE_SECONDS });
  const overview = JSON.parse(readFileSync(join(import.meta.dirname, '../grafana/dashboards/overview.json'), 'utf8'));
  const panel = async (title, span) => {
    const { targets } = overview.panels.find((candidate) => candidate.type !== 'row' && candidate.title === title);
    const [series] = await seriesOf(url, targets[0], span);
    return series?.points.at(-1)[1] ?? null;
  };
  return {
    /** What the overview's own queries say, and what is on record. */
    async overview() {
      const record = await onRecord(amends);
      const ended = record.success + record.failure;
      await until('the last run is scraped', async () => (await valueOf(url, counted)) === ended);
      const span = spanNow();
      return {
        recovered: await panel('Recovered', span),
        failed: await panel('Failed', span),
        rate: await panel('Recovery rate', span),
        record,
      };
    },
    preview: (file) => writePreview({ prometheus: url, span: spanNow(), file }),
    stop: () => servers.stopAll(),
  };
};
