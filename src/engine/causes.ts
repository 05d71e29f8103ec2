// Closes the inbox entries whose cause is over.
import type { Cause } from '../run/causes.ts';
import { causeOf, isStormOver } from '../run/causes.ts';
import { isObject } from '../base/json.ts';
import type { InboxRow, Page } from '../port/record.ts';
import type { EngineContext } from './context.ts';
import { askHealth } from './present.ts';
import { whyDecidable } from './undecidable.ts';

const PAGE = 500;

export const closeWhatIsOver = async (context: EngineContext): Promise<void> => {
  const { store, clock } = context;
  // At once: a source that does not answer takes seconds.
  const looked = await Promise.all(
    (await openCauses(context)).map(async (entry) => {
      const cause = causeOf(entry.dedup);
      return { entry, over: cause === null ? null : await whyOver(context, cause, entry) };
    }),
  );
  for (const { entry, over } of looked) {
    if (over === null) continue;
    await store.write(
      [
        { type: 'inbox.close', id: entry.id, by: 'amends', comment: over },
        { type: 'audit', actor: 'amends', action: 'inbox.close', subject: entry.id, detail: { comment: over } },
      ],
      clock.now(),
    );
  }
};

const openCauses = async ({ store }: EngineContext): Promise<readonly InboxRow[]> => {
  const found: InboxRow[] = [];
  let cursor: string | null = null;
  do {
    const page: Page<InboxRow> = await store.list('inbox', {
      limit: PAGE,
      cursor,
      filters: { status: 'open' },
      since: null,
    });
    found.push(...page.items.filter((entry) => causeOf(entry.dedup) !== null));
    cursor = page.next;
  } while (cursor !== null);
  return found;
};

/** Null while it lasts. */
const whyOver = async (context: EngineContext, cause: Cause, entry: InboxRow): Promise<string | null> => {
  const { store, clock, sources } = context;
  const { config } = context.loaded();
  switch (cause.kind) {
    case 'clock':
      return (await store.controls()).clockSuspectUntil === null ? 'the window after the jump is over' : null;
    case 'storm': {
      const component = config.components.get(cause.component ?? '');
      if (cause.component !== null && component === undefined) return 'the component is not configured any more';
      const { storm } = component?.policy ?? config.recovery;
      const seen = await store.storm(
        { component: cause.component ?? '', stormWindow: storm.window, componentsWindow: storm.componentsWindow },
        clock.now(),
      );
      const of = cause.component === null ? 'components' : isTruncated(entry) ? 'truncated' : 'targets';
      return isStormOver(storm, component?.targets.size ?? 0, seen, of) ? 'the storm is over' : null;
    }
    case 'blind': {
      const component = config.components.get(cause.component);
      if (component === undefined) return 'the component is not configured any more';
      if (cause.guard === 'unhealthy') {
        const { state } = await askHealth(context, component.policy);
        return state === 'unknown' ? null : 'the health floor can be asked about again';
      }
      const episode = entry.episodeId === null ? null : await store.episode(entry.episodeId);
      if (episode === null) return 'the incident is gone from the record';
      const { state } = await sources.alert(episode.labels, episode.source);
      return state === 'unreachable' ? null : 'Alertmanager answers again';
    }
    case 'undecidable':
      return whyDecidable(context, cause.rule, entry);
    default:
      return cause satisfies never;
  }
};

const isTruncated = ({ body }: InboxRow): boolean => {
  const { inputs } = body;
  return isObject(inputs) && inputs['storm'] === 'truncated';
};
