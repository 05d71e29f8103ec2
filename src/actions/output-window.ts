// What is kept of a child's output: its first and last 64 KiB. The rest is counted and let go, so that a child that
// floods its output costs no memory and is never held up by a full pipe.

const WINDOW = 64 * 1024;

export type OutputWindow = {
  add(chunk: Buffer): void;
  /** `dropped` is the bytes between the first and the last part of `text`. */
  read(): { readonly text: string; readonly dropped: number };
};

export const createOutputWindow = (size: number = WINDOW): OutputWindow => {
  const head: Buffer[] = [];
  let headBytes = 0;
  let tail: Buffer[] = [];
  let tailBytes = 0;
  let dropped = 0;
  const addTail = (chunk: Buffer): void => {
    tail.push(chunk);
    tailBytes += chunk.length;
    // Cut only when there is twice too much: cutting at every chunk would copy each byte many times.
    if (tailBytes <= 2 * size) return;
    const all = Buffer.concat(tail);
    dropped += all.length - size;
    tail = [Buffer.from(all.subarray(all.length - size))];
    tailBytes = size;
  };
  return {
    add(chunk) {
      const room = size - headBytes;
      if (room > 0) {
        // Copied, since a part of a chunk would hold on to the pool it was read into.
        head.push(Buffer.from(chunk.subarray(0, room)));
        headBytes += Math.min(room, chunk.length);
      }
      if (chunk.length > room) addTail(room > 0 ? chunk.subarray(room) : chunk);
    },
    read() {
      const all = Buffer.concat(tail);
      const last = all.subarray(Math.max(0, all.length - size));
      return { text: Buffer.concat([...head, last]).toString('utf8'), dropped: dropped + all.length - last.length };
    },
  };
};
