// What a drill prints: a row for each fault with its tries, how many were recovered, how fast, and what the source says.
import { middleParts } from './where.mjs';

const percentile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? null;

export const rowsOf = (results) => {
  const groups = new Map();
  for (const result of results) {
    const key = `${result.system}/${result.fault.strategy} (${result.fault.name})${result.fault.asks === true ? ', asks first' : ''}`;
    groups.set(key, [...(groups.get(key) ?? []), result]);
  }
  return [...groups]
    .toSorted(([left], [right]) => left.localeCompare(right))
    .map(([key, tries]) => {
      const { fault, system } = tries[0];
      const times = tries
        .flatMap(({ recovered, ms }) => (recovered && ms !== null ? [ms] : []))
        .toSorted((a, b) => a - b);
      return {
        key,
        system,
        strategy: fault.strategy,
        fault: fault.name,
        tries: tries.length,
        recovered: tries.filter(({ recovered }) => recovered).length,
        p50Ms: percentile(times, 0.5),
        p95Ms: percentile(times, 0.95),
        figureMs: fault.figureMs,
        source: fault.source,
        note: fault.note ?? '',
        where: middleParts(tries.flatMap(({ recovered, parts }) => (recovered && parts !== undefined ? [parts] : []))),
        failures: tries.filter(({ recovered }) => !recovered).map(({ why }) => why),
      };
    });
};

export const seconds = (ms) => (ms === null ? '-' : `${(ms / 1_000).toFixed(2)} s`);
export const tableOf = (rows) => {
  const head = ['strategy (fault)', 'tries', 'recovered', 'p50', 'p95', 'source says', ''];
  const lines = rows.map((row) => [
    row.key,
    String(row.tries),
    String(row.recovered),
    seconds(row.p50Ms),
    seconds(row.p95Ms),
    seconds(row.figureMs),
    row.p50Ms === null || row.figureMs === null
      ? ''
      : row.p50Ms <= row.figureMs
        ? 'within'
        : `over${row.note === '' ? '' : `: ${row.note}`}`,
  ]);
  const widths = head.map((_, column) => Math.max(...[head, ...lines].map((line) => line[column].length)));
  return [head, ...lines]
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column]))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
};

export const restText = (rest, overMs) =>
  rest === null
    ? ''
    : `amends at rest: ${Math.round(rest.rssBytes / 1_000_000)} MB, ${(rest.cpuShare * 100).toFixed(1)}% of a processor over ${overMs / 1_000} s; the source claims 10 MB and 0.1% for its own\n`;

export const overviewText = (overview) =>
  overview === null
    ? ''
    : `the overview says: ${overview.recovered.toFixed(1)} recovered, ${overview.failed.toFixed(1)} failed, ${((overview.rate ?? 0) * 100).toFixed(1)}%; on record: ${overview.record.success} and ${overview.record.failure}\n`;
