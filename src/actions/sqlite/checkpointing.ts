// Moves what stands in the WAL into the database. For worker threads.
import { explained, openForWriting, refuseOurOwn, sizeOf } from './opening.ts';
import type { SqliteFile } from './opening.ts';

export type CheckpointInput = { readonly path: string; readonly mode: 'PASSIVE' | 'TRUNCATE'; readonly busyMs: number };
export type Checkpoint = {
  /** A reader or writer kept it from finishing. */
  readonly busy: boolean;
  /** Frames that were in the WAL, and those of them that are in the database now; 0 without a WAL. */
  readonly logFrames: number;
  readonly frames: number;
  readonly walBefore: number;
  readonly walAfter: number;
};

export const checkpoint = ({ path, mode, busyMs }: CheckpointInput): Checkpoint => {
  refuseOurOwn(path);
  const walBefore = sizeOf(`${path}-wal`) ?? 0;
  let file: SqliteFile | null = null;
  try {
    file = openForWriting(path, busyMs);
    const [row] = file.pragma(`wal_checkpoint(${mode})`) as ReadonlyArray<{
      busy: number;
      log: number;
      checkpointed: number;
    }>;
    const walAfter = sizeOf(`${path}-wal`) ?? 0;
    return {
      busy: row?.busy === 1,
      logFrames: Math.max(0, row?.log ?? 0),
      frames: Math.max(0, row?.checkpointed ?? 0),
      walBefore,
      walAfter,
    };
  } catch (error) {
    throw explained(error, path);
  } finally {
    file?.close();
  }
};
