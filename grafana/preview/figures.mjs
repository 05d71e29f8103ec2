// Numbers as Grafana shows them: by unit, by mapping, in the colour of their threshold.

const COLOURS = {
  green: '#73bf69',
  orange: '#ff9830',
  red: '#f2495c',
  blue: '#5794f2',
  purple: '#b877d9',
};
/** Grafana's classic palette, for series side by side. */
const PALETTE = [
  '#73bf69',
  '#f2cc0c',
  '#8ab8ff',
  '#ff780a',
  '#f2495c',
  '#5794f2',
  '#b877d9',
  '#705da0',
  '#37872d',
  '#fade2a',
  '#447ebc',
  '#c15c17',
];

const scaled = (value, steps) => {
  const found = steps.find(([from]) => Math.abs(value) >= from) ?? steps.at(-1);
  return [value / found[0], found[1]];
};
const plainNumber = (value, decimals) => {
  const digits = decimals ?? (Number.isInteger(value) ? 0 : Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 1 ? 1 : 2);
  const text = value.toFixed(digits);
  // -0.00 says nothing that 0 does not.
  return /^-?0(?:\.0+)?$/.test(text) && decimals === undefined ? '0' : text;
};

const UNITS = {
  short: (value, decimals) => {
    const [figure, suffix] = scaled(value, [[1e9, ' Bil'], [1e6, ' Mil'], [1e3, ' K'], [1, '']]); // prettier-ignore
    return `${plainNumber(Math.abs(value) < 1 ? value : figure, decimals)}${Math.abs(value) < 1 ? '' : suffix}`;
  },
  s: (value, decimals) => {
    if (value === 0) return '0 s';
    const [figure, suffix] = scaled(value, [[86_400, ' day'], [3_600, ' hour'], [60, ' min'], [1, ' s'], [1e-3, ' ms'], [1e-6, ' µs']]); // prettier-ignore
    return `${plainNumber(figure, decimals)}${suffix}`;
  },
  percentunit: (value, decimals) => `${plainNumber(value * 100, decimals)}%`,
  bytes: (value, decimals) => {
    const [figure, suffix] = scaled(value, [[1024 ** 3, ' GiB'], [1024 ** 2, ' MiB'], [1024, ' KiB'], [1, ' B']]); // prettier-ignore
    return `${plainNumber(figure, decimals)}${suffix}`;
  },
  reqps: (value, decimals) => `${plainNumber(value, decimals)} req/s`,
  cps: (value, decimals) => `${plainNumber(value, decimals)} c/s`,
};

const mappingOf = ({ mappings = [] }, value) =>
  mappings.flatMap(({ type, options }) => (type === 'value' ? (options[String(value)] ?? []) : []))[0];

export const textOf = (defaults, value) =>
  mappingOf(defaults, value)?.text ?? UNITS[defaults.unit](value, defaults.decimals);

export const colourOf = (defaults, value) => {
  const mapped = mappingOf(defaults, value)?.color;
  const step = defaults.thresholds.steps.findLast((candidate) => candidate.value === null || value >= candidate.value);
  const colour = mapped ?? step.color;
  return COLOURS[colour] ?? colour;
};

/** Of a series among others: what an override says of its name, else the next of the palette. */
export const colourOfSeries = ({ fieldConfig: { overrides } }, { name }, index) => {
  const override = overrides.findLast(
    ({ matcher }) => matcher.id === 'byRegexp' && new RegExp(matcher.options.slice(1, -1)).test(name),
  );
  const fixed = override?.properties.find(({ id }) => id === 'color')?.value.fixedColor;
  return COLOURS[fixed] ?? PALETTE[index % PALETTE.length];
};
