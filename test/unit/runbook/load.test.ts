import { describe, expect, it } from '@jest/globals';
import { formatProblem } from '../../../src/base/failure.ts';
import { loadRunbooks } from '../../../src/runbook/load.ts';
import type { Runbook } from '../../../src/runbook/runbook.ts';
import { isApproval } from '../../../src/runbook/runbook.ts';
import { knownActions } from './known-actions.ts';

const RECONNECT = `
version: 1
summary: Drop stale client connections and connect anew.
severity: SEV3
inputs:
  idle_over: { type: duration, default: 60s }
timeout: 60s                       # steps and verify; not approvals, not undo
before:
  - { id: evidence, uses: redis.info, with: { url: "\${{ connect.url }}" }, continue_on_error: true }
steps:
  - id: probe
    uses: redis.ping
    with: { url: "\${{ connect.url }}", timeout: 2s }
    continue_on_error: true
  - id: drop_stale
    if: steps.probe.outcome == "failed"
    uses: redis.kill-clients
    with: { url: "\${{ connect.url }}", idle_over: "\${{ inputs.idle_over }}", max_share: 0.5 }
    idempotent: true
    retry: { attempts: 3, delay: 1s, factor: 2 }
verify:
  - { uses: redis.ping, with: { url: "\${{ connect.url }}" }, need: 3, of: 5, every: 2s, hold: 10s }
on_success: { clear: redis_unavailable }
on_failure: { degrade: redis_unavailable }      # each attempt
on_exhausted: { escalate: SEV2 }                # once an episode, when nothing automatic is left
guide: |
  What a human does when this does not help...
`;

const context = { actions: knownActions, degradedModes: new Set(['redis_unavailable']) };
const load = (
  text: string,
  file = 'runbooks/redis/reconnect.yaml',
): { runbook: Runbook | undefined; problems: string[] } => {
  const loaded = loadRunbooks([{ file, text }], context);
  return { runbook: [...loaded.runbooks.values()][0], problems: loaded.problems.map(formatProblem) };
};
const minimal = (more: string): string =>
  `version: 1\nsummary: A runbook.\nverify: [{ uses: redis.ping, with: { url: "redis://h" } }]\n${more}`;

