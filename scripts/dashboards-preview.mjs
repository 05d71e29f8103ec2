// `npm run dashboards:preview`: every panel of grafana/dashboards drawn from the answers of a real Prometheus, on one page
// without anything from elsewhere, so that a layout mistake shows without a Grafana. With --prometheus=URL it asks that one;
// without, it lets the database faults of the drill happen and be recovered under a Prometheus of its own.
// --out FILE (default data/dashboards.html), --minutes N (default 60), --scrape SECONDS (default 15).
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { previewPage } from '../grafana/preview/page.mjs';
import { argumentsOf, misused, wholeNumber } from './arguments.mjs';
import { root } from './setup.mjs';

const FOLDER = join(root, 'grafana/dashboards');
const ORDER = ['amends-overview', 'amends-component', 'amends-rules', 'amends-itself'];

/** Draws the shipped dashboards. `span` is from, to (Unix seconds) and scrapeSeconds. */
export const writePreview = async ({ prometheus, span, file }) => {
  const boards = readdirSync(FOLDER)
    .filter((name) => name.endsWith('.json'))
    .map((name) => JSON.parse(readFileSync(join(FOLDER, name), 'utf8')))
    .toSorted((left, right) => ORDER.indexOf(left.uid) - ORDER.indexOf(right.uid));
  const page = await previewPage(prometheus, boards, span);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, page);
};

const main = async () => {
  const { values: given } = argumentsOf({
    usage: `
npm run dashboards:preview -- [options]

Draws every panel of grafana/dashboards from the answers of a real Prometheus, on one page without anything from elsewhere.
Without --prometheus it breaks and recovers real databases under a Prometheus of its own first.

  --prometheus URL   the Prometheus to ask
  --out FILE         the page (data/dashboards.html)
  --minutes N        how far back, with --prometheus (60)
  --scrape SECONDS   how often that Prometheus scrapes (15)

Examples:
  npm run dashboards:preview
  npm run dashboards:preview -- --prometheus=http://127.0.0.1:9090 --minutes=180
`,
    options: {
      prometheus: { type: 'string' },
      out: { type: 'string', default: join(root, 'data/dashboards.html') },
      minutes: { type: 'string', default: '60' },
      scrape: { type: 'string', default: '15' },
    },
  });
  const minutes = wholeNumber('minutes', given.minutes, 1);
  const scrapeSeconds = wholeNumber('scrape', given.scrape, 1);
  if (given.prometheus !== undefined && !URL.canParse(given.prometheus))
    misused(`--prometheus takes an address like http://127.0.0.1:9090, not '${given.prometheus}'.`);
  if (given.prometheus === undefined) {
    const args = ['--only=database', '--tries=2', `--preview=${given.out}`];
    process.exitCode =
      spawnSync(process.execPath, [join(root, 'drill/main.mjs'), ...args], { stdio: 'inherit' }).status ?? 1;
    return;
  }
  const to = Date.now() / 1_000;
  const span = { from: to - minutes * 60, to, scrapeSeconds };
  await writePreview({ prometheus: given.prometheus.replace(/\/$/, ''), span, file: given.out });
  process.stderr.write(`${given.out}\n`);
};

if (process.argv[1] === new URL(import.meta.url).pathname) await main();
