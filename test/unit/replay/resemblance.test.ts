// Which of a team's alerts resemble what a shipped strategy answers.
import { describe, expect, it } from '@jest/globals';
import { findResemblances, namesOf } from '../../../src/replay/resemblance.ts';
import type { TeamAlert } from '../../../src/replay/resemblance.ts';
import { loadCatalog } from '../../../src/catalog.ts';
import type { Catalog } from '../../../src/catalog.ts';
import { loadConfig } from '../../../src/config.ts';
import { actions, facts, root } from '../../support/content.ts';

const shippedCatalog = async (): Promise<Catalog> => {
  const config = await loadConfig(`${root}amends.yaml`);
  if (!config.ok) throw new Error(JSON.stringify(config.problems));
  const catalog = await loadCatalog({ config: config.value, actions: await actions(), facts: await facts() });
  if (!catalog.ok) throw new Error(JSON.stringify(catalog.problems));
  return catalog.value;
};

const alert = (name: string, query = 'up == 0'): TeamAlert => ({ name, query, labels: {} });

describe('findResemblances()', () => {
  const found = async (...alerts: readonly TeamAlert[]): Promise<Record<string, string>> => {
    const { rules } = await shippedCatalog();
    return Object.fromEntries(findResemblances(alerts, rules.rules).map((one) => [one.alert.name, one.rule.name]));
  };

  it('takes an alert of the same name for the same', async () => {
    const { rules } = await shippedCatalog();
    const [one] = findResemblances([alert('RedisDown')], rules.rules);
    expect(one).toMatchObject({ kind: 'redis', same: true, because: ['RedisDown'] });
  });

  it('knows what others call it, by kind and meaning', async () => {
    expect(
      await found(
        alert('RedisInstanceUnreachable'),
        alert('RedisOutOfMemory'),
        alert('HostOutOfDiskSpace'),
        alert('TooManyOpenDescriptors', 'process_open_fds / process_max_fds > 0.9'),
        alert('PostgresqlDeadLocks', 'pg_stat_database_deadlocks > 1'),
        alert('ChromaDBCorruption'),
      ),
    ).toEqual({
      RedisInstanceUnreachable: 'redis-connection-lost',
      RedisOutOfMemory: 'redis-memory-pressure',
      HostOutOfDiskSpace: 'system-disk-full',
      TooManyOpenDescriptors: 'system-file-handles',
      PostgresqlDeadLocks: 'postgres-blocked',
      ChromaDBCorruption: 'chromadb-data-corruption',
    });
  });

  it('leaves alone what speaks of another system, or of nothing that a strategy mends', async () => {
    expect(
      await found(alert('KafkaConsumerLag', 'kafka_lag > 5'), alert('RedisReplicationBroken'), alert('Watchdog')),
    ).toEqual({});
  });

  it('reads the names that a rule insists on, and not those that it excludes', () => {
    const named = {
      any: [
        { fact: 'alertname', operator: 'in', value: ['A', 'B'] },
        { fact: 'label.x', operator: 'equal', value: 'C' },
      ],
    };
    expect(namesOf(named)).toEqual(['A', 'B']);
    expect(namesOf({ fact: 'alertname', operator: 'notEqual', value: 'A' })).toEqual([]);
  });
});
