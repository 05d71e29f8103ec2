// What a page is: where its data comes from, and what it looks like with them.
import type { Answer, Row } from './api.ts';
import type { Drawn } from './parts.ts';

export type View = {
  /** The path behind `/console`, its groups the parameters. */
  readonly path: RegExp;
  readonly title: (parameters: readonly string[]) => string;
  readonly load: (parameters: readonly string[], query: URLSearchParams) => Promise<Answer>;
  readonly draw: (body: Row, parameters: readonly string[]) => readonly Drawn[];
};
