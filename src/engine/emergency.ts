// The emergency journal: room on disk that was set aside while there was some, for the results of steps that end while
// the store cannot be written. What happened in the world must not be forgotten because a disk is full.
import { closeSync, fdatasyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { open as openFile } from 'node:fs/promises';
import type { RunEvent } from '../run/events.ts';
import { stepState } from '../run/state.ts';
import type { EngineContext } from './context.ts';
import { recordAlone } from './record.ts';

export type Kept = {
  readonly runId: string;
  readonly try: number;
  readonly event: Extract<RunEvent, { readonly step: string }>;
};

export type EmergencyJournal = {
  /** Sets the room aside, in pieces, so that nobody waits for it. */
  reserve(): Promise<void>;
  /** Written and synced when it returns. Throws when there is no room even here. */
  keep(entry: Kept): void;
  entries(): readonly Kept[];
  /** What was kept is in the store by now; the last one to say so clears the journal. */
  settled(): void;
  clear(): void;
};

const ROOM_BYTES = 64 * 1_024 * 1_024;
const PIECE_BYTES = 1_024 * 1_024;

export const createEmergencyJournal = (path: string): EmergencyJournal => {
  /** Where the next line goes: right behind the last one, over the zeros that keep the room. */
  const read = (): Buffer => {
    try {
      const bytes = readFileSync(path);
      const end = bytes.indexOf(0);
      return end === -1 ? bytes : bytes.subarray(0, end);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return Buffer.alloc(0);
      throw error;
    }
  };
  const writeAt = (bytes: Buffer, position: number): void => {
    const file = openForUpdate(path);
    try {
      writeSync(file, bytes, 0, bytes.length, position);
      fdatasyncSync(file);
    } finally {
      closeSync(file);
    }
  };
  let waiting = 0;
  const clear = (): void => {
    const used = read().length;
    if (used > 0) writeAt(Buffer.alloc(used), 0);
  };
  return {
    async reserve() {
      const file = await openFile(path, 'a');
      try {
        const { size } = await file.stat();
        const zeros = Buffer.alloc(PIECE_BYTES);
        for (let at = size; at < ROOM_BYTES; at += zeros.length)
          await file.write(zeros, 0, Math.min(zeros.length, ROOM_BYTES - at));
        await file.datasync();
      } finally {
        await file.close();
      }
    },
    keep(entry) {
      waiting += 1;
      writeAt(Buffer.from(`${JSON.stringify(entry)}\n`), read().length);
    },
    settled() {
      waiting -= 1;
      if (waiting === 0) clear();
    },
    clear,
    entries: () =>
      read()
        .toString('utf8')
        .split('\n')
        .flatMap((line) => parse(line)),
  };
};

const openForUpdate = (path: string): number => {
  try {
    return openSync(path, 'r+');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return openSync(path, 'w+');
  }
};

/** A line that a crash cut in the middle is no entry. */
const parse = (line: string): readonly Kept[] => {
  try {
    return line === '' ? [] : [JSON.parse(line) as Kept];
  } catch {
    return [];
  }
};

/** At start: the results that the store could not take are put where they belong, unless they are there already. */
export const mergeEmergency = async (context: EngineContext): Promise<number> => {
  let merged = 0;
  for (const entry of context.emergency.entries()) {
    const recorded = await recordAlone(context, entry.runId, null, (_, state) => {
      const step = stepState(state, entry.event.step);
      const open = (step.status === 'started' || step.status === 'undoing') && step.tries === entry.try;
      return open
        ? {
            events: [entry.event],
            writes: [
              {
                type: 'audit',
                actor: 'amends',
                action: 'run.result_recovered',
                subject: entry.runId,
                detail: { step: entry.event.step },
              },
            ],
          }
        : null;
    });
    if (recorded !== null) merged += 1;
  }
  context.emergency.clear();
  return merged;
};
