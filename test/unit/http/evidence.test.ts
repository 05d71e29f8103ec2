// Promotion from end to end: what the record says of a rule, through the API, as a terminal shows it.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { systemClock } from '../../../src/base/clock.ts';
import type { Edge } from '../../../src/cli/terminal/edge.ts';
import { runCommandLine } from '../../../src/cli/terminal/program.ts';
import { defaultPolicy } from '../../../src/config.ts';
import type { Plan } from '../../../src/run/plan.ts';
import { start } from './given.ts';
import type { Given } from './given.ts';

let given: Given;
beforeAll(async () => {
  given = await start(null);
});
afterAll(() => given.close());

const cli = async (...args: readonly string[]): Promise<{ code: number; out: string; err: string }> => {
  const [out, err]: [string[], string[]] = [[], []];
  const edge: Edge = {
    clock: systemClock,
    colors: false,
    out: (line) => void out.push(line),
    err: (line) => void err.push(line),
    onStop: () => () => undefined,
    onReload: () => () => undefined,
    exitNow: () => undefined,
  };
  const code = await runCommandLine([...args, `--url=${given.url}`], edge);
  return { code, out: out.join('\n'), err: err.join('\n') };
};

const recovered = async (index: number): Promise<void> => {
  const { store } = given;
  const now = Date.now();
  const id = `run-${index}`;
  const place = { component: 'cache', kind: 'cache', target: 'a', strategy: 'slow', rule: 'cache-down' };
  const plan = { policy: defaultPolicy, limits: { attempts: [], cooldownAfterFailure: null } } as unknown as Plan;
  const run = { ...place, id, decisionId: `d-${index}`, episodeId: null, plan, alertStartedAt: now - 4_000 };
  await store.write(
    [{ type: 'run.create', run, events: [{ type: 'admitted', approval: false, notBefore: now }] }],
    now,
  );
  await store.changeRun(id, null, now, () => ({
    events: [],
    projection: {
      state: 'done',
      outcome: 'resolved',
      cause: 'verified',
      notBefore: now,
      startedAt: now,
      firstStepAt: now,
      verifiedAt: now,
      endedAt: now,
      settleUntil: null,
    },
    writes: [],
    release: true,
    answer: true,
  }));
};

describe('amends promote', () => {
  it('refuses without evidence, says what is lacking, and exits 1', async () => {
    expect(await cli('promote', 'cache-down')).toEqual({
      code: 1,
      out: '',
      err: 'cache-down has not earned auto yet.\n  0 of the 20 verified successes that are needed',
    });
    expect(await cli('promote', 'cache-down', '--output=json')).toMatchObject({
      code: 1,
      out: expect.stringContaining('"enough":false') as unknown,
    });
    expect(await cli('promote', 'no-such')).toMatchObject({
      code: 1,
      err: expect.stringContaining('There is no rule no-such') as unknown,
    });
    expect(await cli('promote')).toMatchObject({ code: 2 });
  });

  it('prints the evidence and the change as Markdown for the pull request', async () => {
    for (let index = 0; index < 20; index += 1) await recovered(index);
    const { code, out } = await cli('promote', 'cache-down');
    expect(code).toBe(0);
    expect(out.split('\n').slice(0, 12)).toEqual([
      '## Promote `cache-down` from approve to auto',
      '',
      'Needed: 20 verified successes at 95% or more.',
      '',
      '| | |',
      '|---|---|',
      '| verified successes | 20 |',
      '| failures (0 of them ineffective) | 0 |',
      '| share | 100% |',
      '| time to recovery | median 4s, 95th percentile 4s |',
      '',
      '| run | at | component | target | strategy | what | time to recovery |',
    ]);
    expect(out.split('\n').filter((line) => line.includes('| resolved (verified) | 4s |'))).toHaveLength(20);
    expect(out).toContain('The change, in `rules/cache/cache-down.json`:');
    expect(out).toContain('"mode": "auto"');
  });

  it('refuses a rule that was demoted, which status, rules and metrics show, until it is restored by name', async () => {
    await given.store.write(
      [{ type: 'rule.demote', rule: 'cache-down', mode: 'approve', until: null, reason: 'ineffective twice in a day' }],
      Date.now(),
    );
    expect(await cli('promote', 'cache-down')).toMatchObject({
      code: 1,
      err: expect.stringContaining('restore it first') as unknown,
    });
    expect((await cli('status')).out).toContain('cache-down (approve at most: ineffective twice in a day)');
    expect((await given.ask('/api/v1/rules')).json['items']).toMatchObject([
      { name: 'cache-down', demoted: { mode: 'approve', reason: 'ineffective twice in a day' } },
    ]);
    expect((await given.ask('/metrics')).text).toContain('amends_rule_demoted{rule="cache-down"} 1');

    expect(await cli('promote', 'cache-down', '--restore', '--reason=looked at it', '--by=ann')).toMatchObject({
      code: 0,
      out: 'cache-down acts again as its file says.',
    });
    expect((await given.rows('audit'))[0]).toMatchObject({
      actor: 'ann',
      action: 'rule.restore',
      subject: 'cache-down',
      detail: { reason: 'looked at it' },
    });
    expect((await given.ask('/metrics')).text).toContain('amends_rule_demoted{rule="cache-down"} 0');
    expect(await cli('promote', 'cache-down', '--restore', '--by=ann')).toMatchObject({ code: 1 });
  });
});
