// Folders are opened by descriptor, and no link is followed on the way: the first of two guards against a folder that is
// swapped for a link (the second looks where the kernel says that the folder is).
import { afterAll, describe, expect, it } from '@jest/globals';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { close, descend, openBelow, openFolder } from '../../../src/actions/files/walking.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

describe('walking', () => {
  const at = realpathSync(mkdtempSync(join(tmpdir(), 'amends-walking-')));
  afterAll(() => rmSync(at, { recursive: true, force: true }));

  it('C8: does not open a link to a folder, wherever on the way it stands', () => {
    mkdirSync(join(at, 'root/inner'), { recursive: true });
    mkdirSync(join(at, 'outside/inner'), { recursive: true });
    symlinkSync(join(at, 'outside'), join(at, 'root/link'));
    const root = openFolder(bytes(join(at, 'root')));
    try {
      close(openBelow(root, bytes('inner')));
      expect(() => openBelow(root, bytes('link'))).toThrow(/ENOTDIR|ELOOP/);
      expect(() => descend(root, [bytes('link'), bytes('inner')])).toThrow(/ENOTDIR|ELOOP/);
      expect(() => openFolder(bytes(join(at, 'root/link')))).toThrow(/ENOTDIR|ELOOP/);
      expect(() => openFolder(bytes(join(at, 'root/link/inner')))).toThrow(/ENOTDIR|ELOOP/);
    } finally {
      close(root);
    }
  });
});
