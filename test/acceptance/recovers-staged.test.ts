// A planned rollback through shadow, staging and production: three real repositories, each with the process that serves
// what is checked out in it, a Prometheus that scrapes them, and humans who agree by the command line and by the API.
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect } from '@jest/globals';
import { serveRepository } from '../support/application.ts';
import type { ServedApplication } from '../support/application.ts';
import { git, makeRepository } from '../support/repository.ts';
import { itWith } from '../support/requires.ts';
import { getJson, startedHere, until } from '../support/servers.ts';
import type { Running } from '../support/servers.ts';
import { resolved, startShipped } from '../support/shipped.ts';
import type { Row, Shipped } from '../support/shipped.ts';

const servers = startedHere();
const STAGES = ['shadow', 'staging', 'production'] as const;
type Stage = (typeof STAGES)[number];
type Place = ServedApplication & { readonly repository: string };

let amends: Shipped | null = null;
const apps: Running[] = [];
afterEach(async () => {
  await amends?.stop();
  amends = null;
  await Promise.all(apps.splice(0).map((app) => app.stop()));
});
afterAll(() => servers.stopAll());

const version = (name: string, errorShare: number): Record<string, string> => ({
  'version.txt': name,
  'error_share.txt': String(errorShare),
  ...(name === 'v1' ? { old: 'yes' } : {}),
});

const place = async (folder: string, stage: Stage): Promise<Place> => {
  const repository = join(folder, stage);
  makeRepository(repository, [version('v1', 0.01), version('v2', 0.02)]);
  git(repository, 'tag', 'last-good', 'HEAD~1');
  const served = await serveRepository(servers, { name: stage, repository, portFile: join(folder, `${stage}.port`) });
  apps.push(served.app);
  return { repository, ...served };
};

const begin = async (): Promise<{
  amends: Shipped;
  served(this: void): Promise<readonly string[]>;
  places: Readonly<Record<Stage, Place>>;
}> => {
  const folder = await servers.folder();
  const [shadow, staging, production] = await Promise.all([
    place(folder, 'shadow'),
    place(folder, 'staging'),
    place(folder, 'production'),
  ]);
  const places = { shadow, staging, production };
  const prometheus = await servers.prometheus({
    config: {
      scrape_configs: [
        {
          job_name: 'shop',
          scrape_interval: '200ms',
          scrape_timeout: '200ms',
          static_configs: STAGES.map((stage) => ({ targets: [new URL(places[stage].url).host], labels: { stage } })),
        },
      ],
    },
  });
  await until('all three are scraped', async () => {
    const { data } = await getJson<{ data: { result: unknown[] } }>(
      `${prometheus.url}/api/v1/query?query=http_error_share`,
    );
    return data.result.length === STAGES.length;
  });
  const deployed = ({ repository, app }: Place): object => ({
    repository,
    deploy: ['/bin/kill', '-HUP', String(app.pid)],
  });
  amends = await startShipped(servers, {
    kinds: ['application'],
    components: {
      shop: {
        kind: 'application',
        inventory: {
          static: [
            {
              target: 'web',
              connect: {
                url: production.url,
                shadow: {
                  ...deployed(shadow),
                  tests: [{ name: 'regression', argv: ['/usr/bin/test', '-f', join(shadow.repository, 'old')] }],
                },
                staging: deployed(staging),
                production: deployed(production),
                prometheus_url: prometheus.url,
                watch: { query: 'max(http_error_share{stage="staging"})', below: 0.05 },
                validation: { commands: [], endpoints: [{ url: `${production.url}/health` }] },
              },
            },
          ],
        },
        allow: { actions: ['*'] },
      },
    },
    allow: {
      hosts: [...STAGES.map((stage) => new URL(places[stage].url).host), new URL(prometheus.url).host],
      paths: [folder],
      commands: ['/usr/bin/git', '/bin/kill', '/usr/bin/test'],
    },
  });
  const served = async (): Promise<readonly string[]> =>
    Promise.all(
      STAGES.map(async (stage) => (await getJson<{ version: string }>(`${places[stage].url}/version`)).version),
    );
  return { amends, served, places };
};

