// The lines of a journal file in one pass, each with a way back to it, so that a busy month need not lie in memory.
import { closeSync, createReadStream, openSync, readSync } from 'node:fs';
import type { JournalText } from './journal.ts';

export type JournalFile = { readonly lines: AsyncIterable<JournalText>; readonly close: () => void };

const NEWLINE = 0x0a;

/** Throws what opening throws. */
export const openJournalFile = (path: string): JournalFile => {
  const file = openSync(path, 'r');
  const again = (from: number, length: number) => (): string => {
    const bytes = Buffer.allocUnsafe(length);
    return bytes.subarray(0, readSync(file, bytes, 0, length, from)).toString('utf8');
  };
  async function* lines(): AsyncGenerator<JournalText> {
    let rest: Buffer[] = [];
    let from = 0;
    let length = 0;
    const lineOf = (end: Buffer): JournalText => {
      const bytes = rest.length === 0 ? end : Buffer.concat([...rest, end]);
      return { text: bytes.toString('utf8'), again: again(from, bytes.length) };
    };
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      let start = 0;
      for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
        const line = lineOf(chunk.subarray(start, end));
        yield line;
        from += length + end - start + 1;
        [rest, length, start] = [[], 0, end + 1];
      }
      rest.push(chunk.subarray(start));
      length += chunk.length - start;
    }
    if (length > 0) yield lineOf(Buffer.alloc(0));
  }
  return { lines: lines(), close: () => closeSync(file) };
};
