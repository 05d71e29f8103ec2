// Sees to it that old rows of the audit move into archives, and pages once when they cannot: then a row or a file is not as
// amends wrote it, and evidence is not moved about.
import type { Write } from '../run/writes.ts';
import type { EngineContext } from './context.ts';

const DAY_MS = 86_400_000;

/** One slice; false when there is no other for now. */
export const archiveSlice = async (context: EngineContext): Promise<boolean> => {
  const { store, clock, log } = context;
  const { auditRetentionDays: days, auditCompression: compress } = context.loaded().config;
  const now = clock.now();
  // Whole days alone: an archive is then named for its day, and made once.
  const before = Math.floor((now - days * DAY_MS) / DAY_MS) * DAY_MS;
  try {
    const slice = await store.archiveAudit({ before, compress }, now);
    if (slice.did === 'sealed')
      log.info({ file: slice.file, first: slice.first, last: slice.last }, 'rows of the audit were archived');
    if (slice.did === 'refused') {
      log.error({ problem: slice.problem }, 'the audit is not archived any more');
      await store.write([pageOf(context, slice.problem)], now);
    }
    return slice.did === 'sealed' || slice.did === 'removed';
  } catch (error) {
    // A full disk, for one. The rows are where they were, and it is tried again.
    log.warn({ error }, 'the audit could not be archived for now');
    return false;
  }
};

const pageOf = ({ ids }: EngineContext, problem: string): Write => {
  const title = 'The audit cannot be archived: it is not as amends wrote it';
  const body = `${problem}. Compare with: amends audit verify`;
  return {
    type: 'inbox.open',
    id: ids.next(),
    kind: 'escalation',
    dedup: 'audit',
    severity: 'SEV2',
    component: null,
    target: null,
    runId: null,
    episodeId: null,
    title,
    body: { problem },
    page: { id: ids.next(), topic: 'audit', body },
  };
};
