// What is secret is taken out of texts and values, in whatever form it comes.
import { describe, expect, it } from '@jest/globals';
import { createRedactor } from '../../../src/base/secret.ts';

const redacting = (...secrets: readonly string[]) => {
  const redactor = createRedactor();
  for (const secret of secrets) redactor.register(secret);
  return redactor;
};

describe('a registered secret', () => {
  it('C12 is out of a text, plain, in base64, in hex and in a URL, and the longest of several goes first', () => {
    const redactor = redacting('s3cret/+', 's3cret/+ and more');
    for (const form of [
      's3cret/+',
      Buffer.from('s3cret/+').toString('base64'),
      Buffer.from('s3cret/+').toString('hex'),
      's3cret%2F%2B',
      's3cret/+ and more',
    ])
      expect(redactor.text(`before ${form} after`)).toBe('before [redacted] after');
  });

  it('C12 is out of every member and every name of a value', () => {
    const redactor = redacting('s3cret');
    expect(
      redactor.value({ list: ['a s3cret', 1, null], 's3cret-name': { deep: 's3cret' }, password: 'any', passwords: 2 }),
    ).toEqual({
      list: ['a [redacted]', 1, null],
      '[redacted]-name': { deep: '[redacted]' },
      password: '[redacted]',
      passwords: 2,
    });
  });

  it('C12 that is an address is secret in its parts too, but for its ordinary words', () => {
    const redactor = redacting('https://hooks.example.com/services/T0000/abcdefghijkl?token=mnopqrstuvwx');
    expect(redactor.text('POST /services/T0000/abcdefghijkl failed, token mnopqrstuvwx')).toBe(
      'POST /services/T0000/[redacted] failed, token [redacted]',
    );
    expect(redactor.text('hooks.example.com is down')).toBe('hooks.example.com is down');
  });

  it('is ignored when it is so short that it would take out ordinary words', () => {
    expect(redacting('abc', '').text('abc def')).toBe('abc def');
  });
});
