import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { nameFromPath, parseRunbook, readYaml } from '../../../src/runbook/parse.ts';

const codes = (text: string): string[] => {
  const result = readYaml('a.yaml', text);
  return result.ok ? [] : result.problems.map((problem) => problem.code);
};
const MINIMAL = 'version: 1\nsummary: s\nsteps: [{ id: a, uses: x.y }]\nverify: [{ uses: x.y }]\n';

describe('readYaml', () => {
  it.each([
    [
      'billion laughs',
      `a: &a [x, x, x, x, x, x, x, x, x]\n${Array.from('bcdefghij', (key) => key)
        .map(
          (key, index) => `${key}: &${key} [${Array.from({ length: 9 }, () => `*${'abcdefghij'[index]}`).join(', ')}]`,
        )
        .join('\n')}\n`,
      'alias',
    ],
    ['10 kB of [', '['.repeat(10_000), 'too-deep'],
    ['256 KiB of [', '['.repeat(256 * 1024), 'too-deep'],
    ['100,000 x "- "', '- '.repeat(100_000), 'too-deep'],
    ['100,000 x "? "', '? '.repeat(100_000), 'too-deep'],
    ['50,000 x "{a: "', '{a: '.repeat(50_000), 'too-deep'],
    [
      'indentation 400 deep',
      Array.from({ length: 400 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n'),
      'too-deep',
    ],
    ['more than 256 KiB', `a: "${'x'.repeat(256 * 1024)}"`, 'too-large'],
    ['a tag', 'a: !!js/function "() => 1"', 'tag'],
    ['a core tag', 'a: !!binary aGk=', 'tag'],
    ['a harmless core tag', 'a: !!str 1', 'tag'],
    ['a duplicate key', 'a: 1\na: 2', 'duplicate-key'],
    ['a nested duplicate key', 'a: { b: 1, "b": 2 }', 'duplicate-key'],
    ['a key that is a list', '? [a]\n: 1', 'bad-key'],
    ['a key called __proto__', 'a: { __proto__: { polluted: true } }', 'bad-key'],
    ['infinity', 'a: .inf', 'not-a-number'],
    ['a number that would lose digits', 'a: 123456789012345678901', 'number-too-large'],
    ['two documents', 'a: 1\n---\nb: 2', 'several-documents'],
    ['nothing', '# only a comment\n', 'empty'],
    ['no YAML', 'a: b: c: [', 'bad-yaml'],
  ])('C11: refuses %s within a second', (_, text, code) => {
    const started = performance.now();
    expect(codes(text)).toContain(code);
    expect(performance.now() - started).toBeLessThan(1_000);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  it('takes nesting of 20 and no more, whatever brackets a text holds', () => {
    expect(codes(`${'['.repeat(20)}${']'.repeat(20)}`)).toEqual([]);
    expect(codes(`${'['.repeat(21)}${']'.repeat(21)}`)).toEqual(['too-deep']);
    expect(codes(`a: |\n  ${'['.repeat(500)}\nb: "${'{'.repeat(500)}"`)).toEqual([]);
  });

  it('C5: gives objects without a prototype, and yes and on as text', () => {
    const result = readYaml('a.yaml', 'constructor: 1\non: yes\nlist: [null, true, 1.5]');
    expect(result.ok && Object.getPrototypeOf(result.value.value)).toBe(null);
    expect(result).toMatchObject({
      ok: true,
      value: { value: { constructor: 1, on: 'yes', list: [null, true, 1.5] } },
    });
  });

  it('C11: never throws, whatever a file is mutated into', () => {
    const bytes = fc.array(
      fc.tuple(
        fc.nat(MINIMAL.length - 1),
        fc.constantFrom(
          '[',
          '{',
          '&a',
          '*a',
          '!t',
          '|',
          '>',
          '"',
          "'",
          '\t',
          '\n',
          ': ',
          '- ',
          '? ',
          '%',
          '#',
          '\0',
          '\u2028',
          '---\n',
          '<<: ',
        ),
      ),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(bytes, (edits) => {
        let text = MINIMAL;
        for (const [at, what] of edits) text = text.slice(0, at) + what + text.slice(at);
        const result = parseRunbook('x/a/b.yaml', text, { kind: 'a', strategy: 'b' });
        if (!result.ok)
          for (const problem of result.problems)
            expect(problem).toMatchObject({ file: 'x/a/b.yaml', message: expect.any(String) });
      }),
      { numRuns: 3_000 },
    );
  });
});

describe('nameFromPath', () => {
  it('takes kind and strategy from the last two parts, and nothing else', () => {
    expect(nameFromPath('a/b/redis/restart_container.yaml')).toMatchObject({
      value: { kind: 'redis', strategy: 'restart_container' },
    });
    expect(nameFromPath('reconnect.yaml').ok).toBe(false);
    expect(nameFromPath('runbooks/Redis/reconnect.yaml').ok).toBe(false);
    expect(nameFromPath('runbooks/redis/re connect.yaml').ok).toBe(false);
  });
});
