// Deliveries on their way to be decided: those that come straight from the intake, and those that a crash or a storm has
// left in the store.
import type { Entry } from '../alert/alert.ts';
import { parseDelivery } from '../alert/webhook.ts';
import type { Received, Store, Undecided } from '../port/store.ts';
import type { Kept } from './intake.ts';

/** A delivery without its entries. */
export type Letter = Omit<Kept, 'entries' | 'received'>;
export type Item = { readonly entry: Entry; readonly received: Received };
export type Bundle = { readonly letter: Letter; readonly items: readonly Item[] };

export const bundleOf = ({ entries, received, ...letter }: Kept): Bundle => ({
  letter,
  items: entries.flatMap((entry, index) => {
    const known = received[index];
    return known === undefined ? [] : [{ entry, received: known }];
  }),
});

/** At most `most` undecided alerts of the store, without the deliveries in `known`. */
export const readBacklog = async (
  store: Store,
  most: number,
  known: ReadonlySet<string>,
): Promise<readonly Bundle[]> => {
  const deliveries = new Map<string, Undecided[]>();
  for (const alert of await store.undecided(most)) {
    if (!known.has(alert.deliveryId))
      deliveries.set(alert.deliveryId, [...(deliveries.get(alert.deliveryId) ?? []), alert]);
  }
  return [...deliveries.values()].map((alerts) => restored(alerts as [Undecided, ...Undecided[]]));
};

const restored = (alerts: readonly [Undecided, ...Undecided[]]): Bundle => {
  const [{ deliveryId, source, receivedAt, body, traceparent = null }] = alerts;
  const parsed = parseDelivery(body, receivedAt);
  const entries = parsed.ok ? parsed.value.entries : [];
  const truncated = parsed.ok ? parsed.value.truncatedAlerts : 0;
  return {
    letter: { deliveryId, source, receivedAt, groupSize: entries.length + truncated, truncated, traceparent },
    items: alerts.map((received) => ({
      entry: entries[received.index] ?? { valid: false, problem: 'the stored body cannot be read', raw: {} },
      received,
    })),
  };
};
