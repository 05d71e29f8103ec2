// The seam behind the outbox: one channel through which a human is told.
import type { ZodType } from 'zod';

export type Notification = {
  /** The outbox row's id: the same on every try, so that a receiver can drop repeats. */
  readonly id: string;
  readonly at: string;
  readonly topic: string;
  readonly severity: string | null;
  readonly component: string | null;
  readonly target: string | null;
  readonly runId: string | null;
  readonly title: string;
  readonly body: string;
  readonly url: string | null;
  /** `<row>:<hash>` of where the audit ended within the last minute: whoever keeps it can show later that its end was cut off. */
  readonly auditHead?: string;
};

export type NotifierContext = {
  readonly signal: AbortSignal;
  readonly log: (line: string) => void;
  /** Of the run that it tells of: the trace, and a span for this message (W3C). */
  readonly traceparent?: string;
  secret(file: string): Promise<string>;
};

export type Notifier<Settings = unknown> = {
  readonly summary: string;
  readonly settings: ZodType<Settings>;
  /** Resolves once the other side has it; throws to be tried again. */
  send(settings: Settings, notification: Notification, context: NotifierContext): Promise<void>;
};

export const defineNotifier = <Settings>(notifier: Notifier<Settings>): Notifier<Settings> => notifier;
export type Notifiers = ReadonlyMap<string, Notifier>;
