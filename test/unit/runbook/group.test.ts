// Groups of steps: written once, put in their places, and held to everything that holds for a step.
import { describe, expect, it } from '@jest/globals';
import { loadRunbooks } from '../../../src/runbook/load.ts';
import type { LoadedRunbooks } from '../../../src/runbook/load.ts';
import { isApproval } from '../../../src/runbook/runbook.ts';
import { knownActions } from './known-actions.ts';

const context = { actions: knownActions, degradedModes: new Set<string>() };
const ping = (id: string, more = ''): string =>
  `  - { id: ${id}, uses: redis.ping, with: { url: "redis://h" }${more} }`;
const RUNBOOK = `version: 1
summary: A runbook.
before:
${ping('first')}
  - group: look
${ping('last')}
steps:
${ping('own', ', if: "steps.seen.outcome == \\"succeeded\\""')}
verify: [{ uses: redis.ping, with: { url: "redis://h" } }]
`;
const GROUP = `version: 1
summary: Looks.
steps:
${ping('seen')}
${ping('seen_again', ', continue_on_error: true')}
`;
const load = (files: Readonly<Record<string, string>>): LoadedRunbooks =>
  loadRunbooks(
    Object.entries(files).map(([file, text]) => ({ file, text })),
    context,
  );

describe('P1 a group of steps', () => {
  it('P1 stands where a runbook names it, and later steps and conditions know its steps', () => {
    const { runbooks, problems } = load({ 'runbooks/groups/look.yaml': GROUP, 'runbooks/redis/a.yaml': RUNBOOK });
    expect(problems).toEqual([]);
    const runbook = runbooks.get('redis/a');
    expect(runbook?.before.map(({ id }) => id)).toEqual(['first', 'seen', 'seen_again', 'last']);
    expect(runbook?.before.map((step) => !isApproval(step) && step.continueOnError)).toEqual([
      false,
      false,
      true,
      false,
    ]);
    expect([...runbooks.keys()]).toEqual(['redis/a']);
  });

  it('P1 changes the digest of every runbook that names it', () => {
    const digestWith = (group: string): string | undefined =>
      load({ 'runbooks/groups/look.yaml': group, 'runbooks/redis/a.yaml': RUNBOOK }).runbooks.get('redis/a')?.digest;
    expect(digestWith(GROUP)).not.toBe(digestWith(GROUP.replace('redis://h', 'redis://other')));
  });

  it.each([
    ['that is not there', {}, ['unknown-group runbooks/redis/a.yaml /before/1/group']],
    [
      'under another name',
      { 'runbooks/groups/lok.yaml': GROUP },
      ['unknown-group runbooks/redis/a.yaml /before/1/group'],
    ],
    [
      'that stands in two files',
      { 'runbooks/groups/look.yaml': GROUP, 'more/groups/look.yaml': GROUP },
      ['duplicate-group more/groups/look.yaml '],
    ],
    [
      'whose step has the id of another',
      { 'runbooks/groups/look.yaml': GROUP.replace('seen_again', 'first') },
      ['duplicate-step runbooks/redis/a.yaml /before/1'],
    ],
    [
      'of an unknown shape',
      { 'runbooks/groups/look.yaml': `${GROUP}verify: []\n` },
      ['unknown-key runbooks/groups/look.yaml /verify', 'unknown-group runbooks/redis/a.yaml /before/1/group'],
    ],
    [
      'within a group',
      { 'runbooks/groups/look.yaml': GROUP.replace(ping('seen'), '  - group: look') },
      [expect.stringContaining(' runbooks/groups/look.yaml '), 'unknown-group runbooks/redis/a.yaml /before/1/group'],
    ],
  ])('P1 one %s is refused at its place', (_what, files, expected) => {
    const { problems } = load({ ...files, 'runbooks/redis/a.yaml': RUNBOOK });
    const said = problems
      .filter(({ code }) => code !== 'unknown-step')
      .map(({ code, file, pointer }) => `${code} ${file ?? ''} ${pointer ?? ''}`);
    for (const one of expected) expect(said).toContainEqual(one);
  });

  it('P1 what is wrong with the runbook’s own steps is still said at their own places', () => {
    const { problems } = load({
      'runbooks/groups/look.yaml': GROUP,
      'runbooks/redis/a.yaml': RUNBOOK.replace(ping('last'), ping('last').replace('redis.ping', 'redis.png')),
    });
    expect(problems).toMatchObject([{ file: 'runbooks/redis/a.yaml', pointer: '/before/2/uses', line: 6 }]);
  });
});
