// Where the time of a recovery went, from the events of its run: what a step took by itself, what lay between two steps,
// and the verification. Medians over the tries, so that one slow try does not point at the wrong part.

/** `[what, ms]` in the order in which it happened; the parts add up to the time from `brokenAt` to verified. */
export const partsOf = (events, brokenAt) => {
  const parts = [];
  let last = brokenAt;
  const until = (what, at) => {
    parts.push([what, at - last]);
    last = at;
  };
  for (const event of events) {
    const at = Date.parse(event.at);
    if (event.type === 'admitted') until('received, decided, admitted', at);
    if (event.type === 'claimed') until('taken up', at);
    if (event.type === 'step_started') until('between steps', at);
    if (event.type === 'step_succeeded' || event.type === 'step_failed') until(event.step, at);
    if (event.type === 'verify_started') until('between steps', at);
    if (event.type === 'verify_ended') {
      until('verification', at);
      break;
    }
  }
  return parts;
};

const middle = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** `{ what: median ms }` over the tries that went well. */
export const middleParts = (tries) => {
  const sums = tries.map((parts) => {
    const sum = new Map();
    for (const [what, ms] of parts) sum.set(what, (sum.get(what) ?? 0) + ms);
    return sum;
  });
  const names = [...new Set(sums.flatMap((sum) => [...sum.keys()]))];
  return Object.fromEntries(names.map((what) => [what, middle(sums.map((sum) => sum.get(what) ?? 0))]));
};

export const whereText = (rows) =>
  rows
    .flatMap(({ key, where }) => [
      `${key}`,
      ...Object.entries(where).map(([what, ms]) => `  ${String(ms).padStart(6)} ms  ${what}`),
    ])
    .join('\n');
