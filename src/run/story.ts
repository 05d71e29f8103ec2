// The events of a run as sentences, for whoever reads what happened: the log of a run and the draft of a post-mortem.
import type { RunEvent, StoredEvent } from './events.ts';

export type Told = {
  readonly at: number;
  readonly level: 'info' | 'warn' | 'error';
  readonly step: string | null;
  readonly message: string;
};

const LONGEST = 2_048;
const after = (text: string): string => (text === '' ? '' : `: ${text}`);

const sentence = (event: RunEvent): string => {
  switch (event.type) {
    case 'admitted':
      return event.approval ? 'admitted; a human is asked first' : 'admitted';
    case 'approval_requested':
      return `a human is asked${after(event.question)}`;
    case 'approved':
      return `approved by ${event.by}`;
    case 'denied':
      return `denied by ${event.by}${after(event.reason)}`;
    case 'expired':
      return 'nobody answered in time';
    case 'claimed':
      return event.recovery ? `taken over after a crash by ${event.owner}` : `claimed by ${event.owner}`;
    case 'started':
      return 'started';
    case 'step_skipped':
      return `${event.step} skipped${after(event.why)}`;
    case 'step_started':
      return event.try > 1 ? `${event.step} started, try ${event.try}` : `${event.step} started`;
    case 'step_succeeded':
      return `${event.step} succeeded after ${event.ms} ms`;
    case 'step_failed':
      return `${event.step} failed after ${event.ms} ms (${event.kind})${after(event.error)}`;
    case 'step_unknown':
      return `${event.step} may or may not have happened${after(event.error)}`;
    case 'stop_requested':
      return `stop asked by ${event.by}${after(event.why)}`;
    case 'resolved_during_run':
      return 'the alert resolved meanwhile';
    case 'verify_started':
      return 'verification started';
    case 'verify_ended': {
      const failed = event.checks
        .filter(({ passed }) => !passed)
        .map(({ check, detail }) => `${check}${after(detail)}`);
      return event.passed ? 'verification passed' : `verification failed${after(failed.join('; '))}`;
    }
    case 'undo_started':
      return event.rollback ? 'rollback started' : 'undo started';
    case 'done':
      return `done: ${event.outcome} (${event.cause})${after(event.detail)}`;
    case 'parked':
      return `waits${after(event.why)}`;
    case 'judged':
      return event.exhausted
        ? `nothing automatic is left${after(event.why)}`
        : `will be tried again${after(event.why)}`;
    case 'ineffective':
      return `of no use after all${after(event.why)}`;
    case 'aftermath_ended':
      return 'closed';
  }
};

const WARNINGS: ReadonlySet<RunEvent['type']> = new Set([
  'denied',
  'expired',
  'stop_requested',
  'undo_started',
  'parked',
]);
const ERRORS: ReadonlySet<RunEvent['type']> = new Set(['step_unknown', 'ineffective']);

const levelOf = (event: RunEvent): Told['level'] => {
  if (event.type === 'step_failed') return event.retryAt === null ? 'error' : 'warn';
  if (event.type === 'verify_ended') return event.passed ? 'info' : 'error';
  if (event.type === 'done')
    return event.outcome === 'resolved' ? 'info' : event.outcome === 'withdrawn' ? 'warn' : 'error';
  return ERRORS.has(event.type) ? 'error' : WARNINGS.has(event.type) ? 'warn' : 'info';
};

export const tell = ({ at, event }: StoredEvent): Told => ({
  at,
  level: levelOf(event),
  step: 'step' in event ? event.step : null,
  message: sentence(event).slice(0, LONGEST),
});
