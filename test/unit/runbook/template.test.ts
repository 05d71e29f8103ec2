import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Json } from '../../../src/base/json.ts';
import { RULE_ROOTS } from '../../../src/runbook/path.ts';
import { compileTemplate, render, renderConnect } from '../../../src/runbook/template.ts';
import type { Style } from '../../../src/runbook/template.ts';

const context: Readonly<Record<string, Json>> = {
  inputs: { idle_over: '60s', list: ['a', 'b'], n: 3, none: null, ratio: 0.5, yes: true },
  target: { name: '10.0.0.7:6379', labels: { zone: 'a' } },
  connect: { url: 'http://api.internal:8080', path: '/var/lib/shop/orders.db' },
  component: { name: 'cache', kind: 'redis', team: '' },
  alert: { labels: { job: 'redis cache', 'k8s.pod': 'p-1', empty: '' }, annotations: {}, starts_at: 0 },
  run: { mode: 'auto' },
  steps: { find: { outcome: 'succeeded', outputs: { file: 'b.db', files: [{ name: 'x' }] }, error: '' } },
};
const fill = (value: Json, style?: Style, over: Readonly<Record<string, Json>> = context): Json | string => {
  const compiled = compileTemplate(value);
  if (!compiled.ok) return compiled.problems.map((problem) => `!${problem.code}`).join();
  const result = render(compiled.value, over, style);
  return result.ok ? result.value : result.problems.map((problem) => `!${problem.code}`).join();
};
const withLabel = (value: Json): Readonly<Record<string, Json>> => ({
  ...context,
  alert: { labels: { x: value }, annotations: {} },
});

