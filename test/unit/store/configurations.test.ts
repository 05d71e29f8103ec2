// How much is remembered of configurations: the oldest go first, the one that counts never.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { systemClock } from '../../../src/base/clock.ts';
import { keepConfiguration, readConfigurationTexts, readConfigurations } from '../../../src/store/configurations.ts';
import { openInMemory } from '../../../src/store/connection.ts';
import type { Connection } from '../../../src/store/connection.ts';
import { migrate } from '../../../src/store/migrate.ts';

describe('configurations on record', () => {
  let store: Connection;
  beforeEach(() => {
    store = openInMemory(systemClock);
    migrate(store.database, ':memory:', 0);
  });
  afterEach(() => void store.database.close());

  const keep = (n: number, texts: readonly string[], most: { kept: number; text: number }): Promise<void> =>
    store.queries.transaction().execute((queries) =>
      keepConfiguration(
        queries,
        {
          at: n,
          catalog: `catalog ${n}`,
          config: 'config',
          revision: null,
          mode: 'auto',
          files: texts.map((text) => ({ kind: 'rule', file: `of ${text.slice(0, 1)}`, digest: text })),
        },
        (digest) => digest,
        most,
      ),
    );
  const kept = async (): Promise<readonly number[]> =>
    (await readConfigurations(store.queries, null)).map(({ at }) => at);

  it('are so many at most, and take so much room at most: the oldest go, with the texts that are theirs alone', async () => {
    for (let n = 1; n <= 5; n += 1) await keep(n, ['shared', `own ${n}`], { kept: 3, text: 1_000 });
    expect(await kept()).toEqual([3, 4, 5]);
    await keep(6, ['shared', `large ${'x'.repeat(90)}`], { kept: 3, text: 100 });
    expect(await kept()).toEqual([6]);
    const texts = await readConfigurationTexts(store.queries, ['shared', 'own 2', 'own 5']);
    expect([...texts.keys()]).toEqual(['shared']);
  });

  it('stay what counts, however large it is', async () => {
    await keep(1, ['x'.repeat(500)], { kept: 1, text: 100 });
    expect(await kept()).toEqual([1]);
    expect((await readConfigurationTexts(store.queries, ['x'.repeat(500)])).size).toBe(1);
  });
});
