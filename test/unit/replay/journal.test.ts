// A journal is read line by line: what is broken is said with its line, and the rest is used.
import { describe, expect, it } from '@jest/globals';
import { formatProblem } from '../../../src/base/failure.ts';
import { readJournal } from '../../../src/replay/journal.ts';

async function* lines(...texts: readonly string[]): AsyncGenerator<string> {
  for (const text of texts) yield text;
}
const delivery = (at: string, n: number): string =>
  JSON.stringify({ type: 'delivery', at, source: 'alertmanager', body: { version: '4', n } });

describe('a journal', () => {
  it('is read by time, whatever the order of its lines', async () => {
    const journal = await readJournal(
      lines(delivery('2026-11-01T12:00:01Z', 1), '', delivery('2026-11-01T12:00:00Z', 2)),
      'journal.ndjson',
    );
    expect(journal.deliveries.map(({ line, body }) => [line, String(body)])).toEqual([
      [3, '{"version":"4","n":2}'],
      [1, '{"version":"4","n":1}'],
    ]);
    expect(journal.problems).toEqual([]);
  });

  it('keeps outcomes, and counts what a backtest has no use for', async () => {
    const outcome = {
      type: 'outcome',
      at: '2026-11-01T12:00:00Z',
      component: 'shop',
      target: 'one',
      strategy: 'mend',
      outcome: 'unresolved',
    };
    const control = { type: 'control', at: '2026-11-01T12:00:00Z', action: 'halt' };
    const journal = await readJournal(lines(JSON.stringify(outcome), JSON.stringify(control)), 'journal.ndjson');
    expect(journal.outcomes).toMatchObject([{ component: 'shop', strategy: 'mend', recovered: false }]);
    expect(journal.unused).toBe(1);
  });

  it.each([
    ['a line that was cut', '{"type":"delivery","at":"2026-', /no JSON/],
    ['no object', '[1]', /no JSON object/],
    ['no time', '{"type":"delivery","at":"soon","body":{}}', /RFC 3339/],
    ['no body', '{"type":"delivery","at":"2026-11-01T12:00:00Z","body":7}', /body is no object/],
    ['a type of another kind', '{"type":"shipment","at":"2026-11-01T12:00:00Z"}', /type is "shipment"/],
    ['an outcome of nothing', '{"type":"outcome","at":"2026-11-01T12:00:00Z"}', /without component/],
  ])('says where %s stands, and reads on', async (_what, broken, message) => {
    const good = delivery('2026-11-01T12:00:00Z', 1);
    const journal = await readJournal(lines(good, broken, good), 'journal.ndjson');
    expect(journal.deliveries).toHaveLength(2);
    expect(journal.problems).toHaveLength(1);
    const [problem] = journal.problems;
    expect(problem === undefined ? '' : formatProblem(problem)).toMatch(/^journal\.ndjson:2: .*\n +mend: /s);
    expect(problem?.message).toMatch(message);
  });

  it('does not repeat itself over thousands of broken lines', async () => {
    const journal = await readJournal(lines(...Array.from({ length: 5_000 }, () => '{')), 'journal.ndjson');
    expect(journal.problems).toHaveLength(21);
    expect(journal.problems.at(-1)?.message).toBe('4980 more lines could not be read');
  });
});
