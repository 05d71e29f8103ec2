// The prober: read-only actions on a schedule, their results as metrics, so that Prometheus can alert on what no
// exporter watches.
import type { JsonObject } from '../base/json.ts';
import type { Probe } from '../config.ts';
import { renderConnect } from '../runbook/template.ts';
import type { EngineContext } from './context.ts';
import type { Loop } from './loop.ts';
import { createLoop } from './loop.ts';
import { perform } from './perform.ts';

/** No probe comes more often. */
const EVERY_MS = 1_000;

/** Each probe has its own rhythm; one that takes long delays no other. */
export const createProber = (context: EngineContext): Loop & { tick(): Promise<void> } => {
  const { clock } = context;
  const dueAt = new Map<string, number>();
  const underWay = new Map<string, Promise<void>>();
  const stopped = new AbortController();

  const tick = async (): Promise<void> => {
    const now = clock.monotonic();
    for (const probe of context.loaded().config.probes) {
      if (underWay.has(probe.name) || (dueAt.get(probe.name) ?? 0) > now + EVERY_MS / 2) continue;
      dueAt.set(probe.name, now + probe.every);
      underWay.set(
        probe.name,
        probeOnce(context, probe, stopped.signal).finally(() => underWay.delete(probe.name)),
      );
    }
  };
  const loop = createLoop({ name: 'prober', clock, everyMs: EVERY_MS, log: context.log, tick });
  return {
    ...loop,
    async tick() {
      await tick();
      await Promise.all(underWay.values());
    },
    async stop() {
      await loop.stop();
      stopped.abort(new Error('amends is stopping'));
      await Promise.all(underWay.values());
    },
  };
};

const probeOnce = async (context: EngineContext, probe: Probe, signal: AbortSignal): Promise<void> => {
  const { config } = context.loaded();
  const component = config.components.get(probe.component);
  const target = component?.targets.get(probe.target);
  const action = context.actions.get(probe.uses);
  if (component === undefined || target === undefined || action === undefined) return;
  const connect = renderConnect({ ...target.connect, ...probe.with }, target.name);
  const input = connect.ok ? fitting(action.input, connect.value) : {};
  const result = await perform(context, {
    uses: probe.uses,
    input,
    timeoutMs: probe.timeout,
    allowedActions: null,
    marker: `probe/${probe.name}`,
    signal,
    run: { id: `probe/${probe.name}`, component: component.name, kind: component.kind, target: target.name },
  });
  context.telemetry.probe(
    { name: probe.name, component: component.name, target: target.name },
    { success: result.ok, ms: result.ms, at: context.clock.now(), outputs: result.outputs },
  );
  if (!result.ok) context.log.debug({ probe: probe.name, error: result.error }, 'a probe failed');
};

/** The members of the target's connect that the action takes. */
const fitting = (schema: unknown, connect: JsonObject): JsonObject => {
  const shape = (schema as { readonly shape?: Readonly<Record<string, unknown>> }).shape;
  if (shape === undefined) return connect;
  return Object.fromEntries(Object.entries(connect).filter(([name]) => Object.hasOwn(shape, name)));
};
