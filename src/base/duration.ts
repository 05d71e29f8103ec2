// Durations as Prometheus writes them: 10ms, 30s, 5m, 1h30m, 1d, 1w.

const UNITS: ReadonlyArray<readonly [string, number]> = [
  ['w', 604_800_000],
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
  ['ms', 1],
];
const SHAPE = /^(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?$/;

/** Milliseconds, or undefined when `text` is not a duration. `0` needs no unit. */
export const parseDuration = (text: string): number | undefined => {
  if (text === '0') return 0;
  const match = SHAPE.exec(text);
  if (text === '' || match === null) return undefined;
  const total = UNITS.reduce((sum, [, ms], index) => sum + Number(match[index + 1] ?? 0) * ms, 0);
  return Number.isSafeInteger(Math.round(total)) ? Math.round(total) : undefined;
};

/** The shortest exact form: 90000 is `1m30s`. */
export const formatDuration = (ms: number): string => {
  if (ms < 0) return `-${formatDuration(-ms)}`;
  let rest = Math.round(ms);
  let text = '';
  for (const [unit, size] of UNITS) {
    const count = Math.floor(rest / size);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * size;
  }
  return text === '' ? '0s' : text;
};
