import { existsSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { binaryOf, itWith } from '../support/requires.ts';

describe('tests that need a server', () => {
  it('look for the binary on the PATH and in the folders of root', () => {
    const found = binaryOf('prometheus');
    expect(found === undefined || existsSync(found)).toBe(true);
  });

  it('run as native modules', () => {
    expect(import.meta.url).toMatch(/requires\.test\.ts$/);
  });

  itWith('prometheus')('run where it is installed', () => {
    expect(binaryOf('prometheus')).toMatch(/prometheus$/);
  });
});
