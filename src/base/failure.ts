// How things go wrong. What a caller expects is a Result with every problem; what the engine expects is one of three
// thrown classes; anything else that is thrown is a bug.
import type { JsonObject } from './json.ts';

/** One thing that is wrong, where, and how to mend it. `code` is stable and in kebab-case. */
export type Problem = {
  readonly code: string;
  /** Left out: an error, which loading refuses. */
  readonly severity?: 'warning';
  readonly message: string;
  readonly mend?: string;
  readonly file?: string;
  /** JSON pointer into the file. */
  readonly pointer?: string;
  readonly line?: number;
  readonly column?: number;
};

export type Result<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly problems: readonly Problem[] };

export const ok = <T>(value: T): Result<T> => ({ ok: true, value });
export const refused = (problems: readonly Problem[]): { ok: false; problems: readonly Problem[] } => ({
  ok: false,
  problems,
});

/** `file:line:column: message (code)` and the mend on the next line. */
export const formatProblem = (problem: Problem): string => {
  const place = [problem.file ?? '', problem.line, problem.column]
    .filter((part) => part !== undefined && part !== '')
    .join(':');
  const at = problem.pointer === undefined || problem.pointer === '' ? '' : ` at ${problem.pointer}`;
  const mend = problem.mend === undefined ? '' : `\n  mend: ${problem.mend}`;
  const what = problem.severity === undefined ? '' : `${problem.severity}: `;
  return `${place === '' ? '' : `${place}: `}${what}${problem.message}${at} [${problem.code}]${mend}`;
};

/**
 * What a failed step knows about itself: `retryable` means nothing happened and another try may help, `permanent` means
 * nothing happened and none will, `indeterminate` means that the effect may or may not have happened.
 */
export type FailureKind = 'retryable' | 'permanent' | 'indeterminate';

export class ActionError extends Error {
  override readonly name = 'ActionError';
  readonly kind: FailureKind;
  /** What it found out before it failed; later steps read it like the outputs of a step that went well. */
  readonly outputs: JsonObject | undefined;
  constructor(kind: FailureKind, message: string, options?: ErrorOptions & { readonly outputs?: JsonObject }) {
    super(message, options);
    this.kind = kind;
    this.outputs = options?.outputs;
  }
}

/** Another worker has the run now: stop at once and write nothing. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost';
}

/** An event that the state machine does not allow; the run it was meant for is left as it was. */
export class IllegalTransition extends Error {
  override readonly name = 'IllegalTransition';
}

/** The nearest of `known` to `word`, if it is near enough to be a slip of the pen. */
export const didYouMean = (word: string, known: Iterable<string>): string | undefined => {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
};

const editDistance = (left: string, right: string): number => {
  let previous = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let row = 1; row <= left.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= right.length; column += 1) {
      const same = left[row - 1] === right[column - 1] ? 0 : 1;
      current.push(
        Math.min((previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1, (previous[column - 1] ?? 0) + same),
      );
    }
    previous = current;
  }
  return previous[right.length] ?? 0;
};
