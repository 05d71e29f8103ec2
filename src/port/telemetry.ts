// What the engine tells of itself while it works; metrics are made of it after the commit.
import type { Outcome } from '../run/events.ts';
import type { Origin, Reason } from '../run/reasons.ts';

export type Telemetry = {
  delivery(result: 'accepted' | 'refused' | 'overloaded' | 'unauthorized', at: number): void;
  /** From the arrival of an accepted post to its 202. */
  acknowledged(ms: number): void;
  alert(status: 'firing' | 'resolved' | 'invalid'): void;
  unknownFields(count: number): void;
  watchdog(at: number): void;
  decision(reason: Reason, origin: Origin): void;
  /** From when an alert was received to when its decision was committed. */
  decided(ms: number): void;
  /** One transaction in which decisions pass the guards or fail them. */
  admission(ms: number): void;
  ruleDecision(rule: string, verdict: 'acted' | 'held' | 'shadow' | 'escalated'): void;
  runStarted(component: string, strategy: string): void;
  /** Times in milliseconds. Null: there was no alert, nothing was verified, or (`durationMs`) it never began. */
  runEnded(run: {
    component: string;
    strategy: string;
    outcome: Outcome;
    fromAlertMs: number | null;
    fromStartMs: number | null;
    durationMs: number | null;
  }): void;
  runIneffective(component: string, strategy: string): void;
  step(action: string, result: 'succeeded' | 'failed' | 'unknown', ms: number): void;
  verification(run: { component: string; strategy: string; passed: boolean; ms: number }): void;
  probe(
    probe: { name: string; component: string; target: string },
    result: { success: boolean; ms: number; at: number; outputs: Readonly<Record<string, unknown>> },
  ): void;
  notification(receiver: string, result: 'sent' | 'failed' | 'dead'): void;
};
