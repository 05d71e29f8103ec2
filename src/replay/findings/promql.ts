// What a PromQL text asks for, as far as checking needs it: the names of its metrics. Read by its tokens; whether it is
// PromQL at all is for Prometheus to say.

const TOKEN =
  /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`|#[^\n]*|\[[^\]]*\]|\{|\}|\(|\)|[A-Za-z_:][A-Za-z0-9_:]*|\d[\w.]*|\S/g;
const WORDS = new Set(
  'and or unless by without on ignoring group_left group_right bool offset atan2 inf nan start end'.split(' '),
);
/** In brackets behind these stand names of labels. */
const BEFORE_LABELS = new Set(['by', 'without', 'on', 'ignoring', 'group_left', 'group_right']);

type Selector = { readonly name: string | null };

/** Every selector in the text, in order; `name` is null where only labels select. */
const selectorsOf = (query: string): readonly Selector[] => {
  const tokens = (query.match(TOKEN) ?? []).filter((token) => !token.startsWith('#'));
  const found: Selector[] = [];
  for (let at = 0; at < tokens.length; at += 1) {
    const token = tokens[at] ?? '';
    const word = token.toLowerCase();
    if (BEFORE_LABELS.has(word) && tokens[at + 1] === '(') at = after(tokens, at + 1, ')');
    else if (token === '{') {
      const end = after(tokens, at, '}');
      found.push({ name: namedWithin(tokens.slice(at + 1, end)) });
      at = end;
    } else if (/^[A-Za-z_:]/.test(token) && !WORDS.has(word) && tokens[at + 1] !== '(' && !isClause(tokens, at)) {
      found.push({ name: token });
      if (tokens[at + 1] === '{') at = after(tokens, at + 1, '}');
    }
  }
  return found;
};

export const metricsOf = (query: string): readonly string[] => [
  ...new Set(selectorsOf(query).flatMap(({ name }) => (name === null ? [] : [name]))),
];

/** True when its value does not hang on any series. */
export const isConstant = (query: string): boolean => selectorsOf(query).length === 0;

/** `sum by (job) (x)`: `sum` is followed by a clause and not by its bracket. */
const isClause = (tokens: readonly string[], at: number): boolean =>
  ['by', 'without'].includes((tokens[at + 1] ?? '').toLowerCase()) &&
  tokens[at + 2] === '(' &&
  tokens[at + 3] !== undefined
    ? AGGREGATIONS.has((tokens[at] ?? '').toLowerCase())
    : false;

const AGGREGATIONS = new Set(
  'sum min max avg group stddev stdvar count count_values bottomk topk quantile limitk limit_ratio'.split(' '),
);

const after = (tokens: readonly string[], open: number, close: string): number => {
  const end = tokens.indexOf(close, open);
  return end < 0 ? tokens.length : end;
};

/** `{__name__="x"}` and `{"x"}` name a metric too. */
const namedWithin = (tokens: readonly string[]): string | null => {
  const at = tokens.indexOf('__name__');
  if (at >= 0 && tokens[at + 1] === '=' && tokens[at + 2] !== '~') return unquoted(tokens[at + 2]);
  const quoted = tokens.findIndex((token, index) => /^["'`]/.test(token) && (index === 0 || tokens[index - 1] === ','));
  return quoted >= 0 && tokens[quoted + 1] !== '=' ? unquoted(tokens[quoted]) : null;
};

const unquoted = (token: string | undefined): string | null =>
  token === undefined || !/^["'`]/.test(token) ? null : token.slice(1, -1);
