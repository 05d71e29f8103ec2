// What failed, named on the command line, leads to the strategy that the source runbooks and the rules give it: against a
// started amends with every shipped rule, which asks a human about each, so that nothing is run.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { root, startedHere } from '../support/servers.ts';
import { startShipped } from '../support/shipped.ts';
import type { Shipped } from '../support/shipped.ts';

/** The map of the source runbooks, R2. */
const SOURCE = [
  ['redis', 'connection_timeout', 'reconnect'],
  ['redis', 'high_latency', 'reconnect'],
  ['redis', 'memory_pressure', 'flush_corrupted'],
  ['chromadb', 'data_corruption', 'snapshot_rollback'],
  ['chromadb', 'index_error', 'index_rebuild'],
  ['openwebui', 'auth_failure', 'token_refresh'],
  ['openwebui', 'model_unavailable', 'model_failover'],
  ['openwebui', 'rate_limiting', 'graceful_degradation'],
  ['system', 'disk_full', 'disk_cleanup'],
  ['system', 'memory_leak', 'memory_gc'],
] as const;
/** And every other that is shipped. */
const OTHERS = [
  ['redis', 'connection_error', 'reconnect'],
  ['chromadb', 'collection_missing', 'collection_reload'],
  ['chromadb', 'query_timeout', 'query_retry'],
  ['openwebui', 'service_back', 'return_to_normal'],
  ['openwebui', 'service_unavailable', 'graceful_degradation'],
  ['system', 'file_handle_exhaustion', 'file_handle_cleanup'],
  ['system', 'file_permission', 'file_permissions'],
  ['system', 'lock_contention', 'lock_contention'],
  ['system', 'out_of_memory', 'out_of_memory'],
  ['database', 'database_corrupt', 'restore-backup'],
  ['database', 'database_missing', 'restore-backup'],
  ['database', 'database_locked', 'release-lock'],
  ['database', 'database_timeout', 'retry-connection'],
  ['database', 'wal_too_large', 'checkpoint-wal'],
  ['database', 'migration_failed', 'migrate-down'],
  ['faiss', 'faiss_locked', 'lock_recovery'],
  ['llm', 'llm_timeout', 'pause-and-resume'],
  ['postgres', 'high_retrieval_latency', 'high_retrieval_latency'],
  ['postgres', 'postgres_backup_due', 'backup'],
  ['postgres', 'postgres_blocked', 'release_blockers'],
  ['postgres', 'postgres_data_lost', 'restore'],
  ['postgres', 'postgres_index_invalid', 'reindex'],
  ['postgres', 'postgres_migration_failed', 'migration_rollback'],
  ['application', 'bad_release', 'emergency-rollback'],
  ['application', 'bad_migration', 'rollback-with-backup'],
  ['application', 'planned_rollback', 'staged-rollback'],
  ['application', 'promotion_stuck', 'promote-again'],
  ['application', 'circuit_breaker_open', 'reset-breaker'],
  ['kubernetes', 'crash_loop', 'rollout_undo'],
  ['kubernetes', 'node_not_ready', 'cordon_node'],
  ['kubernetes', 'pod_stuck', 'delete_stuck_pod'],
  ['kubernetes', 'replicas_mismatch', 'rollout_restart'],
  ['remote-host', 'remote_disk_full', 'disk-cleanup'],
] as const;
const ALL = [...SOURCE, ...OTHERS];
const kinds = [...new Set(ALL.map(([kind]) => kind))];

const servers = startedHere();
let amends: Shipped;
beforeAll(async () => {
  amends = await startShipped(servers, {
    kinds,
    // A target for each failure type: one run at a time on each.
    components: Object.fromEntries(
      kinds.map((kind) => [
        kind,
        { kind, inventory: { static: ALL.filter((row) => row[0] === kind).map(([, type]) => type) } },
      ]),
    ),
    allow: {},
    more: {
      recovery: {
        mode: 'approve',
        attempts: [{ max: 100, per: '1h' }],
        budget: [{ max: 100, per: '1h' }],
        max_concurrent: 100,
      },
      degraded_modes: Object.fromEntries(
        [
          'redis_unavailable',
          'chromadb_unavailable',
          'openwebui_unavailable',
          'database_unavailable',
          'postgres_unavailable',
          'vector_store_fallback',
        ].map((name) => [name, { available: [], unavailable: ['all'], impact: 'none' }]),
      ),
    },
  });
}, 60_000);
afterAll(async () => {
  await amends.stop();
  await servers.stopAll();
});

const strategyOf = async (kind: string, type: string): Promise<unknown> => {
  // The breaker's name is what its alert would carry.
  const context = type === 'circuit_breaker_open' ? ['--context={"name":"generator"}'] : [];
  const asked = await amends.ask(
    0,
    'recover',
    `--component=${kind}`,
    `--target=${type}`,
    `--failure-type=${type}`,
    '--reason=a look at the map',
    ...context,
  );
  expect(asked).toMatchObject({ reason: 'awaiting_approval' });
  const runs = await amends.list(`runs?component=${kind}&limit=100`);
  return runs.find(({ id }) => id === asked['runId'])?.['strategy'];
};

describe('R2 amends recover --failure-type', () => {
  it.each(SOURCE)('R2 %s: %s leads to %s, as the source runbooks have it', async (kind, type, strategy) => {
    expect(await strategyOf(kind, type)).toBe(strategy);
  });

  it.each(OTHERS)('R2 %s: %s leads to %s', async (kind, type, strategy) => {
    expect(await strategyOf(kind, type)).toBe(strategy);
  });

  it('R2 no failure type of a shipped rule is missing above, and one that nobody knows leads nowhere', async () => {
    const named = readdirSync(join(root, 'rules'), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.json'))
      .flatMap((name) => {
        const found: string[] = [];
        JSON.parse(readFileSync(join(root, 'rules', name), 'utf8'), (_key, value: unknown) => {
          const { fact, value: types } = (value ?? {}) as { fact?: string; value?: string | string[] };
          if (fact === 'label.failure_type') found.push(...[types ?? []].flat());
          return value;
        });
        return found;
      });
    expect(named.toSorted()).toEqual(ALL.map(([, type]) => type).toSorted());
    const unknown = ['recover', '--component=redis', '--target=high_latency', '--failure-type=moon_phase'];
    expect(await amends.ask(1, ...unknown)).toMatchObject({ reason: 'no_match' });
  });
});
