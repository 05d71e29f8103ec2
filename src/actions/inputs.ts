// Shapes that the inputs of many actions share; templates hand values over as text, so durations and sizes are text too.
import { z } from 'zod';
import { parseDuration } from '../base/duration.ts';

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};

/** `30s`, `1m30s`; milliseconds after parsing. */
export const duration = z
  .string()
  .refine((text) => parseDuration(text) !== undefined, { message: 'not a duration: write 500ms, 30s, 5m, 1h30m' })
  .transform((text) => parseDuration(text) ?? 0);

const LONGEST_BUSY = '1m';

/** How long SQLite waits for a lock. Short, since a thread that waits cannot be called off before its time. */
export const busyTime = duration.refine((ms) => ms <= (parseDuration(LONGEST_BUSY) ?? 0), {
  message: `at most ${LONGEST_BUSY}`,
});

const parseBytes = (text: string): number | undefined => {
  const match = /^(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|KiB|MiB|GiB)?$/.exec(text);
  const bytes = match === null ? Number.NaN : Math.round(Number(match[1]) * (UNITS[match[2] ?? ''] ?? 1));
  return Number.isSafeInteger(bytes) ? bytes : undefined;
};

/** A whole number of bytes, or `100MiB`, `1GB`. */
export const bytes = z.union([
  z.int().nonnegative(),
  z
    .string()
    .refine((text) => parseBytes(text) !== undefined, { message: 'not a size: write 100MiB or a number of bytes' })
    .transform((text) => parseBytes(text) ?? 0),
]);

// oxlint-disable-next-line no-control-regex
const UNPRINTABLE = /[\u0000-\u001f\u007f]/;

/** An absolute path without `.`, `..`, doubled slashes or control characters. */
export const absolutePath = z
  .string()
  .min(2)
  .max(4_096)
  .refine(
    (path) =>
      path.startsWith('/') &&
      !UNPRINTABLE.test(path) &&
      path
        .slice(1)
        .split('/')
        .every((part) => part !== '' && part !== '.' && part !== '..'),
    {
      message: 'not an absolute, plain path: no "..", no doubled slashes, no control characters',
    },
  );

/** Names of executables; an empty list would have to mean none or all, so it is refused. */
export const processNames = z
  .array(z.string().regex(/^[^/\s]{1,64}$/, { message: 'the name of an executable, without its folder' }))
  .min(1)
  .max(20);

export const severity = z.enum(['SEV1', 'SEV2', 'SEV3', 'SEV4']);
