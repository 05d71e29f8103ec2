import { describe, expect, it } from '@jest/globals';
import { eventText, outcomeOf } from '../../../src/cli/terminal/run-text.ts';

describe('run-text', () => {
  it('each event is one line of plain words, with its reason where there is one', () => {
    expect(eventText({ type: 'step_started', step: 'steps/restore', try: 2 })).toBe('steps/restore started, try 2');
    expect(eventText({ type: 'step_failed', step: 'steps/restore', ms: 12, error: 'no backup' })).toBe(
      'steps/restore failed after 12 ms: no backup',
    );
    expect(eventText({ type: 'verify_ended', passed: false })).toBe('verification failed');
    expect(eventText({ type: 'done', outcome: 'unresolved', cause: 'not_verified', detail: '' })).toBe(
      'done: unresolved (not_verified)',
    );
    expect(eventText({ type: 'judged', exhausted: true, why: 'attempts_used_up' })).toBe(
      'nothing automatic is left: attempts_used_up',
    );
  });

  it('an event of a later version is shown by its name', () => {
    expect(eventText({ type: 'teleported' })).toBe('teleported');
  });

  it('C9 what a step said cannot command a terminal', () => {
    expect(eventText({ type: 'step_failed', step: 'a', error: '\u001b[2J' })).toBe('a failed: \\u001b[2J');
  });

  it('an outcome names its cause, but for the ordinary one', () => {
    expect(outcomeOf({ outcome: 'resolved', cause: 'verified' })).toBe('resolved');
    expect(outcomeOf({ outcome: 'withdrawn', cause: 'denied' })).toBe('withdrawn (denied)');
    expect(outcomeOf({ outcome: null, cause: null })).toBe('-');
  });
});
