// The few calls of Alertmanager's API (v2) that its actions need, and matchers that cannot come to mean more than was said.
import { z } from 'zod';
import { ActionError } from '../../base/failure.ts';
import { isObject } from '../../base/json.ts';
import type { ActionContext } from '../../port/action.ts';
import type { Credential } from '../http/service.ts';
import { address, callService, credentialInput } from '../http/service.ts';

export const alertmanagerInput = { ...credentialInput, url: address };

/** Label to value, each compared as it is: no expressions. All have to fit, and at least one has to be named. */
export const matchers = z
  .record(
    z.string().regex(/^[a-zA-Z_][a-zA-Z0-9_]{0,127}$/, { message: 'the name of a label' }),
    z.string().min(1).max(1_024),
  )
  .refine((given) => Object.keys(given).length > 0, {
    message: 'no label is named, and no label would mean every alert',
  })
  .refine((given) => Object.keys(given).length <= 32, { message: 'more than 32 labels' });

/** Made by us, and by which step: found again after an answer that was lost. */
export const CREATED_BY = 'amends';

export const endpoint = (url: string, path: string): string => `${url.replace(/\/+$/, '')}/api/v2/${path}`;

/** What needs no escape in an address; others are not filtered by, since the filters only shorten the answer. */
const IN_ADDRESS = /^[A-Za-z0-9_:@ -]{1,256}$/;

const hasLabels = (labels: unknown, wanted: Readonly<Record<string, string>>): boolean =>
  isObject(labels) && Object.entries(wanted).every(([name, value]) => labels[name] === value);

export const shown = (given: Readonly<Record<string, string>>): string =>
  `{${Object.entries(given)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
    .join(', ')}}`;

export type Found = { readonly active: number; readonly suppressed: number };

/** How many alerts with these labels it has: those that would be told, and those silenced or inhibited. */
export const countAlerts = async (
  given: { readonly url: string } & Credential,
  wanted: Readonly<Record<string, string>>,
  context: ActionContext,
  timeoutMs?: number,
): Promise<Found> => {
  const params = new URLSearchParams({ active: 'true', silenced: 'true', inhibited: 'true', unprocessed: 'true' });
  for (const [name, value] of Object.entries(wanted))
    if (IN_ADDRESS.test(value)) params.append('filter', `${name}="${value}"`);
  const url = `${endpoint(given.url, 'alerts')}?${params.toString().replaceAll('+', '%20')}`;
  const limit = timeoutMs === undefined ? {} : { timeoutMs };
  const { json } = await callService({ method: 'GET', url, ...limit }, given, context);
  if (!Array.isArray(json))
    throw new ActionError(
      'permanent',
      `${given.url} did not answer with a list of alerts; mend: is it an Alertmanager?`,
    );
  const found = json.filter(isObject).filter((alert) => hasLabels(alert['labels'], wanted));
  const suppressed = found.filter(({ status }) => isObject(status) && status['state'] === 'suppressed').length;
  return { active: found.length - suppressed, suppressed };
};
