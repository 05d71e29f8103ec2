// The page of a runbook, for a browser: what a file says is shown as it is, and can do nothing.
import { describe, expect, it } from '@jest/globals';
import { runbookPage } from '../../../src/http/runbook-page.ts';
import type { ActionStep, Aftermath, Runbook } from '../../../src/runbook/runbook.ts';

const EVIL = '<script>alert("1")</script> & \'${{ target }}\'';
const SHOWN = '&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; &#39;${{ target }}&#39;';

const step = (id: string, said: Partial<ActionStep> = {}): ActionStep => ({
  id,
  uses: 'http.get',
  with: {},
  if: null,
  timeout: 1_000,
  retry: { attempts: 1, delay: 0, factor: 1 },
  idempotent: true,
  continueOnError: false,
  undo: null,
  probe: null,
  effect: 'read',
  ...said,
});
const nothing: Aftermath = { steps: [], degrade: null, clear: null, escalate: null };
const runbook = (said: Partial<Runbook> = {}): Runbook => ({
  name: 'shop/mend',
  kind: 'shop',
  strategy: 'mend',
  file: 'runbooks/shop/mend.yaml',
  digest: 'd',
  version: 1,
  summary: 'Mends the shop.',
  severity: 'SEV3',
  inputs: {},
  timeout: 60_000,
  before: [],
  steps: [step('mend')],
  rollback: null,
  verify: [],
  onSuccess: nothing,
  onFailure: nothing,
  onExhausted: nothing,
  guide: 'Look at it.\n',
  effect: 'read',
  raises: [],
  ...said,
});

/** The items of the list below a heading, without their markup. */
const items = (page: string, title: string): readonly string[] => {
  const [, rest = ''] = page.split(`<h2>${title}</h2>`);
  const [list = ''] = rest.split('</ol>');
  return [...list.matchAll(/<li>(.*)<\/li>/g)].map((match) => (match[1] ?? '').replaceAll(/<\/?code>/g, ''));
};

describe('the page of a runbook', () => {
  it('shows every text of the file escaped, wherever it stands', () => {
    const page = runbookPage(
      runbook({
        name: EVIL,
        summary: EVIL,
        file: EVIL,
        guide: EVIL,
        inputs: { [EVIL]: { type: 'string', default: EVIL, description: EVIL, pattern: null, enum: null } },
        before: [{ id: EVIL, approve: { question: EVIL, expires: 60_000 }, if: EVIL }],
        steps: [step(EVIL, { uses: EVIL, with: { text: EVIL }, if: EVIL, undo: step(EVIL, { uses: EVIL }) })],
        verify: [
          {
            type: 'query',
            query: EVIL,
            comparison: { operator: 'above', value: 1 },
            on: null,
            within: 1_000,
          },
        ],
        onFailure: { ...nothing, degrade: EVIL, clear: EVIL },
      }),
    );
    expect(page).not.toContain('<script');
    expect(page.split(SHOWN).length).toBeGreaterThan(10);
  });

  it('says each step, check and consequence in words', () => {
    const page = runbookPage(
      runbook({
        steps: [
          step('look', { continueOnError: true }),
          { id: 'ask', approve: { question: 'Really?', expires: 1_200_000 }, if: null },
          step('mend', {
            uses: 'http.request',
            with: { method: 'POST' },
            if: 'steps.look.outcome == "failed"',
            undo: step('back', { uses: 'http.request' }),
          }),
        ],
        verify: [
          {
            type: 'action',
            uses: 'http.get',
            with: {},
            timeout: 1_000,
            need: 2,
            of: 5,
            every: 1_000,
            hold: 10_000,
            expect: 'outputs.status == 200',
          },
          { type: 'query', query: 'up', comparison: { operator: 'equal', value: 1 }, on: 'target', within: 60_000 },
        ],
        onSuccess: { ...nothing, clear: 'slow' },
        onFailure: { ...nothing, degrade: 'slow' },
        onExhausted: { ...nothing, escalate: 'SEV2' },
      }),
    );
    expect(items(page, 'Steps')).toEqual([
      'look: http.get, and goes on if it fails',
      'ask: asks a human, for 20m: Really?',
      'mend: http.request with {&quot;method&quot;:&quot;POST&quot;}, only if steps.look.outcome == &quot;failed&quot;, undone by http.request',
    ]);
    expect(items(page, 'Verification')).toEqual([
      'http.get succeeds, 2 of 5 times, and holds for 10s, and outputs.status == 200',
      'up is equal 1 within 1m',
    ]);
    expect(items(page, 'Afterwards')).toEqual([
      'when it is verified: the degraded mode slow ends',
      'when it failed: the degraded mode slow begins',
      'when nothing automatic is left: a human is called, SEV2',
    ]);
    expect(page).toContain('<pre>Look at it.</pre>');
    expect(page).not.toContain('<h2>Rollback</h2>');
  });
});
