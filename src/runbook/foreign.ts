// Spellings that people bring along from GitHub Actions and other languages, each refused with what to write here instead.
import type { Problem } from '../base/failure.ts';

type Spelling = { readonly found: RegExp; readonly message: string; readonly mend: string };

const SPELLINGS: readonly Spelling[] = [
  { found: /\$\{\{/, message: 'a condition stands bare, without ${{ }}', mend: 'leave ${{ and }} out' },
  {
    found: /\bsuccess\s*\(/,
    message: 'there is no success()',
    mend: 'leave it out: a step runs only if all before it went well; ask for one step by steps.<id>.outcome == "succeeded"',
  },
  { found: /\bfailure\s*\(/, message: 'there is no failure()', mend: 'write failed()' },
  {
    found: /\bcancelled\s*\(/,
    message: 'there is no cancelled()',
    mend: 'a run that was stopped starts no further step; leave it out',
  },
  {
    found: /(?<![.\w])contains\s*\(/,
    message: 'contains() is a method here',
    mend: 'write inputs.text.contains("part"), or "member" in inputs.list',
  },
  {
    found: /(?<![.\w])(?:startsWith|endsWith)\s*\(/,
    message: 'startsWith() and endsWith() are methods here',
    mend: 'write inputs.text.startsWith("part")',
  },
  {
    found: /\b(?:format|join|toJSON|fromJSON|hashFiles|case)\s*\(/,
    message: 'GitHub’s format(), join(), toJSON(), fromJSON() and hashFiles() are not known here',
    mend: 'compare the value itself; CEL has size(), string(), int(), has() and in',
  },
  { found: /\.conclusion\b/, message: 'steps have an outcome and no conclusion', mend: 'write steps.<id>.outcome' },
  { found: /\bsteps\.\w+\.result\b/, message: 'steps have an outcome and no result', mend: 'write steps.<id>.outcome' },
  { found: /===|!==/, message: 'CEL compares with == and !=', mend: 'write == or !=' },
  { found: /(?<![=!<>])=(?!=)/, message: 'a single = compares nothing', mend: 'write ==' },
  {
    found: /\s(?:and|or)\s|(?:^|\s)not\s/i,
    message: 'CEL writes && || and !',
    mend: 'write && for and, || for or, ! for not',
  },
  { found: /(?<!&)&(?!&)|(?<!\|)\|(?!\|)/, message: 'a single & or | is nothing in CEL', mend: 'write && or ||' },
  { found: /\.\*/, message: 'there is no .* over a list', mend: 'write list.exists(item, item.key == "value")' },
  {
    found: /\bundefined\b|\bnil\b|\bNone\b/,
    message: 'CEL has null alone, and a missing key is an error',
    mend: 'write has(steps.<id>.outputs.<name>)',
  },
];

/** The text with the insides of its quotes blanked, so that words in there offend nobody. */
const withoutQuoted = (text: string): string =>
  text.replaceAll(
    /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/g,
    (quoted) => `"${' '.repeat(Math.max(0, quoted.length - 2))}"`,
  );

export const foreignSpelling = (text: string): Problem | undefined => {
  const bare = withoutQuoted(text);
  const spelling = SPELLINGS.find((candidate) => candidate.found.test(bare));
  return spelling === undefined
    ? undefined
    : { code: 'foreign-spelling', message: spelling.message, mend: spelling.mend };
};

/** The words that other systems use for a step's outcome. */
export const FOREIGN_OUTCOMES: ReadonlyMap<string, string> = new Map([
  ['success', 'succeeded'],
  ['ok', 'succeeded'],
  ['passed', 'succeeded'],
  ['failure', 'failed'],
  ['error', 'failed'],
  ['timed_out', 'failed'],
  ['cancelled', 'skipped'],
  ['neutral', 'skipped'],
]);
