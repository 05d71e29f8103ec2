// Which configurations were active: each with its files, each text once, and none for longer than something that was
// decided under it.
import { describe, expect, it } from '@jest/globals';
import { digest } from '../../../src/base/json.ts';
import type { KeptFile, NewConfiguration } from '../../../src/port/record.ts';
import type { Store } from '../../../src/port/store.ts';
import { DAY, HOUR, START, deliveryOf, givenRun, heldClock } from './given.ts';
import type { OpenStore } from './given.ts';
import { onEveryStore } from './stores.ts';

type Texts = Readonly<Record<string, string>>;
const configurationOf = (at: number, texts: Texts, said: Partial<NewConfiguration> = {}): NewConfiguration => ({
  at,
  catalog: digest(texts),
  config: 'sha256:config',
  revision: null,
  mode: 'auto',
  files: Object.entries(texts).map(([file, text]): KeptFile => ({ kind: 'rule', file, digest: digest(text) })),
  ...said,
});

/** Returns which texts the store asked for. */
const keep = async (
  store: Store,
  at: number,
  texts: Texts,
  said: Partial<NewConfiguration> = {},
): Promise<string[]> => {
  const asked: string[] = [];
  const byDigest = new Map(Object.values(texts).map((text) => [digest(text), text]));
  await store.keepConfiguration(configurationOf(at, texts, said), (of) => {
    const text = byDigest.get(of) ?? '';
    asked.push(text);
    return text;
  });
  return asked;
};

const configurations = (openStore: OpenStore): void => {
  describe('configurations', () => {
    it('are kept with all their files, each text once, and read from the one that was active at a time', async () => {
      const store = await openStore(heldClock());
      const first = { 'rules/a.json': 'A', 'rules/b.json': 'B', 'rules/same-as-b.json': 'B' };
      expect(await keep(store, START, first)).toEqual(['A', 'B']);
      expect(await keep(store, START + HOUR, { ...first, 'rules/a.json': 'A2' }, { revision: 'abc' })).toEqual(['A2']);
      expect(await keep(store, START + 2 * HOUR, first)).toEqual([]);
      const all = await store.configurations(null);
      expect(all.map(({ at, revision, files }) => [at, revision, files.map(({ file }) => file)])).toEqual([
        [START, null, Object.keys(first)],
        [START + HOUR, 'abc', Object.keys(first)],
        [START + 2 * HOUR, null, Object.keys(first)],
      ]);
      expect(all[0]).toMatchObject(configurationOf(START, first));
      expect(await Promise.all(all.map(({ id }) => store.configuration(id)))).toEqual(all);
      expect(await store.configuration(4_711)).toBeNull();
      expect((await store.configurations(START + HOUR + 1)).map(({ at }) => at)).toEqual([
        START + HOUR,
        START + 2 * HOUR,
      ]);
      expect((await store.configurations(START - 1)).length).toBe(3);
      expect(await store.configurationTexts([digest('A'), digest('A2'), digest('never')])).toEqual(
        new Map([
          [digest('A'), 'A'],
          [digest('A2'), 'A2'],
        ]),
      );
    });

    it('say nothing when what becomes active is active already, as after each start', async () => {
      const store = await openStore(heldClock());
      await keep(store, START, { a: 'A' });
      await keep(store, START + HOUR, { a: 'A' });
      expect((await store.configurations(null)).map(({ at }) => at)).toEqual([START]);
      await keep(store, START + HOUR, { a: 'A' }, { mode: 'shadow' });
      await keep(store, START + HOUR, { b: 'A' }, { mode: 'shadow' });
      expect((await store.configurations(null)).length).toBe(3);
    });

    it('take any number of files', async () => {
      const store = await openStore(heldClock());
      const many = Object.fromEntries(Array.from({ length: 1_700 }, (_, n) => [`rules/${n}.json`, `text ${n}`]));
      expect((await keep(store, START, many)).length).toBe(1_700);
      const [kept] = await store.configurations(null);
      expect(kept?.files.map(({ file }) => file)).toEqual(Object.keys(many));
      const texts = await store.configurationTexts(kept?.files.map(({ digest: of }) => of) ?? []);
      expect(texts.size).toBe(1_700);
    });

    it('stay while anything that was decided under them is on record, and go with the texts that nothing else has', async () => {
      const store = await openStore(heldClock());
      await keep(store, START, { a: 'with a run', b: 'both' });
      await givenRun(store);
      await keep(store, START + DAY, { a: 'with nothing', b: 'both' });
      await keep(store, START + 2 * DAY, { a: 'with a delivery', b: 'both' });
      await store.receive([deliveryOf([{}], START + 2 * DAY + HOUR)]);
      await keep(store, START + 3 * DAY, { a: 'the last', b: 'both' });
      const texts = async (): Promise<readonly string[]> => {
        const files = (await store.configurations(null)).flatMap((one) => one.files);
        return [...(await store.configurationTexts(files.map(({ digest: of }) => of))).values()];
      };
      await store.prune(START + DAY + HOUR, 100);
      expect((await store.configurations(null)).length).toBe(4);
      await store.prune(START + 40 * DAY, 100);
      expect((await texts()).toSorted()).toEqual(['both', 'the last', 'with a delivery', 'with a run']);
      expect(await store.configurationTexts([digest('with nothing')])).toEqual(new Map());
    });
  });
};

onEveryStore(configurations);
