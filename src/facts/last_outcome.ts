// What the last try came to.
import type { Attempt } from '../run/history.ts';
import type { Fact } from '../port/fact.ts';

const isLater = (attempt: Attempt, than: Attempt): boolean =>
  (attempt.endedAt ?? 0) === (than.endedAt ?? 0) ? attempt.at > than.at : (attempt.endedAt ?? 0) > (than.endedAt ?? 0);

const fact: Fact = {
  summary: 'success or failure of the last attempt on the component that ended, none without one.',
  type: 'string',
  optional: false,
  params: null,
  values: ['success', 'failure', 'none'],
  perRule: true,
  value: ({ snapshot, component, ledger }) => {
    let last: Attempt | null = null;
    for (const attempt of snapshot.attempts) {
      // What was withdrawn says nothing about whether recovery works.
      const ended = attempt.endedAt !== null && attempt.outcome !== null && attempt.outcome !== 'withdrawn';
      if (
        ended &&
        attempt.component === component &&
        attempt.ledger === ledger &&
        (last === null || isLater(attempt, last))
      )
        last = attempt;
    }
    if (last === null) return 'none';
    return last.outcome === 'resolved' ? 'success' : 'failure';
  },
};

export default fact;
