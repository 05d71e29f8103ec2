// A journal file is read in one pass, and each line is found again where it stood.
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { openJournalFile } from '../../../src/replay/journal-file.ts';
import type { JournalText } from '../../../src/replay/journal.ts';

let folder: string;
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'amends-journal-'))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const read = async (path: string): Promise<{ texts: readonly string[]; again: readonly string[] }> => {
  const file = openJournalFile(path);
  try {
    const lines: JournalText[] = [];
    for await (const line of file.lines) lines.push(line);
    return { texts: lines.map(({ text }) => text), again: lines.toReversed().map((line) => line.again()) };
  } finally {
    file.close();
  }
};

describe('a journal file', () => {
  it('gives lines longer than a piece of the file, letters of several bytes and an end that was cut', async () => {
    const path = join(folder, 'journal.ndjson');
    const lines = ['first', '', 'ü€😀'.repeat(40_000), 'x'.repeat(200_000), 'cut'];
    writeFileSync(path, lines.slice(0, -1).join('\n'));
    appendFileSync(path, '\ncut');
    const { texts, again } = await read(path);
    expect(texts).toEqual(lines);
    expect(again).toEqual(lines.toReversed());
  });

  it('has no line after its last end of line, and none at all when it is empty', async () => {
    const path = join(folder, 'journal.ndjson');
    writeFileSync(path, 'one\ntwo\n');
    expect((await read(path)).texts).toEqual(['one', 'two']);
    writeFileSync(path, '');
    expect((await read(path)).texts).toEqual([]);
  });
});