describe('render', () => {
  it('gives a value its own type when the template is all there is, and text inside a text', () => {
    expect(fill('${{ inputs.n }}')).toBe(3);
    expect(fill('${{inputs.list}}')).toEqual(['a', 'b']);
    expect(fill('${{ inputs.none }}')).toBe(null);
    expect(fill('n=${{ inputs.n }} ${{ inputs.yes }} ${{ inputs.ratio }}')).toBe('n=3 true 0.5');
    expect(fill('${{ alert.labels["k8s.pod"] }}')).toBe('p-1');
    expect(fill("${{ alert.labels['k8s.pod'] }}")).toBe('p-1');
    expect(fill('${{ steps.find.outputs.files[0].name }}')).toBe('x');
    expect(fill({ a: ['${{ target }}', { b: '${{ component }}' }], c: 1 })).toEqual({
      a: ['10.0.0.7:6379', { b: 'cache' }],
      c: 1,
    });
    expect(fill('${{ target.labels.zone }}')).toBe('a');
    expect(fill('no template { } $ {{ }}')).toBe('no template { } $ {{ }}');
  });

  it('makes a missing key an error, never an empty text', () => {
    expect(fill('${{ inputs.gone }}')).toBe('!missing-value');
    expect(fill('a ${{ alert.labels.gone }} b')).toBe('!missing-value');
    expect(fill('${{ steps.find.outputs.files[1].name }}')).toBe('!missing-value');
    expect(fill('${{ inputs.idle_over.length }}')).toBe('!missing-value');
    expect(fill({ a: '${{ inputs.gone }}', b: '${{ connect.gone }}' })).toBe('!missing-value,!missing-value');
  });

  it('C5: reaches own members only', () => {
    for (const path of [
      'inputs.constructor',
      'inputs.__proto__',
      'inputs.list.length',
      'inputs.list.constructor',
      'connect.toString',
      'connect["__proto__"]["x"]',
      'alert.labels.hasOwnProperty',
    ]) {
      expect(fill(`\${{ ${path} }}`)).toBe('!missing-value');
    }
    const labels = JSON.parse('{"__proto__": "own", "constructor": "mine"}') as Json;
    const own = { ...context, alert: { labels, annotations: {} } };
    expect(fill('${{ alert.labels["__proto__"] }}', 'argument', own)).toBe('own');
    expect(fill('${{ alert.labels.constructor }}', 'argument', own)).toBe('mine');
    const filled = fill(JSON.parse('{"__proto__": {"polluted": "${{ inputs.n }}"}}') as Json);
    expect(Object.getPrototypeOf(filled)).toBe(null);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  it('refuses what is no path, with a mend', () => {
    for (const text of [
      '${{ }}',
      '${{ a.b',
      '${{ connect.url || "x" }}',
      '${{ format("a") }}',
      '${{ a-b.c }}',
      '${{ inputs.a }}}}${{',
      '${{ inputs. }}',
      '${{ inputs[x] }}',
      '${{ 1 }}',
      '${{ "text" }}',
      '${{ inputs["a }}',
      '${{ inputs.a | upper }}',
      '${{ github.sha }}',
      '${{ env.HOME }}',
      '${{ secrets.KEY }}',
      '${{ label.x }}',
      '${{ constructor }}',
      '${{ undo.x }}',
    ]) {
      const compiled = compileTemplate({ at: text });
      expect([text, compiled.ok]).toEqual([text, false]);
      if (!compiled.ok) expect(compiled.problems[0]).toMatchObject({ mend: expect.any(String), pointer: '/at' });
    }
    expect(compileTemplate({ '${{ inputs.a }}': 1 }).ok).toBe(false);
    expect(compileTemplate('${{ label.x }}', RULE_ROOTS).ok).toBe(true);
    expect(compileTemplate('${{ inputs.x }}', RULE_ROOTS).ok).toBe(false);
  });

  it('puts only scalars into a text', () => {
    expect(fill('a ${{ inputs.list }}')).toBe('!not-a-scalar');
    expect(fill('a ${{ inputs.none }}')).toBe('!not-a-scalar');
    expect(fill('a ${{ connect }}')).toBe('!not-a-scalar');
  });

  it('is not filled a second time: a value that looks like a template stays text', () => {
    expect(fill('${{ alert.labels.x }}', 'text', withLabel('${{ connect.path }}'))).toBe('${{ connect.path }}');
  });
});

describe('C4: what comes from the alert, an input or a step', () => {
  it.each(['-rf', '--config=/etc/passwd', '@/etc/passwd', '-', '@', 'a\0b', 'a\nb', 'a\rb', '\u001b[31m', '\u007f'])(
    'is refused as an argument when it is %j',
    (value) => {
      expect(fill(['/bin/logger', '${{ alert.labels.x }}'], 'argument', withLabel(value))).toBe('!unfit-value');
      expect(fill(['/bin/logger', '--tag=${{ alert.labels.x }}'], 'argument', withLabel(value))).toBe('!unfit-value');
      expect(fill('${{ inputs.x }}', 'argument', { ...context, inputs: { x: [value] } })).toBe('!unfit-value');
      expect(fill({ body: '${{ alert.labels.x }}' }, 'text', withLabel(value))).toEqual({ body: value });
    },
  );

  it('stays in its place in a path of files', () => {
    for (const value of ['..', '.', '../../etc/passwd', 'a/b', '%2e%2e', '%252e%252e', 'a\\b']) {
      expect(fill('/var/backups/${{ alert.labels.x }}', 'argument', withLabel(value))).toBe('!unfit-value');
    }
    expect(fill('/var/backups/${{ alert.labels.x }}', 'argument', withLabel('orders-1.db'))).toBe(
      '/var/backups/orders-1.db',
    );
  });

  it('never changes the number of arguments, nor any other argument', () => {
    const template = [
      '/usr/bin/logger',
      '--tag',
      '${{ alert.labels.a }}',
      'job=${{ alert.labels.b }}',
      '${{ connect.path }}',
      '--',
      '${{ alert.annotations.c }}',
    ];
    const compiled = compileTemplate(template);
    if (!compiled.ok) throw new Error('does not compile');
    const hostile = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 40 }),
      fc.constantFrom(
        '; rm -rf /',
        '$(id)',
        '`id`',
        "' || true '",
        '-x',
        '@f',
        'a b',
        '"',
        '\\',
        '${{ connect.url }}',
        '*',
        '~',
        '|',
        '&',
        '>',
        '\n--force',
        '',
      ),
    );
    fc.assert(
      fc.property(hostile, hostile, hostile, (a, b, c) => {
        const result = render(compiled.value, { ...context, alert: { labels: { a, b }, annotations: { c } } });
        if (!result.ok) return true;
        const meant = ['/usr/bin/logger', '--tag', a, `job=${b}`, '/var/lib/shop/orders.db', '--', c];
        // oxlint-disable-next-line no-control-regex
        const tame = [a, b, c].every((value) => !/^[-@]|[\0-\u001f]/.test(value));
        return tame && JSON.stringify(result.value) === JSON.stringify(meant);
      }),
      { numRuns: 20_000 },
    );
  });
});