/** The run of the strategy, once it rests where its step waits for a human; null is the question before its beginning. */
const waiting = (run: Shipped, step: string | null): Promise<Row> =>
  until(
    step ?? 'the question before it begins',
    async () => {
      const [found] = await run.list('runs');
      if (found?.['state'] === 'done') throw new Error(JSON.stringify(found));
      if (found?.['state'] !== 'awaiting_approval') return false;
      const { events } = await getJson<{ events: ReadonlyArray<{ type: string; step?: string | null }> }>(
        `${run.server.url}/api/v1/runs/${String(found['id'])}`,
      );
      return events.findLast(({ type }) => type === 'approval_requested')?.step === step && found;
    },
    45_000,
  );

const ASKED = ['recover', '--component=shop', '--target=web', '--strategy=staged-rollback', '--by=ann'];

describe('a planned rollback and a started amends', () => {
  itWith('prometheus')(
    'O3 goes through shadow, staging and production, each served in its turn, with what Prometheus says between and a human before the last two',
    async () => {
      const { amends: run, served, places } = await begin();
      expect(await served()).toEqual(['v2', 'v2', 'v2']);
      await run.ask(0, ...ASKED, `--inputs=${JSON.stringify({ watch: '2s', every: '200ms' })}`);
      const { id } = await waiting(run, 'steps/ask_staging');
      expect(await served()).toEqual(['v1', 'v2', 'v2']);

      await run.ask(0, 'approve', String(id), '--step=steps/ask_staging', '--by=bob', '--comment=its tests pass');
      await waiting(run, 'steps/ask_production');
      expect(await served()).toEqual(['v1', 'v1', 'v2']);

      // As the console and a chat bot do it.
      const answer = await fetch(`${run.server.url}/api/v1/runs/${String(id)}/approve`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ step: 'steps/ask_production', by: 'bob', comment: 'staging is well' }),
      });
      expect(answer.status).toBe(200);
      expect(await run.ended('staged-rollback')).toMatchObject(resolved('staged-rollback'));
      expect(await served()).toEqual(['v1', 'v1', 'v1']);
      expect(JSON.stringify(await run.ask(0, 'runs', 'show', String(id)))).toContain('"value":0.01');
      expect(JSON.stringify(await run.list('audit?limit=100'))).toContain('its tests pass');
      expect(JSON.stringify(await run.list('inbox'))).toContain('was rolled back to last-good in all three stages');
      // What was served before is kept, under a name that a human can go back to.
      expect(git(places.production.repository, 'show', 'HEAD~1:version.txt')).toBe('v2');
    },
    90_000,
  );

  itWith('prometheus')(
    'O3 an old version that does worse on staging is seen by Prometheus: production is not asked about, every stage serves the new one again',
    async () => {
      const { amends: run, served, places } = await begin();
      // As the alert that somebody posts, or a tool for plans: with a question before anything begins.
      await run.fire('PlannedRollback', 'shop', 'web');
      const { id } = await waiting(run, null);
      expect(await served()).toEqual(['v2', 'v2', 'v2']);
      await run.ask(0, 'approve', String(id), '--by=bob');
      await waiting(run, 'steps/ask_staging');
      await run.ask(0, 'approve', String(id), '--step=steps/ask_staging', '--by=bob');
      await until('staging is watched', async () =>
        JSON.stringify(await getJson(`${run.server.url}/api/v1/runs/${String(id)}`)).includes(
          '"type":"step_started","step":"steps/watch"',
        ),
      );
      // Half an hour is what the runbook asks for: the first bad figure ends it.
      await fetch(`${places.staging.url}/worsen`);
      // Not the newest: whether it should try again is asked at once, since nothing cools down here.
      const end = await until('its end', async () => {
        const found = (await run.list('runs')).find((one) => one['id'] === id);
        return found?.['state'] === 'done' && found;
      });
      expect(end).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
      expect(await served()).toEqual(['v2', 'v2', 'v2']);
      const shown = JSON.stringify(await run.ask(0, 'runs', 'show', String(id)));
      expect(shown).toMatch(/was below 0\.05 for [\d.]+ s, and then 0\.2/);
      expect(shown).not.toMatch(/"step_started","step":"steps\/production"/);
      await waiting(run, null);
      expect(await run.list('inbox?status=open')).toMatchObject([{ kind: 'approval', severity: 'SEV3' }]);
    },
    90_000,
  );
});
