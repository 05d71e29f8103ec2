// The steps of a run: in short, as on the overview, and in full, with what they were given and found out.
import { list, number, row, text, when } from './api.ts';
import type { Row } from './api.ts';
import { parse, span, time } from './clock.ts';
import { h } from './dom.ts';
import { badge, shown, words } from './parts.ts';
import type { Drawn } from './parts.ts';

const PHASES: Readonly<Record<string, string>> = {
  before: 'Evidence',
  steps: 'Steps',
  rollback: 'Rollback',
  undo: 'Taken back',
  on_success: 'Afterwards',
  on_failure: 'After the failure',
  on_exhausted: 'Since nothing automatic is left',
};

/** Of what may never come, only what came is shown. */
const isShown = (step: Row): boolean =>
  step['phase'] === 'before' || step['phase'] === 'steps' || step['status'] !== 'pending';

export const stepsInShort = (run: Row): Drawn =>
  h(
    'ol',
    { class: 'short' },
    list(run['steps'])
      .filter(isShown)
      .map((step) =>
        h(
          'li',
          { key: text(step['key']) },
          badge(text(step['status'])),
          ` ${text(step['id'])} `,
          h('span', { class: 'when' }, took(step)),
        ),
      ),
    h('li', { key: 'verify' }, badge(verifyState(run)), ' verification'),
  );

const isUnderWay = ({ status }: Row): boolean => status === 'started' || status === 'undoing';

const took = (step: Row): Drawn => {
  const [began, ended] = [when(step['startedAt']), when(step['endedAt'])];
  if (began === null) return '';
  if (isUnderWay(step)) return time(began, 'since');
  return ended === null ? '' : short((parse(ended) ?? 0) - (parse(began) ?? 0));
};

const short = (ms: number): string => (ms < 1_000 ? `${ms} ms` : span(ms));

const verifyState = (run: Row): string => {
  const verification = row(run['verification']);
  if (verification['passed'] === true) return 'succeeded';
  if (verification['passed'] === false) return 'failed';
  return run['state'] === 'verifying' ? 'started' : 'pending';
};

const stepItem = (step: Row): Drawn => {
  const { id, uses, status, tries } = step;
  const isOpen = status === 'failed' || status === 'unknown' || status === 'undo_failed';
  return h(
    'li',
    { class: 'step', key: text(step['key']) },
    h(
      'p',
      {},
      badge(text(status)),
      ' ',
      h('strong', {}, text(id)),
      ' ',
      uses === null ? null : h('code', {}, text(uses)),
      ' ',
      step['effect'] === 'read' || uses === null
        ? null
        : badge(text(step['effect']), step['effect'] === 'destroy' ? 'bad' : 'plain'),
    ),
    h(
      'p',
      { class: 'when' },
      when(step['startedAt']) === null ? null : [time(when(step['startedAt']), 'at'), '. '],
      took(step) === '' ? null : [isUnderWay(step) ? 'For ' : 'Took ', took(step), '. '],
      number(tries) > 1 ? `${number(tries)} tries. ` : '',
      when(step['retryAt']) === null ? null : ['Next try ', time(when(step['retryAt']), 'short'), '.'],
    ),
    text(step['if']) === '' ? null : h('p', { class: 'why' }, 'Only if ', h('code', {}, text(step['if']))),
    text(step['question']) === '' ? null : h('p', {}, text(step['question'])),
    text(step['error']) === ''
      ? null
      : h(
          'p',
          { class: 'error' },
          text(step['failure']) === '' ? '' : `${words(text(step['failure']))}: `,
          text(step['error']),
        ),
    shown(
      status === 'pending' ? (step['open'] === true ? 'With (as far as it is known)' : 'With') : 'Called with',
      step['input'],
      status === 'pending' && uses !== null,
    ),
    shown('Found out', step['outputs'], isOpen || status === 'succeeded'),
  );
};

/** All of them, by phase. */
export const stepsInFull = (run: Row): Drawn =>
  Object.entries(PHASES).map(([phase, title]) => {
    const steps = list(run['steps']).filter((step) => step['phase'] === phase && isShown(step));
    return steps.length === 0
      ? null
      : h(
          'section',
          { key: phase, 'aria-label': title },
          h('h3', {}, title),
          h('ol', { class: 'steps' }, steps.map(stepItem)),
        );
  });

export const verification = (run: Row): Drawn => {
  const { passed, deadline, checks } = row(run['verification']);
  return [
    h(
      'p',
      {},
      badge(verifyState(run)),
      ' ',
      passed === null && when(deadline) !== null
        ? [time(when(deadline), 'left'), ', until ', time(when(deadline), 'at')]
        : null,
    ),
    h(
      'ul',
      { class: 'lines' },
      list(checks).length > 0
        ? list(checks).map((check) =>
            h(
              'li',
              { key: text(check['check']) },
              badge(check['passed'] === true ? 'passed' : 'failed', check['passed'] === true ? 'good' : 'bad'),
              ' ',
              h('code', {}, text(check['check'])),
              text(check['detail']) === '' ? '' : `: ${text(check['detail'])}`,
            ),
          )
        : (Array.isArray(run['checks']) ? run['checks'] : []).map((check) =>
            h('li', { key: text(check) }, h('code', {}, text(check))),
          ),
    ),
  ];
};