describe('C7: a URL', () => {
  const segments = [
    ['http://api.internal/v1/queues/${{ alert.labels.x }}/purge', 'http://api.internal/v1/queues/', '/purge'],
    ['${{ connect.url }}/v1/${{ alert.labels.x }}', 'http://api.internal:8080/v1/', ''],
    ['http://api.internal/find?name=${{ alert.labels.x }}&all=no', 'http://api.internal/find?name=', '&all=no'],
    ['http://${{ target }}/hosts/${{ alert.labels.x }}', 'http://10.0.0.7:6379/hosts/', ''],
  ] as const;

  it('is given whole by connect, and by target as its host', () => {
    expect(fill('${{ connect.url }}')).toBe('http://api.internal:8080');
    expect(fill('redis://${{ target }}/0')).toBe('redis://10.0.0.7:6379/0');
    expect(fill('http://${{ target }}/', 'text', { ...context, target: { name: 'a@evil', labels: {} } })).toBe(
      '!unfit-value',
    );
    expect(fill('http://${{ connect.host }}:80/', 'text', { ...context, connect: { host: '[::1]' } })).toBe(
      'http://[::1]:80/',
    );
  });

  it.each([
    '..',
    '.',
    '%2e',
    '%2E%2e',
    '%252e%252e',
    ' .. ',
    'a/b',
    '/etc',
    'a\\b',
    'user@evil',
    'a#b',
    '%2fetc',
    '%252f',
    '%40',
    '%23',
    'a\nb',
    'a\0b',
    '\t',
    '',
    '\ud800',
  ])('takes no segment %j', (value) => {
    for (const [template] of segments) expect(fill(template, 'text', withLabel(value))).toBe('!unfit-value');
  });

  it('encodes a segment once', () => {
    expect(fill(segments[0][0], 'text', withLabel('a b?c&d=e;f:g'))).toBe(
      'http://api.internal/v1/queues/a%20b%3Fc%26d%3De%3Bf%3Ag/purge',
    );
    expect(fill(segments[0][0], 'text', withLabel(7))).toBe('http://api.internal/v1/queues/7/purge');
  });

  it('takes neither its host nor its whole from a label, an input or a step', () => {
    expect(fill('http://${{ alert.labels.x }}/')).toBe('!host-from-outside');
    expect(fill('http://api.${{ inputs.x }}.internal/')).toBe('!host-from-outside');
    expect(fill('http://${{ steps.find.outputs.file }}/')).toBe('!host-from-outside');
    expect(fill({ url: '${{ alert.labels.x }}' })).toBe('!address-from-alert');
    expect(fill({ url: '${{ alert.labels.x }}/path' })).toBe('!address-from-alert');
    expect(fill('${{ connect.url }}${{ alert.labels.x }}', 'text', withLabel('.evil'))).toBe('!host-from-outside');
  });

  it('keeps scheme, host, port and number of segments, whatever a label says', () => {
    const compiled = segments.map(([template, before, after]) => {
      const made = compileTemplate(template);
      if (!made.ok) throw new Error('does not compile');
      return { template: made.value, before, after };
    });
    const hostile = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 30 }),
      fc
        .array(
          fc.constantFrom(
            '.',
            '..',
            '%2e',
            '%252e',
            '%',
            '25',
            '2f',
            '/',
            '\\',
            '@',
            '#',
            '?',
            '&',
            ':',
            '//',
            '127.0.0.1',
            '①',
            '\t',
            ' ',
            'x',
          ),
          { maxLength: 8 },
        )
        .map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(hostile, fc.nat(segments.length - 1), (label, index) => {
        const { template, before, after } = compiled[index] ?? compiled[0]!;
        const result = render(template, withLabel(label), 'text');
        if (!result.ok) return true;
        const text = result.value as string;
        const harmless = new URL(`${before}x${after}`);
        const url = new URL(text);
        return (
          text.startsWith(before) &&
          text.endsWith(after) &&
          url.origin === harmless.origin &&
          `${url.username}${url.hash}` === '' &&
          url.pathname.split('/').length === harmless.pathname.split('/').length &&
          [...url.searchParams.keys()].join() === [...harmless.searchParams.keys()].join() &&
          decodeURIComponent(text.slice(before.length, text.length - after.length)) === label
        );
      }),
      { numRuns: 20_000 },
    );
  });
});

describe('renderConnect', () => {
  it('fills the name of the target into the connect of its inventory', () => {
    expect(
      renderConnect({ url: 'redis://${{ target }}', port: 1, path: '/data/${{ target }}.db' }, '10.0.0.7:6379'),
    ).toEqual({
      ok: true,
      value: { url: 'redis://10.0.0.7:6379', port: 1, path: '/data/10.0.0.7:6379.db' },
    });
    expect(renderConnect({ url: '${{ inputs.x }}' }, 'a').ok).toBe(false);
  });
});
