// A staged rollback on three real repositories, watched on a real Prometheus, with a human asked between the stages.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect } from '@jest/globals';
import { startEngine } from '../support/engine.ts';
import type { EngineUnderTest } from '../support/engine.ts';
import { startJsonServer } from '../support/json-server.ts';
import type { JsonServer } from '../support/json-server.ts';
import { commit, git, makeRepository } from '../support/repository.ts';
import { binaryOf, itWith } from '../support/requires.ts';
import { getJson, root, startedHere, until } from '../support/servers.ts';
import type { Running } from '../support/servers.ts';
import { askFor, openInbox, sayYes, storyOf } from '../support/story.ts';

const servers = startedHere();
const STAGES = ['shadow', 'staging', 'production'] as const;
let prometheus: Running;
let shop: JsonServer;
let rate = 0.01;
let folder: string;
let amends: EngineUnderTest;

beforeAll(async () => {
  shop = await startJsonServer(({ path }) =>
    path === '/metrics' ? { text: `http_error_share{stage="staging"} ${rate}\n` } : { json: { status: 'healthy' } },
  );
  if (binaryOf('prometheus') === undefined) return;
  const scrape = {
    job_name: 'shop',
    scrape_interval: '200ms',
    scrape_timeout: '200ms',
    static_configs: [{ targets: [shop.host] }],
  };
  prometheus = await servers.prometheus({ config: { scrape_configs: [scrape] } });
  await until('the shop is scraped', async () => {
    const { data } = await getJson<{ data: { result: unknown[] } }>(
      `${prometheus.url}/api/v1/query?query=http_error_share`,
    );
    return data.result.length === 1;
  });
}, 60_000);
afterAll(async () => {
  await servers.stopAll();
  await shop.close();
});

const repository = (stage: string): string => join(folder, stage);
/** What a stage serves: what its deployment copied. */
const deployed = (stage: string): string => readFileSync(join(folder, `${stage}-live`), 'utf8');
const versions = (): readonly string[] => STAGES.map(deployed);

beforeEach(async () => {
  if (binaryOf('prometheus') === undefined) return;
  rate = 0.01;
  folder = mkdtempSync(join(tmpdir(), 'amends-staged-'));
  for (const stage of STAGES) {
    makeRepository(repository(stage), [{ 'version.txt': 'v1' }, { 'version.txt': 'v2' }]);
    git(repository(stage), 'tag', 'last-good', 'HEAD~1');
    writeFileSync(join(folder, `${stage}-live`), 'v2');
  }
  const stage = (name: string, more = ''): string =>
    `${name}: { repository: "${repository(name)}", deploy: ["/bin/cp", "${repository(name)}/version.txt", "${folder}/${name}-live"]${more} }`;
  amends = await startEngine({
    config: `
version: 1
rule_files: ["${root}rules/application/*.json"]
runbook_files: ["${root}runbooks/application/*.yaml"]
recovery: { mode: auto }
components:
  shop:
    kind: application
    inventory:
      static:
        - target: web
          connect:
            url: "${shop.url}"
            ${stage('shadow', `, tests: [ { name: regression, argv: ["/bin/grep", "-q", "v1", "${folder}/shadow-live"] } ]`)}
            ${stage('staging')}
            ${stage('production')}
            prometheus_url: "${prometheus.url}"
            watch: { query: 'max(http_error_share{stage="staging"})', below: 0.05 }
            validation: { commands: [], endpoints: [ { url: "${shop.url}/health" } ] }
    allow: { actions: ["git.*", "command.*", "validation.*", "prometheus.*", "http.*", "inbox.*", "triage.*"] }
allow:
  hosts: ["${shop.host}", "${new URL(prometheus.url).host}"]
  paths: ["${folder}"]
  commands: [/usr/bin/git, /bin/cp, /bin/grep]
`,
    files: {},
  });
}, 30_000);
afterEach(async () => {
  await amends.close();
  rmSync(folder, { recursive: true, force: true });
});

const begin = async (watch: string): Promise<void> => {
  await askFor(amends, {
    component: 'shop',
    target: 'web',
    strategy: 'staged-rollback',
    inputs: { watch, every: '200ms' },
  });
  // Somebody else than who asked for it agrees to something that destroys.
  if ((await storyOf(amends)).run.state === 'awaiting_approval' && versions()[0] === 'v2')
    await sayYes(amends, null, 'bob');
};

describe('a staged rollback', () => {
  itWith('prometheus')(
    'O3: goes through shadow, its tests, staging, watched figures and production, and asks before the last two',
    async () => {
      await begin('1s');
      expect(versions()).toEqual(['v1', 'v2', 'v2']);
      expect((await storyOf(amends)).run.state).toBe('awaiting_approval');
      await sayYes(amends, 'steps/ask_staging', 'bob');
      expect(versions()).toEqual(['v1', 'v1', 'v2']);
      expect((await storyOf(amends)).outputs('steps/watch')).toMatchObject({ value: 0.01 });
      const { run } = await sayYes(amends, 'steps/ask_production', 'bob');
      expect(run).toMatchObject({ outcome: 'resolved', cause: 'verified' });
      expect(versions()).toEqual(['v1', 'v1', 'v1']);
      expect(await openInbox(amends)).toMatchObject([
        { kind: 'note', title: 'web of shop was rolled back to last-good in all three stages' },
      ]);
    },
    60_000,
  );

  itWith('prometheus')(
    'O3: staging that gets worse while it is watched ends it: production is not asked about, and the stages go forward again',
    async () => {
      await begin('30s');
      const approved = sayYes(amends, 'steps/ask_staging', 'bob');
      await until('staging is at the old version', () => deployed('staging') === 'v1');
      rate = 0.2;
      const { run, error, path } = await approved;
      expect(run).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
      expect(error('steps/watch')).toMatch(
        /(was below 0\.05 for [\d.]+ s, and then|did not become below 0\.05 within .*) ?0?\.?2?/,
      );
      expect(path).not.toContain('steps/production succeeded');
      expect(versions()).toEqual(['v2', 'v2', 'v2']);
      for (const stage of STAGES) expect(git(repository(stage), 'show', 'HEAD:version.txt')).toBe('v2');
    },
    60_000,
  );

  itWith('prometheus')(
    'O3: shadow whose regression tests fail goes no further',
    async () => {
      commit(repository('shadow'), { 'version.txt': 'v3' }, 'three');
      git(repository('shadow'), 'tag', '-f', 'last-good', 'HEAD~1');
      await begin('1s');
      const { run, error } = await storyOf(amends);
      expect(run).toMatchObject({ outcome: 'unresolved', cause: 'step_failed' });
      expect(error('steps/regression')).toContain('regression');
      expect(versions()).toEqual(['v3', 'v2', 'v2']);
    },
    60_000,
  );

  itWith('prometheus')(
    'O3: denied before production, staging and shadow go forward again',
    async () => {
      await begin('300ms');
      await sayYes(amends, 'steps/ask_staging', 'bob');
      const { run } = await storyOf(amends);
      await amends.engine.desk.deny({ runId: run.id, step: 'steps/ask_production', by: 'bob', comment: 'not tonight' });
      await amends.settle();
      expect((await storyOf(amends)).run.outcome).not.toBe('resolved');
      expect(versions()).toEqual(['v2', 'v2', 'v2']);
    },
    60_000,
  );
});
