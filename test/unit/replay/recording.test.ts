// What a running amends has on record, as lines of a journal.
import { describe, expect, it } from '@jest/globals';
import { createIds } from '../../../src/base/ids.ts';
import { createRecording, inOrder } from '../../../src/replay/recording.ts';
import type { Line } from '../../../src/replay/recording.ts';

const MINUTE = 60_000;
const START = Date.parse('2026-11-01T12:00:00.000Z');
const at = (ms: number): string => new Date(START + ms).toISOString();

/** As the API gives it: came in at one time, decided at another, under a catalog. */
const decided = (
  cameIn: number,
  then: number,
  catalog: string,
  origin = 'delivery',
): Readonly<Record<string, unknown>> => ({
  id: 'd',
  at: at(then),
  origin,
  deliveryId: createIds({ now: () => START + cameIn }).next(),
  reason: 'no_match',
  record: { source: 'alertmanager', labels: { alertname: 'A' }, digests: { catalog, config: 'c' } },
});
const configs = (lines: readonly Line[]): readonly unknown[] =>
  lines.filter(({ type }) => type === 'config').map(({ at: when, catalog }) => [when, catalog]);

describe('what a decision was made under', () => {
  it('counts from when its delivery came in, though live reloaded before it was decided', () => {
    const recording = createRecording();
    const early = { type: 'config', at: at(-MINUTE), catalog: 'old', config: 'c', files: [] } as const;
    const reloaded = { type: 'config', at: at(10), catalog: 'new', config: 'c', files: [] } as const;
    const lines = [
      ...recording.decision(decided(0, 5, 'old')),
      ...recording.decision(decided(8, 20, 'new')),
      ...recording.decision(decided(30, 35, 'new')),
      early,
      reloaded,
    ];
    expect(configs(inOrder(lines, (line) => line))).toEqual([
      [at(-MINUTE), 'old'],
      [at(7), 'new'],
      // It has the texts, which the line before has not.
      [at(10), 'new'],
    ]);
  });

  it('counts from its own time where no delivery led to it', () => {
    const lines = createRecording().decision(decided(0, 5 * MINUTE, 'old', 'retry'));
    expect(configs(lines)).toEqual([[at(5 * MINUTE), 'old']]);
  });
});

describe('a configuration on record', () => {
  it('has each text where its digest first comes, and names it afterwards', () => {
    const recording = createRecording();
    const row = { at: at(0), catalog: 'a', config: 'c', revision: null, mode: 'auto' };
    const [one, two] = [
      { kind: 'rule', file: 'rules/1.json', digest: '1' },
      { kind: 'rule', file: 'rules/2.json', digest: '2' },
    ];
    const texts = new Map([
      ['1', 'text 1'],
      ['2', 'text 2'],
    ]);
    expect(recording.configuration(row, [one], texts)['files']).toEqual([{ ...one, text: 'text 1' }]);
    expect(recording.configuration(row, [one, two], texts)['files']).toEqual([one, { ...two, text: 'text 2' }]);
  });
});
