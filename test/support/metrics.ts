// Every family of metrics that amends exports, as its registry tells of them.
import { Registry } from 'prom-client';
import { createFamilies, createProcessMetrics } from '../../src/metrics-families.ts';

export type Family = {
  readonly name: string;
  readonly type: string;
  readonly labels: readonly string[];
  readonly help: string;
};

export const exportedFamilies = async (): Promise<ReadonlyMap<string, Family>> => {
  const registry = new Registry();
  createFamilies(registry);
  createProcessMetrics(registry, () => 0);
  const told = await registry.getMetricsAsJSON();
  // prom-client has them, and its types do not say so.
  const labelsOf = (name: string): readonly string[] =>
    (registry.getSingleMetric(name) as unknown as { readonly labelNames: readonly string[] }).labelNames;
  return new Map(
    told.map(({ name, type, help }) => [name, { name, type: String(type), labels: labelsOf(name), help }]),
  );
};
