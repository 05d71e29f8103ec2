// A journal is read line by line: what is broken is said with its line, and the rest is used.
import { describe, expect, it } from '@jest/globals';
import { formatProblem } from '../../../src/base/failure.ts';
import { readJournal } from '../../../src/replay/journal.ts';
import { texts as lines } from '../../support/journal.ts';

const delivery = (at: string, n: number): string =>
  JSON.stringify({ type: 'delivery', at, source: 'alertmanager', body: { version: '4', n } });

describe('a journal', () => {
  it('is read by time, whatever the order of its lines', async () => {
    const journal = await readJournal(
      lines(delivery('2026-11-01T12:00:01Z', 1), '', delivery('2026-11-01T12:00:00Z', 2)),
      'journal.ndjson',
    );
    expect(journal.deliveries.map((one) => [one.line, String(one.body())])).toEqual([
      [3, '{"version":"4","n":2}'],
      [1, '{"version":"4","n":1}'],
    ]);
    expect(journal.problems).toEqual([]);
  });

  it('keeps what was asked, done and looked at beside the deliveries', async () => {
    const at = '2026-11-01T12:00:00Z';
    const run = { component: 'shop', target: 'one', strategy: 'mend' };
    const labels = { alertname: 'ShopDown' };
    const journal = await readJournal(
      lines(
        ...[
          {
            type: 'outcome',
            at,
            ...run,
            outcome: 'unresolved',
            cause: 'not_verified',
            ended_at: '2026-11-01T12:00:09Z',
          },
          { type: 'outcome', at, ...run, outcome: 'resolved' },
          { type: 'control', at, action: 'halt', by: 'ann' },
          { type: 'approval', at, answer: 'approve', by: 'ann', ...run },
          { type: 'manual', at, by: 'ann', ...run },
          { type: 'retry', at, source: 'alertmanager', labels },
          { type: 'fact', at, asked: 'alertmanager', source: 'alertmanager', labels, state: 'silenced' },
          { type: 'fact', at, asked: 'prometheus', query: 'up', value: 1 },
          { type: 'config', at, catalog: 'a', config: 'b' },
        ].map((line) => JSON.stringify(line)),
      ),
      'journal.ndjson',
    );
    expect(journal.problems).toEqual([]);
    expect(journal.outcomes).toMatchObject([
      { outcome: 'unresolved', cause: 'not_verified', endedAt: Date.parse('2026-11-01T12:00:09Z') },
      { outcome: 'resolved', endedAt: null },
    ]);
    expect(journal.acts.map(({ type, line }) => [type, line])).toEqual([
      ['control', 3],
      ['approval', 4],
      ['manual', 5],
    ]);
    expect(journal.retries).toMatchObject([{ labels }]);
    expect(journal.facts).toMatchObject([
      { asked: 'alertmanager', state: 'silenced' },
      { asked: 'prometheus', value: 1 },
    ]);
    expect(journal.configs).toMatchObject([{ catalog: 'a' }]);
  });

  it.each([
    ['a line that was cut', '{"type":"delivery","at":"2026-', /no JSON/],
    ['no object', '[1]', /no JSON object/],
    ['no time', '{"type":"delivery","at":"soon","body":{}}', /RFC 3339/],
    ['no body', '{"type":"delivery","at":"2026-11-01T12:00:00Z","body":7}', /body is no object/],
    ['a type of another kind', '{"type":"shipment","at":"2026-11-01T12:00:00Z"}', /type is "shipment"/],
    ['a fact that nobody gave', '{"type":"fact","at":"2026-11-01T12:00:00Z","asked":"ann"}', /neither/],
    ['a retry of nothing', '{"type":"retry","at":"2026-11-01T12:00:00Z"}', /without labels/],
    ['a configuration of nothing', '{"type":"config","at":"2026-11-01T12:00:00Z"}', /without the digests/],
    [
      'a file of no kind',
      '{"type":"config","at":"2026-11-01T12:00:00Z","catalog":"a","config":"b","files":[{"file":"x","digest":"y"}]}',
      /without kind, file or digest/,
    ],
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
