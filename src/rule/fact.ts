// What rules know of facts. The seam itself (port/fact.ts) builds on this; rules stand before it in the order of imports.
import type { ZodType } from 'zod';
import type { JsonObject } from '../base/json.ts';
import type { Rule } from './rule.ts';

export type FactValue = string | number | boolean | null | undefined;

/** What the loader checks a condition against. */
export type KnownFact = {
  readonly summary: string;
  readonly type: 'string' | 'number' | 'boolean';
  /** May be missing for some alerts: a negative operator on it needs an `exists`. */
  readonly optional: boolean;
  /** Strict schema of `params`; null: takes none. */
  readonly params: ZodType | null;
  /** The only values it can have. */
  readonly values?: readonly string[];
  /** Read as `<name>.<member>` only: `label.env`. */
  readonly family?: true;
  /** Its value depends on the rule that asks. */
  readonly perRule?: true;
  /** It takes I/O to know: asked for last, and only by rules whose other conditions leave it open. */
  readonly outside?: true;
};

/** Gives a fact's value to a rule; undefined: not there. May throw, which is that rule's error alone. */
export type ReadFact = (fact: string, params: JsonObject, rule: Rule) => FactValue;

/** What somebody outside said. With a `problem` there is no value, and the rule that asked cannot be decided. */
export type Answer = {
  readonly value: FactValue;
  readonly problem?: string;
  /** With a problem: the query that nobody answered, which says nothing against the query. */
  readonly unanswered?: string;
  /** What was asked, for the record. */
  readonly shown: JsonObject;
};

/** Asks for a fact that takes I/O. */
export type AskFact = (fact: string, params: JsonObject, rule: Rule) => Promise<Answer>;

/** `label.k8s.pod` is the member `k8s.pod` of the family `label`; other facts have no member. */
export const splitFact = (
  facts: ReadonlyMap<string, { readonly family?: true }>,
  name: string,
): { readonly fact: string; readonly member: string } | null => {
  const plain = facts.get(name);
  if (plain !== undefined) return plain.family === undefined ? { fact: name, member: '' } : null;
  const dot = name.indexOf('.');
  if (dot <= 0 || dot === name.length - 1) return null;
  const fact = name.slice(0, dot);
  return facts.get(fact)?.family === true ? { fact, member: name.slice(dot + 1) } : null;
};
