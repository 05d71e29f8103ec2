import { describe, expect, it } from '@jest/globals';
import { between, cell, lines, printable, table, time } from '../../../src/cli/terminal/text.ts';

describe('text', () => {
  it('C9 what strangers wrote cannot command a terminal', () => {
    expect(printable('a\u001b[31mred\u202eevil\r')).toBe('a\\u001b[31mred\\u202eevil\\u000d');
    expect(table(['name'], [['a\nb\u0007']])).toBe('NAME\na b\\u0007');
  });

  it('a table has one line a row, columns of one width, and no trailing space', () => {
    expect(
      table(
        ['id', 'component'],
        [
          ['1', 'cache'],
          ['22', null],
        ],
      ),
    ).toBe('ID  COMPONENT\n1   cache\n22  -');
  });

  it('an empty list says that there is nothing', () => {
    expect(table(['id'], [], 'no runs')).toBe('no runs');
  });

  it('times are shown to the second, objects by their members, what is missing as a dash', () => {
    expect(time('2026-01-02T03:04:05.678Z')).toBe('2026-01-02 03:04:05Z');
    expect(cell({ a: 1, b: { c: 2 } })).toBe('a=1 b={"c":2}');
    expect([null, undefined, '', []].map(cell)).toEqual(['-', '-', '-', '-']);
    expect(
      lines([
        ['id', 'x'],
        ['component', 'y'],
      ]),
    ).toBe('id:        x\ncomponent: y');
  });

  it('how long something took is known only when both ends are', () => {
    expect(between('2026-01-02T03:04:05.000Z', '2026-01-02T03:04:06.500Z')).toBe('1s500ms');
    expect(between('2026-01-02T03:04:05.000Z', null)).toBe('-');
  });
});
