// Log lines: whatever a stranger puts into a field, one event stays one line of JSON that a terminal does not obey.
import { describe, expect, it } from '@jest/globals';
import { createLog } from '../../../src/base/log.ts';
import type { LogFormat } from '../../../src/base/log.ts';
import { createRedactor } from '../../../src/base/secret.ts';

const record = (
  run: (log: ReturnType<typeof createLog>) => void,
  secret?: string,
  format: LogFormat = 'json',
): string[] => {
  const lines: string[] = [];
  const redactor = createRedactor();
  if (secret !== undefined) redactor.register(secret);
  run(createLog('debug', redactor, { write: (line) => void lines.push(line) }, format));
  return lines;
};

describe('C9 log injection', () => {
  it.each([
    ['a line end', 'a\nb'],
    ['a carriage return', 'a\rb'],
    ['an escape', '\u001b[2Ja'],
    ['a turn of direction', 'a\u202eb'],
    ['NUL', 'a\u0000b'],
    ['a CSI byte', '\u009b31m'],
    ['fake JSON', '"}\n{"level":"error","msg":"forged"}'],
    ['a lone surrogate', '\ud800'],
    ['a line separator', 'a\u2028b'],
  ])('C9 %s in a label, a name or the message stays within its line', (_, hostile) => {
    const lines = record((log) => {
      log.info({ labels: { alertname: hostile, [hostile]: 'x' } }, hostile);
      log.warn({ nested: [[{ deep: hostile }]] }, 'second');
    });
    expect(lines).toHaveLength(2);
    for (const line of lines) {
      expect(line.endsWith('\n')).toBe(true);
      expect(line.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/); // oxlint-disable-line no-control-regex
      expect(() => JSON.parse(line) as unknown).not.toThrow();
    }
    expect((JSON.parse(lines[0] ?? '') as { level: string }).level).toBe('info');
  });

  it('C9 a field is at most 2 KiB and a line at most 16 KiB', () => {
    const [field, many] = record((log) => {
      log.info({ blob: 'x'.repeat(100_000) }, 'm');
      log.info(Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`k${index}`, 'y'.repeat(2_000)])), 'm');
    });
    expect((JSON.parse(field ?? '') as { blob: string }).blob.length).toBeLessThanOrEqual(2_051);
    expect(Buffer.byteLength(many ?? '')).toBeLessThanOrEqual(16_384);
    expect(JSON.parse(many ?? '')).toMatchObject({ cut: true, msg: 'm' });
  });

  it('C12 a registered secret is out of every field, in every form', () => {
    const secret = 'canary-secret-value';
    const text = record(
      (log) =>
        log.error(
          {
            error: new Error(`failed with ${secret}`),
            url: `http://x/?q=${encodeURIComponent(secret)}`,
            base64: Buffer.from(secret).toString('base64'),
            password: 'other',
          },
          secret,
        ),
      secret,
    ).join('');
    expect(text).not.toContain(secret);
    expect(text).not.toContain(Buffer.from(secret).toString('base64'));
    expect(text).not.toContain('"other"');
  });
});

describe('logfmt', () => {
  it('has the same names and values, a line each, and a field cannot make another', () => {
    const lines = record(
      (log) => {
        log
          .child({ run_id: 'r-1', episode_id: 'e-1' })
          .warn({ ms: 12, ok: true, none: null, why: 'a b' }, 'it is "slow"');
        log.info({ 'a b=c': 'level=error msg=forged', nested: { x: 'y' }, empty: '', end: 'a\nlevel=error' }, 'plain');
      },
      undefined,
      'logfmt',
    );
    expect(lines[0]).toMatch(
      /^level=warn time=\d{4}-\d\d-\d\dT[\d:.]+Z run_id=r-1 episode_id=e-1 ms=12 ok=true none=null why="a b" msg="it is \\"slow\\""\n$/,
    );
    expect(lines[1]).toMatch(
      / a_b_c="level=error msg=forged" nested="\{\\"x\\":\\"y\\"\}" empty="" end="a\\\\u000alevel=error" msg=plain\n$/,
    );
    expect(lines).toHaveLength(2);
  });

  it('C12 is redacted like the other', () => {
    const [line] = record(
      (log) => log.info({ token: 'x', note: 'canary-secret-value' }, 'canary-secret-value'),
      'canary-secret-value',
      'logfmt',
    );
    expect(line).not.toContain('canary');
  });
});
