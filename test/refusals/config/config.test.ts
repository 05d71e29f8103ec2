// One bad amends.yaml for each fault. The first line of each says which problem must be found, where, and what the mend says.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { loadConfig } from '../../../src/config.ts';

const folder = fileURLToPath(new URL('.', import.meta.url));
const names = readdirSync(folder).filter((name) => name.endsWith('.yaml'));

describe('a bad configuration is refused with its place and a mend', () => {
  it.each(names)('%s', async (name) => {
    const first = readFileSync(`${folder}${name}`, 'utf8').split('\n')[0] ?? '';
    const [, code, pointer, mend] = /^# expect: (\S+) (\S+)(?: (.*))?$/.exec(first) ?? [];
    const result = await loadConfig(`${folder}${name}`);
    if (result.ok) throw new Error('it was accepted');
    const problem = result.problems.find((candidate) => candidate.code === code);
    expect(result.problems.map((found) => found.code)).toContain(code);
    expect(problem?.file).toBe(`${folder}${name}`);
    if (pointer !== '-') expect(problem).toMatchObject({ pointer, line: expect.any(Number), column: expect.any(Number) });
    if (mend !== undefined) expect(problem?.mend).toContain(mend);
  });

  it('finds all problems at once', async () => {
    const result = await loadConfig('/x/amends.yaml', {
      readText: async () => 'recovery: { mode: atuo, setle: 1m }\nprobes: 5\n',
      glob: async () => [],
    });
    expect(result.ok ? [] : result.problems.map(({ pointer, line, column }) => [pointer, line, column])).toEqual([
      ['/recovery/mode', 1, 13],
      ['/recovery/setle', 1, 25],
      ['/probes', 2, 1],
    ]);
  });
});
