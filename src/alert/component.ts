// Components, targets and inventories: the declared things among which an alert's labels select.
import type { Json } from '../base/json.ts';
import type { Labels } from './alert.ts';

/** One entry of a component's inventory. `connect` is the component's with the target's own members laid over it; secrets stay references. */
export type Target = {
  readonly name: string;
  readonly connect: Readonly<Record<string, Json>>;
  readonly labels: Labels;
};

export type Matcher = {
  readonly label: string;
  readonly operator: '=' | '!=' | '=~' | '!~';
  readonly value: string;
  matches(value: string): boolean;
};

export type TargetMapping = { readonly label: string; apply(value: string): string | undefined };

export type Component = {
  readonly name: string;
  /** What sort of thing it is; runs on one (kind, target) exclude each other. */
  readonly kind: string;
  readonly team: string | null;
  /** Empty: only the label `component` selects it. */
  readonly matchers: readonly Matcher[];
  readonly mapping: TargetMapping;
  readonly targets: ReadonlyMap<string, Target>;
  /** Globs over action names; nothing declared, nothing allowed. */
  readonly allowedActions: readonly string[];
};

/** What an alert's labels selected. With a `problem` no `remediate` rule may act on it. */
export type Selection =
  | { readonly found: true; readonly component: Component; readonly target: Target }
  | {
      readonly found: false;
      readonly ambiguous: boolean;
      readonly component: Component | null;
      readonly targetName: string | null;
      readonly problem: string;
    };
