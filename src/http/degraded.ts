// What the application can and cannot do now: all an application has to read in order to behave accordingly.
import type { FiguresContext } from './figures.ts';

export type DegradedModeShown = {
  readonly name: string;
  readonly active: boolean;
  readonly since: number | null;
  readonly available: readonly string[];
  readonly unavailable: readonly string[];
  readonly impact: string;
  /** Receivers that are told when it goes on and off. */
  readonly notify: readonly string[];
  readonly by: ReadonlyArray<{
    readonly component: string;
    readonly target: string;
    readonly runId: string | null;
    readonly since: number;
  }>;
};

/** Every declared mode, and any that is on although it is declared no longer. */
export const readDegradedModes = async ({ store, loaded }: FiguresContext): Promise<readonly DegradedModeShown[]> => {
  const rows = await store.degraded();
  const declared = loaded().config.degradedModes;
  const names = [...new Set([...declared.keys(), ...rows.map((row) => row.mode)])];
  return names.map((name) => {
    const by = rows.filter((row) => row.mode === name);
    const { available = [], unavailable = [], impact = '', notify = [] } = declared.get(name) ?? {};
    return {
      name,
      active: by.length > 0,
      since: by.length === 0 ? null : Math.min(...by.map((row) => row.since)),
      available,
      unavailable,
      impact,
      notify,
      by: by.map(({ component, target, runId, since }) => ({ component, target, runId, since })),
    };
  });
};
