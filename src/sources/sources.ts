// Those who know the present, asked over their HTTP APIs.
import type { Clock } from '../base/clock.ts';
import type { Redactor } from '../base/secret.ts';
import type { Present } from '../run/present.ts';
import type { Neighbour, Sources } from '../port/sources.ts';
import { askAlertmanager } from './alertmanager.ts';
import { createGetJson } from './http-json.ts';
import { createQuery } from './prometheus.ts';

export type Neighbours = {
  readonly alertmanagers: ReadonlyArray<Neighbour & { readonly sources: readonly string[] }>;
  readonly prometheus: Neighbour | null;
  /** Labels in which the same alert may differ from one replica of its sender to another. */
  readonly ignoreLabels: ReadonlySet<string>;
};

/** `neighbours` is asked at every call: a reload may have changed them. */
export const createSources = (
  neighbours: () => Neighbours,
  base: { readonly clock: Clock; readonly redactor: Redactor },
): Sources => {
  const getJson = createGetJson(base);
  return {
    async alert(labels, source) {
      const { alertmanagers, ignoreLabels } = neighbours();
      const asked = alertmanagers.filter(({ sources }) => sources.includes(source));
      if (asked.length === 0) return { state: 'not_asked', detail: 'no Alertmanager is configured for its source' };
      return firstYes(asked.map((alertmanager) => askAlertmanager(alertmanager, labels, ignoreLabels, getJson)));
    },
    query: createQuery(() => neighbours().prometheus, getJson, base.clock),
  };
};

/** A yes from anyone counts; a silence is only believed where nobody says that it fires. */
const STRENGTH: readonly Present['alert']['state'][] = [
  'firing',
  'silenced',
  'inhibited',
  'absent',
  'unreachable',
  'not_asked',
];

/** The strongest answer; one that says firing is not kept waiting by others that hang. */
const firstYes = async (answers: ReadonlyArray<Promise<Present['alert']>>): Promise<Present['alert']> => {
  const yes = answers.map(async (answer) => {
    const given = await answer;
    if (given.state !== 'firing') throw new Error(given.state);
    return given;
  });
  return Promise.any(yes).catch(async () => {
    const given = await Promise.all(answers);
    const [strongest] = given.toSorted((left, right) => STRENGTH.indexOf(left.state) - STRENGTH.indexOf(right.state));
    return strongest ?? { state: 'not_asked', detail: '' };
  });
};
