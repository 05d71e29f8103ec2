// What the engine tells of itself while it works; metrics are made of it after the commit.
import type { Outcome } from '../run/events.ts';
import type { Origin, Reason } from '../run/reasons.ts';

export type Telemetry = {
  delivery(result: 'accepted' | 'refused' | 'overloaded' | 'unauthorized', at: number): void;
  alert(status: 'firing' | 'resolved' | 'invalid'): void;
  unknownFields(count: number): void;
  watchdog(at: number): void;
  decision(reason: Reason, origin: Origin): void;
  ruleDecision(rule: string, verdict: 'acted' | 'held' | 'shadow' | 'escalated'): void;
  runStarted(component: string, strategy: string): void;
  /** Times in milliseconds; null when there was no alert or nothing was verified. */
  runEnded(run: {
    component: string;
    strategy: string;
    outcome: Outcome;
    fromAlertMs: number | null;
    fromStartMs: number | null;
  }): void;
  runIneffective(component: string, strategy: string): void;
  step(action: string, result: 'succeeded' | 'failed' | 'unknown', ms: number): void;
  probe(
    probe: { name: string; component: string; target: string },
    result: { success: boolean; ms: number; at: number; outputs: Readonly<Record<string, unknown>> },
  ): void;
  notification(receiver: string, result: 'sent' | 'failed' | 'dead'): void;
};
