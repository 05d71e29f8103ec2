// A run as people read it: its events in order, each as one line.
import type { Answer } from './client.ts';
import { cell, plain } from './text.ts';

const after = (value: unknown): string => (plain(value) === '' ? '' : `: ${plain(value)}`);
const took = (event: Answer): string => (typeof event['ms'] === 'number' ? ` after ${event['ms']} ms` : '');

/** What happened, in a few words. Names of events are stored for ever, so one that is new here is shown as it is. */
export const eventText = (event: Answer): string => {
  const step = plain(event['step']);
  switch (event['type']) {
    case 'admitted':
      return event['approval'] === true ? 'admitted, a human is asked first' : 'admitted';
    case 'approval_requested':
      return `approval asked${after(event['question'])}`;
    case 'approved':
      return `approved by ${plain(event['by'])}`;
    case 'denied':
      return `denied by ${plain(event['by'])}${after(event['reason'])}`;
    case 'expired':
      return 'nobody answered in time';
    case 'claimed':
      return event['recovery'] === true ? 'taken over after a crash' : 'claimed by a worker';
    case 'started':
      return 'started';
    case 'step_skipped':
      return `${step} skipped${after(event['why'])}`;
    case 'step_started':
      return Number(event['try']) > 1 ? `${step} started, try ${Number(event['try'])}` : `${step} started`;
    case 'step_succeeded':
      return `${step} succeeded${took(event)}`;
    case 'step_failed':
      return `${step} failed${took(event)}${after(event['error'])}`;
    case 'step_unknown':
      return `${step} may or may not have happened${after(event['error'])}`;
    case 'stop_requested':
      return `stop asked by ${plain(event['by'])}${after(event['why'])}`;
    case 'resolved_during_run':
      return 'the alert resolved meanwhile';
    case 'verify_started':
      return 'verification started';
    case 'verify_ended':
      return event['passed'] === true ? 'verification passed' : 'verification failed';
    case 'undo_started':
      return event['rollback'] === true ? 'rollback started' : 'undo started';
    case 'done':
      return `done: ${outcomeOf(event)}${after(event['detail'])}`;
    case 'parked':
      return `waits${after(event['why'])}`;
    case 'judged':
      return event['exhausted'] === true
        ? `nothing automatic is left${after(event['why'])}`
        : `will be tried again${after(event['why'])}`;
    case 'ineffective':
      return `was of no use after all${after(event['why'])}`;
    case 'aftermath_ended':
      return 'closed';
    default:
      return cell(event['type']);
  }
};

/** `unresolved (not_verified)`, or `-` while it is not known. */
export const outcomeOf = (run: Answer): string => {
  const outcome = plain(run['outcome']);
  if (outcome === '') return '-';
  const cause = plain(run['cause']);
  return cause === '' || cause === 'verified' ? outcome : `${outcome} (${cause})`;
};
