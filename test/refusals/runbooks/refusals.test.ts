import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { formatProblem } from '../../../src/base/failure.ts';
import { loadRunbooks } from '../../../src/runbook/load.ts';
import { knownActions } from '../../unit/runbook/known-actions.ts';

// One bad file for each fault, and beside it (.txt) what an operator is told about it, word for word.
const folder = new URL('redis/', import.meta.url);
const cases = readdirSync(folder)
  .filter((file) => file.endsWith('.yaml'))
  .map((file) => file.replace('.yaml', ''));

describe('a runbook that is refused says file, line, place and mend', () => {
  it.each(cases)('C11, F28: %s', (name) => {
    const text = readFileSync(new URL(`${name}.yaml`, folder), 'utf8');
    const { runbooks, problems } = loadRunbooks([{ file: `runbooks/redis/${name}.yaml`, text }], {
      actions: knownActions,
      degradedModes: new Set(['redis_unavailable']),
    });
    expect(`${problems.map(formatProblem).join('\n')}\n`).toBe(readFileSync(new URL(`${name}.txt`, folder), 'utf8'));
    expect(runbooks.size).toBe(0);
  });
});
