// Whether the process is alive, and whether it can do its work. Anybody may ask; what stands behind the answer is for
// those who may view.
import type { FiguresContext } from './figures.ts';
import { componentFigures } from './figures.ts';
import { stateOf } from './api.ts';
import type { Reply } from './call.ts';

export type HealthContext = FiguresContext & {
  readonly version: string;
  /** False until the loops run, and once they have stopped. */
  working(): boolean;
};

export const alive = ({ version }: HealthContext): Reply => ({ body: { status: 'alive', version } });

/** 503 when it cannot take alerts in or act on them. */
export const readiness = async (context: HealthContext, detailed: boolean): Promise<Reply> => {
  const { config, catalog, revision } = context.loaded();
  const working = context.working();
  try {
    const [controls, components] = await Promise.all([
      context.store.controls(),
      detailed ? componentFigures(context) : [],
    ]);
    const status = working ? 'ready' : 'starting';
    const details = {
      version: context.version,
      mode: config.recovery.mode,
      database: 'ok',
      worker: working ? 'running' : 'stopped',
      halted: controls.halt.on || context.halt.reason() !== null,
      digests: { config: config.digest, catalog: catalog.digest },
      revision: revision ?? null,
      components: components.map((figures) => ({ name: figures.name, state: stateOf(figures) })),
      breakers: components.flatMap(({ name, breakers }) =>
        breakers
          .filter(({ open }) => open)
          .map(({ strategy, failures, trialAt }) => ({ component: name, strategy, failures, trialAt })),
      ),
    };
    return {
      status: working ? 200 : 503,
      body: detailed ? { status, ...details } : { status, version: context.version },
    };
  } catch (error) {
    const database = error instanceof Error ? error.message : 'unknown';
    return { status: 503, body: { status: 'not ready', version: context.version, ...(detailed ? { database } : {}) } };
  }
};
