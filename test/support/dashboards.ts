// The shipped dashboards as tests read them: their panels, and their queries with Grafana's variables filled in.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './servers.ts';

export type Panel = {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly fieldConfig?: {
    readonly defaults: {
      readonly unit?: string;
      readonly thresholds?: unknown;
      readonly links?: ReadonlyArray<{ readonly url: string }>;
    };
  };
  readonly targets?: ReadonlyArray<{
    readonly expr: string;
    readonly legendFormat?: string;
    readonly datasource: { readonly uid: string };
  }>;
  readonly links?: ReadonlyArray<{ readonly url: string }>;
};

export type Dashboard = {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: ReadonlyArray<{ readonly name: string; readonly query: unknown }> };
  readonly links: ReadonlyArray<{ readonly url: string }>;
  readonly annotations: { readonly list: ReadonlyArray<{ readonly expr?: string }> };
};

const folder = join(root, 'grafana/dashboards');

export const dashboards = (): ReadonlyMap<string, Dashboard> =>
  new Map(
    readdirSync(folder)
      .filter((name) => name.endsWith('.json'))
      .map((name) => [name, JSON.parse(readFileSync(join(folder, name), 'utf8')) as Dashboard]),
  );

/** As Grafana sends it over `range`, with a variable at All. */
export const filled = (expr: string, range = '5m'): string =>
  expr
    .replaceAll('$__rate_interval', range)
    .replaceAll('$__range', range)
    .replaceAll('$__interval', range)
    .replaceAll(/\$(?:component|rule)\b/g, '.+');

/** Every query of a dashboard with the panel it belongs to. */
export const queriesOf = (board: Dashboard): ReadonlyArray<{ readonly panel: string; readonly expr: string }> => [
  ...board.panels.flatMap((panel) => (panel.targets ?? []).map(({ expr }) => ({ panel: panel.title, expr }))),
  ...board.annotations.list.flatMap(({ expr }) => (expr === undefined ? [] : [{ panel: 'annotation', expr }])),
];
