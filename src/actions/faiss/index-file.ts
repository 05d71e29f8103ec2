// A FAISS index on disk, as faiss::write_index lays it out (little endian): what kind it is, whether a flat one is whole,
// and an empty one to begin anew with.
import { open } from 'node:fs/promises';

const HEADER_BYTES = 37;
const FLAT_BYTES = 45;
const DUMMY = 1n << 20n;
const INNER_PRODUCT = 0;
const L2 = 1;

/** Whose vectors stand uncompressed in the file, so that its size tells whether it is whole. */
const FLAT = new Set(['IxFI', 'IxF2', 'IxFl']);

export type IndexHeader = { readonly kind: string; readonly dimensions: number; readonly vectors: number };

/** Why the file is no index that can be used, or what it says of itself. */
export const readIndex = async (path: string): Promise<IndexHeader | string> => {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => error.code ?? 'unknown');
  if (typeof file === 'string') return file === 'ENOENT' ? 'is not there' : `cannot be opened (${file})`;
  try {
    const { size } = await file.stat();
    if (size === 0) return 'is empty (0 bytes)';
    const head = Buffer.alloc(FLAT_BYTES);
    const { bytesRead } = await file.read(head, 0, FLAT_BYTES, 0);
    const kind = head.subarray(0, 4).toString('latin1');
    if (bytesRead < HEADER_BYTES || !/^I[A-Za-z0-9]{3}$/.test(kind)) return 'does not begin as an index does';
    const dimensions = head.readInt32LE(4);
    const vectors = Number(head.readBigInt64LE(8));
    if (dimensions < 1 || dimensions > 65_536 || vectors < 0 || head.readBigInt64LE(16) !== DUMMY)
      return 'has a damaged header';
    const whole = FLAT_BYTES + vectors * dimensions * 4;
    if (FLAT.has(kind) && size !== whole) return `has ${size} bytes instead of ${whole}`;
    return { kind, dimensions, vectors };
  } finally {
    await file.close();
  }
};

export type Metric = 'cosine' | 'l2';

/** An empty flat index; cosine is the inner product of vectors that the application makes one long. */
export const emptyIndex = (dimensions: number, metric: Metric): Buffer => {
  const bytes = Buffer.alloc(FLAT_BYTES);
  bytes.write(metric === 'cosine' ? 'IxFI' : 'IxF2', 0, 'latin1');
  bytes.writeInt32LE(dimensions, 4);
  bytes.writeBigInt64LE(0n, 8);
  bytes.writeBigInt64LE(DUMMY, 16);
  bytes.writeBigInt64LE(DUMMY, 24);
  bytes.writeUInt8(1, 32);
  bytes.writeInt32LE(metric === 'cosine' ? INNER_PRODUCT : L2, 33);
  // How many numbers follow.
  bytes.writeBigUInt64LE(0n, HEADER_BYTES);
  return bytes;
};
