// Everything that may be done from the page, each with the command that does the same.
import { list, path, text } from './api.ts';
import type { Row } from './api.ts';
import type { Act } from './act.ts';
import { h } from './dom.ts';
import { badge, shown } from './parts.ts';
import type { Drawn } from './parts.ts';

export const halt: Act = {
  verb: 'Halt',
  title: 'Halt everything?',
  role: 'operator',
  tone: 'bad',
  means: [
    'Nothing starts any more, on any component. Steps that are under way end; no further step begins. What waits keeps its time.',
    'Somebody has to resume it.',
  ],
  reason: { label: 'Reason', key: 'reason', needed: true },
  command: 'amends halt',
  path: '/api/v1/halt',
  body: { on: true },
  said: 'Halted.',
};

export const resume: Act = {
  verb: 'Resume',
  title: 'Let amends go on?',
  role: 'approver',
  tone: 'good',
  means: ['What waited is asked every guard again before it goes on.'],
  reason: { label: 'Reason', key: 'reason', needed: false },
  needsName: true,
  command: 'amends resume',
  path: '/api/v1/halt',
  body: { on: false },
  said: 'Resumed.',
};

const runPath = (run: Row, verb: string): string => `/api/v1/${path('runs', text(run['id']), verb)}`;
const stepOf = (run: Row): string | null => {
  const step = (run['asked'] as Row | null)?.['step'];
  return typeof step === 'string' ? step : null;
};
const stepFlag = (run: Row): string => (stepOf(run) === null ? '' : ` --step ${stepOf(run)}`);

/** What will be done, as the run would call it now. */
const planned = (run: Row): Drawn =>
  h(
    'ol',
    { class: 'plan' },
    list(run['steps'])
      .filter(({ phase, status }) => (phase === 'before' || phase === 'steps') && status === 'pending')
      .map((step) =>
        h(
          'li',
          { key: text(step['key']) },
          h('code', {}, text(step['uses']) || 'asks a human'),
          step['effect'] === 'read'
            ? ' reads'
            : [' ', badge(text(step['effect']), step['effect'] === 'destroy' ? 'bad' : 'warn')],
          text(step['if']) === '' ? '' : [' only if ', h('code', {}, text(step['if']))],
          text(step['question']),
          shown('with', step['input'], true),
        ),
      ),
  );

export const approve = (run: Row): Act => ({
  verb: 'Approve',
  title: 'Approve this run?',
  role: 'approver',
  tone: 'good',
  means: [
    h(
      'p',
      {},
      h('strong', {}, `${text(run['component'])} ${text(run['target'])}`),
      ` - ${text((run['runbook'] as Row)['summary'])}`,
    ),
    'It does, in this order:',
    planned(run),
    'Every guard is asked again before it starts.',
  ],
  reason: { label: 'Comment', key: 'comment', needed: false },
  command: `amends approve ${text(run['id'])}${stepFlag(run)}`,
  path: runPath(run, 'approve'),
  body: { step: stepOf(run) },
  said: 'Approved.',
});

export const deny = (run: Row): Act => ({
  verb: 'Deny',
  title: 'Deny this run?',
  role: 'approver',
  tone: 'bad',
  means: [
    stepOf(run) === null
      ? 'It is withdrawn, and nothing automatic is tried again for this incident.'
      : 'The run ends here; what it has done is verified, and taken back if that fails.',
  ],
  reason: { label: 'Reason', key: 'comment', needed: true },
  command: `amends deny ${text(run['id'])}${stepFlag(run)}`,
  path: runPath(run, 'deny'),
  body: { step: stepOf(run) },
  said: 'Denied.',
});

export const cancel = (run: Row): Act => ({
  verb: 'Cancel the run',
  title: 'Cancel this run?',
  role: 'operator',
  tone: 'bad',
  means: [
    'It starts no further step. What it has changed is verified, and taken back if that fails; its attempt stays used.',
  ],
  reason: { label: 'Reason', key: 'reason', needed: true },
  command: `amends cancel ${text(run['id'])}`,
  path: runPath(run, 'cancel'),
  said: 'Cancelled.',
});

export const disable = (component: string): Act => ({
  verb: 'Disable',
  title: `Disable ${component}?`,
  role: 'operator',
  tone: 'bad',
  means: ['Nothing automatic is done on it. A run that is under way starts no further step.'],
  reason: { label: 'Reason', key: 'reason', needed: true },
  duration: true,
  command: `amends disable ${component}`,
  path: `/api/v1/${path('components', component, 'disable')}`,
  said: `${component} is disabled.`,
});

export const enable = (component: string): Act => ({
  verb: 'Enable',
  title: `Enable ${component}?`,
  role: 'operator',
  tone: 'good',
  means: ['It is recovered automatically again, as far as its other guards allow.'],
  reason: null,
  command: `amends enable ${component}`,
  path: `/api/v1/${path('components', component, 'enable')}`,
  said: `${component} is enabled.`,
});

export const closeBreaker = (component: string, strategy: string): Act => ({
  verb: 'Close the breaker',
  title: `Let ${strategy} be tried again on ${component}?`,
  role: 'operator',
  means: ['Its failures count from zero again, and what it held is decided anew.'],
  reason: { label: 'Comment', key: 'comment', needed: true },
  command: `amends breaker close ${component} ${strategy}`,
  path: `/api/v1/${path('breakers', component, strategy, 'close')}`,
  said: 'The breaker is closed.',
});

export const closeEntry = (entry: Row): Act => ({
  verb: 'Close',
  title: 'Is it dealt with?',
  role: 'operator',
  means: [text(entry['title']), 'Of a run that is stuck, this gives its target free again.'],
  reason: { label: 'What was done', key: 'comment', needed: true },
  command: `amends inbox close ${text(entry['id'])}`,
  path: `/api/v1/${path('inbox', text(entry['id']), 'close')}`,
  said: 'Closed.',
});
