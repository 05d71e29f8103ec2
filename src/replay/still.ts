// What an engine is given that decides again or is tested: nothing outside is told, run or kept.
import type { EngineContext } from '../engine/context.ts';
import type { Telemetry } from '../port/telemetry.ts';

const nothing = (): void => undefined;

export const SILENT: Telemetry = {
  delivery: nothing,
  acknowledged: nothing,
  alert: nothing,
  unknownFields: nothing,
  watchdog: nothing,
  decision: nothing,
  decided: nothing,
  admission: nothing,
  ruleDecision: nothing,
  runStarted: nothing,
  runEnded: nothing,
  runIneffective: nothing,
  step: nothing,
  verification: nothing,
  probe: nothing,
  notification: nothing,
};

type Still = Pick<
  EngineContext,
  'notifiers' | 'spawner' | 'telemetry' | 'halt' | 'emergency' | 'storeHealth' | 'owner'
>;

/** `owner` is who holds the leases: `backtest` or `test`. */
export const stillParts = (owner: string): Still => ({
  notifiers: new Map(),
  spawner: {
    run: async () => {
      throw new Error(`a ${owner} runs no command`);
    },
    sweep: async () => 0,
    stop: async () => undefined,
  },
  telemetry: SILENT,
  halt: { reason: () => null },
  emergency: { reserve: async () => undefined, keep: nothing, entries: () => [], settled: nothing, clear: nothing },
  storeHealth: { trouble: () => null },
  owner,
});