describe('loadRunbooks', () => {
  it("reads the design's own example, named by its path and with every default put in", () => {
    const { runbook, problems } = load(RECONNECT);
    expect(problems).toEqual([]);
    expect(runbook).toMatchObject({
      name: 'redis/reconnect',
      kind: 'redis',
      strategy: 'reconnect',
      timeout: 60_000,
      effect: 'change',
      onSuccess: { clear: 'redis_unavailable', degrade: null, steps: [] },
      onExhausted: { escalate: 'SEV2' },
      rollback: null,
      raises: [],
    });
    expect(runbook?.steps[0]).toEqual({
      id: 'probe',
      uses: 'redis.ping',
      with: { url: '${{ connect.url }}', timeout: '2s' },
      if: null,
      timeout: 10_000,
      retry: { attempts: 1, delay: 1_000, factor: 2 },
      idempotent: true,
      continueOnError: true,
      undo: null,
      probe: null,
      effect: 'read',
    });
    expect(runbook?.verify[0]).toMatchObject({
      type: 'action',
      need: 3,
      of: 5,
      every: 2_000,
      hold: 10_000,
      expect: null,
    });
    expect(Object.isFrozen(runbook?.steps)).toBe(true);
  });

  it('gives a digest that follows what a runbook says and not how it is laid out', () => {
    const first = load(RECONNECT).runbook?.digest;
    expect(load(`# another comment\n${RECONNECT}`).runbook?.digest).toBe(first);
    expect(load(RECONNECT.replace('need: 3', 'need: 2')).runbook?.digest).not.toBe(first);
    expect(load(RECONNECT, 'runbooks/redis/other.yaml').runbook?.digest).not.toBe(first);
  });

  it('reads approvals, undo, probe and PromQL checks', () => {
    const { runbook, problems } = load(`
version: 1
summary: Restore.
steps:
  - { id: ask, approve: { question: "Restore?", expires: 20m } }
  - id: restore
    uses: sqlite.restore
    with: { path: "\${{ connect.path }}", from: "\${{ connect.backups }}" }
    idempotent: false
    timeout: 30s
    probe: { uses: sqlite.check, with: { path: "\${{ connect.path }}" } }
    undo: { uses: sqlite.restore, with: { path: "\${{ connect.path }}", from: "\${{ undo.aside }}" }, idempotent: true }
verify:
  - { query: 'up{job="x"}', equal: 1, on: target, within: 30s }
`);
    expect(problems).toEqual([]);
    const [ask, restore] = runbook?.steps ?? [];
    expect(ask !== undefined && isApproval(ask) && ask.approve.expires).toBe(1_200_000);
    expect(restore).toMatchObject({
      effect: 'destroy',
      undo: { id: 'restore', effect: 'destroy' },
      probe: { id: 'restore', effect: 'read' },
    });
    expect(runbook?.effect).toBe('destroy');
    expect(runbook?.timeout).toBe(300_000);
    expect(runbook?.verify).toEqual([
      {
        type: 'query',
        query: 'up{job="x"}',
        comparison: { operator: 'equal', value: 1 },
        on: 'target',
        within: 30_000,
      },
    ]);
  });

  it('lets before keep backups when it says whether they may be done twice', () => {
    const backup = 'before: [{ id: keep, uses: sqlite.backup, with: { path: a, folder: b }, idempotent: true }]\n';
    expect(load(minimal(`${backup}steps: [{ id: a, uses: redis.ping, with: { url: x } }]`)).problems).toEqual([]);
  });

  it('checks what is written out and leaves what a template may turn into to the time of the run', () => {
    const wrong = load(
      minimal(
        'steps: [{ id: a, uses: redis.kill-clients, idempotent: true, with: { url: "${{ connect.url }}", idle_over: 5m, max_share: "${{ connect.share }}" } }]',
      ),
    );
    expect(wrong.problems).toEqual([]);
    const literal = load(
      minimal(
        'steps: [{ id: a, uses: redis.kill-clients, idempotent: true, with: { url: "${{ connect.url }}", idle_over: 5m, max_share: 7 } }]',
      ),
    );
    expect(literal.problems.join()).toContain('/steps/0/with/max_share');
  });

  it('lets an undo see its own step, and no step see what has not been', () => {
    const steps = `steps:
  - id: first
    uses: command.run
    idempotent: true
    with: { argv: [/usr/bin/logger, "\${{ steps.second.outputs.stdout }}"] }
    undo: { uses: command.run, idempotent: true, with: { argv: [/usr/bin/logger, "\${{ steps.first.outputs.stdout }}"] } }
  - { id: second, uses: redis.ping, with: { url: x } }
`;
    expect(load(minimal(steps)).problems).toEqual([expect.stringContaining('steps.second comes later')]);
  });

  it('C4: refuses an interpreter as soon as an argument comes from outside', () => {
    for (const command of [
      '/bin/sh',
      '/usr/bin/python3.11',
      '/usr/bin/env',
      '/usr/bin/find',
      '/usr/bin/ssh',
      '/usr/bin/sudo',
    ]) {
      const step = (argument: string): string =>
        minimal(`steps: [{ id: a, uses: command.run, idempotent: true, with: { argv: [${command}, "${argument}"] } }]`);
      expect(load(step('${{ alert.labels.path }}')).problems).toEqual([expect.stringContaining('[interpreter]')]);
      expect(load(step('/opt/fixed')).problems).toEqual([]);
    }
  });

  it('tells all that is wrong with a file at once', () => {
    const { problems } = load(
      minimal(
        'steps:\n  - { id: a, uses: redis.pin, with: { url: x } }\n  - { id: a, uses: redis.kill-clients, with: { url: x } }\non_failure: { degrade: redis_gone }',
      ),
    );
    expect(problems.map((problem) => /\[([\w-]+)\]/.exec(problem)?.[1] ?? '').toSorted()).toEqual([
      'duplicate-step',
      'idempotent-missing',
      'missing',
      'unknown-action',
      'unknown-degraded-mode',
    ]);
  });
});
