// The webhook body: every real capture is read, and nothing that can be put into one gets further than data.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { MOST_ALERTS, parseDelivery } from '../../../src/alert/webhook.ts';
import { DEFAULT_IGNORED_LABELS, episodeKey } from '../../../src/alert/episode.ts';
import type { Alert, Delivery, Entry } from '../../../src/alert/alert.ts';

const NOW = Date.UTC(2026, 10, 21, 23, 10);
const CAPTURES = new URL('../../captures/', import.meta.url);
const ignored = new Set(DEFAULT_IGNORED_LABELS);

const capture = (name: string): Buffer => readFileSync(new URL(`${name}.json`, CAPTURES));
const accepted = (body: Buffer | string): Delivery => {
  const result = parseDelivery(typeof body === 'string' ? Buffer.from(body) : body, NOW);
  if (!result.ok) throw new Error(JSON.stringify(result.problems));
  return result.value;
};
const codeOf = (body: Buffer | string): string => {
  const result = parseDelivery(typeof body === 'string' ? Buffer.from(body) : body, NOW);
  return result.ok ? 'accepted' : (result.problems[0]?.code ?? '');
};
const alertOf = (entry: Entry | undefined): Alert => {
  if (entry?.valid !== true) throw new Error(entry?.problem ?? 'no entry');
  return entry.alert;
};
const problemOf = (entry: Entry | undefined): string => (entry?.valid === false ? entry.problem : '');
const one = (over: Record<string, unknown> = {}): Record<string, unknown> => ({
  status: 'firing',
  labels: { alertname: 'Down' },
  annotations: {},
  startsAt: '2026-11-21T23:00:00Z',
  endsAt: '0001-01-01T00:00:00Z',
  generatorURL: '',
  ...over,
});
const post = (alerts: readonly unknown[], over: Record<string, unknown> = {}): string =>
  JSON.stringify({ version: '4', receiver: 'r', groupKey: '{}', alerts, ...over });
const alertWith = (over: Record<string, unknown>): Alert => alertOf(accepted(post([one(over)])).entries[0]);

describe('reading a real body', () => {
  const names = readdirSync(CAPTURES)
    .filter((name) => name.endsWith('.json'))
    .map((name) => name.replace('.json', ''));

  it.each(names)('reads every alert of the capture %s', (name) => {
    const raw = JSON.parse(capture(name).toString()) as {
      alerts: Array<{ labels: Record<string, string> }>;
      truncatedAlerts: number;
    };
    const delivery = accepted(capture(name));
    expect(delivery.entries.map((entry) => ({ ...alertOf(entry).labels }))).toEqual(
      raw.alerts.map((alert) => alert.labels),
    );
    expect(delivery.truncatedAlerts).toBe(raw.truncatedAlerts);
    expect(delivery.unknownFields).toBe(0);
  });

  it('F43 takes the year 1 as the end of an alert that still fires', () => {
    expect(alertOf(accepted(capture('single-firing')).entries[0])).toMatchObject({
      status: 'firing',
      endsAt: null,
      flags: [],
    });
    expect(alertOf(accepted(capture('single-resolved')).entries[0]).endsAt).toBeGreaterThan(0);
  });

  it('keeps the hash of an annotation that was cut', () => {
    const alert = alertOf(accepted(capture('20k-annotation')).entries[0]);
    expect(alert.flags).toContain('value_cut');
    expect(Object.keys(alert.hashed)[0]).toMatch(/^annotation\./);
    expect(Math.max(...Object.values(alert.annotations).map((value) => Buffer.byteLength(value)))).toBe(4_096);
  });

  it('F42 gives the two bodies of a split brain one episode', () => {
    const keys = ['split-brain-a', 'split-brain-b'].map((name) =>
      episodeKey('alertmanager', alertOf(accepted(capture(name)).entries[0]).labels, ignored),
    );
    expect(keys[0]).toBe(keys[1]);
  });

  it('reads 10,000 alerts in little more than it takes to parse them', () => {
    // In a process of its own: the test runner's module wrappers make every global ten times as dear.
    const measure = `
      import { parseDelivery } from ${JSON.stringify(new URL('../../../dist/alert/webhook.js', import.meta.url).href)};
      const alerts = Array.from({ length: 10_000 }, (_, index) => ({ status: 'firing', startsAt: '2026-11-21T23:00:00Z', endsAt: '0001-01-01T00:00:00Z', generatorURL: '', annotations: { summary: 'web-' + index + ' is down', description: 'x'.repeat(200) }, labels: { alertname: 'Down', instance: 'web-' + index + ':9100', job: 'node', severity: 'critical', cluster: 'eu-1' } }));
      const body = Buffer.from(JSON.stringify({ version: '4', alerts }));
      const best = (run) => Math.min(...Array.from({ length: 8 }, () => { const start = performance.now(); run(); return performance.now() - start; }));
      const parse = best(() => JSON.parse(body.toString()));
      console.log(best(() => parseDelivery(body, Date.now())) / parse);
    `;
    const ratio = Number(execFileSync(process.execPath, ['--input-type=module', '-e', measure], { encoding: 'utf8' }));
    // 60 ms against 24 on a quiet machine.
    expect(ratio).toBeLessThan(6);
  });
});

describe('versions', () => {
  it.each(['1', '3', '4', 1, 3, 4])('F44 reads version %p', (version) => {
    expect(accepted(post([one()], { version, groupKey: 1234 })).entries[0]?.valid).toBe(true);
  });

  it.each(['5', 5, '', null, '4.0', { a: 1 }])(
    'F44 records every entry of version %p as invalid, naming it',
    (version) => {
      const delivery = accepted(post([one(), one()], { version }));
      expect(delivery.entries.map(problemOf)).toEqual([
        expect.stringContaining('webhook version'),
        expect.stringContaining('webhook version'),
      ]);
    },
  );

  it('counts the fields it does not know, of Grafana and of newer Alertmanagers', () => {
    const delivery = accepted(
      post([one({ dashboardURL: '', values: {} })], {
        version: '1',
        orgId: 1,
        notification_reason: 'x',
        routeLabels: {},
      }),
    );
    expect(delivery.unknownFields).toBe(5);
  });
});

describe('times', () => {
  it.each([
    ['2026-11-21T23:00:00Z', Date.UTC(2026, 10, 21, 23)],
    ['2026-11-21T23:00:00.123456789Z', Date.UTC(2026, 10, 21, 23, 0, 0, 123)],
    ['2026-11-22T13:00:00+14:00', Date.UTC(2026, 10, 21, 23)],
    ['2026-11-21T20:30:00.5-02:30', Date.UTC(2026, 10, 21, 23, 0, 0, 500)],
    ['2024-02-29T00:00:00Z', Date.UTC(2024, 1, 29)],
    ['2026-11-21T23:14:59Z', Date.UTC(2026, 10, 21, 23, 14, 59)],
  ])('F43 reads %s', (startsAt, expected) => {
    expect(alertWith({ startsAt })).toMatchObject({ startsAt: expected, flags: [] });
  });

  it.each([
    ['9999-12-31T23:59:59Z', 'future_start'],
    ['2026-11-21T23:15:01Z', 'future_start'],
    ['0001-01-01T00:00:00Z', 'missing_start'],
    [undefined, 'missing_start'],
    [null, 'missing_start'],
  ])('F43 replaces the start %p by the time of receiving and flags it', (startsAt, flag) => {
    expect(alertWith({ startsAt })).toMatchObject({ startsAt: NOW, flags: [flag] });
  });

  it.each([
    'not-a-date',
    '2026-13-01T00:00:00Z',
    '2026-02-30T00:00:00Z',
    '2026-11-21',
    '1763766204',
    1_763_766_204,
    {},
    '2026-11-21T24:00:00Z',
    `2026-11-21T23:00:00.${'1'.repeat(100)}Z`,
  ])('F43 records the entry with the start %p as invalid and reads its neighbours', (startsAt) => {
    const { entries } = accepted(post([one(), one({ startsAt }), one()]));
    expect(entries.map((entry) => entry.valid)).toEqual([true, false, true]);
    expect(problemOf(entries[1])).toContain('startsAt');
  });
});

describe('labels', () => {
  it.each([
    ['NUL', 'a\u0000b'],
    ['a lone surrogate', 'a\ud800b'],
    ['an emoji', '🔥'],
    ['right to left', '\u202eabc'],
    ['nothing', ''],
    ['an escape', '\u001b[31m'],
  ])('F44 keeps %s in a value as it is', (_, value) => {
    expect(alertWith({ labels: { alertname: 'x', odd: value } }).labels['odd']).toBe(value);
  });

  it('F44 keeps 10 kB by its hash, and two long values with one beginning stay two alerts', () => {
    const long = (end: string): Alert => alertWith({ labels: { alertname: 'x', blob: 'é'.repeat(5_000) + end } });
    const [left, right] = [long('a'), long('b')];
    expect(left.hashed['label.blob']).toMatch(/^[0-9a-f]{64}$/);
    expect(Buffer.byteLength(left.labels['blob'] ?? '')).toBeLessThanOrEqual(4_096);
    expect(episodeKey('s', left.labels, ignored)).not.toBe(episodeKey('s', right.labels, ignored));
  });

  it('F44 never cuts through a character', () => {
    const cut = alertWith({ annotations: { text: '🔥'.repeat(3_000) } }).annotations['text'] ?? '';
    expect(/\p{Surrogate}/u.test(cut)).toBe(false);
    expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(4_096);
  });

  it('F44 makes one episode of any order of labels', () => {
    const key = (labels: Record<string, string>): string => episodeKey('s', alertWith({ labels }).labels, ignored);
    expect(key({ alertname: 'x', b: '1', a: '2' })).toBe(key({ a: '2', alertname: 'x', b: '1' }));
  });

  it.each([
    [
      '65 labels',
      { labels: Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`l${index}`, 'x'])) },
      '65 labels',
    ],
    ['a name of 257 bytes', { labels: { ['é'.repeat(129)]: 'x' } }, 'longer than 256'],
    ['a name that is not Unicode', { labels: { '\ud800': 'x' } }, 'not valid Unicode'],
    ['a value that is a number', { labels: { alertname: 5 } }, 'not text'],
    ['a value that is an object', { labels: { alertname: { a: 1 } } }, 'not text'],
    ['no labels', { labels: {} }, 'no labels'],
    ['labels that are a list', { labels: [] }, 'not an object'],
    ['annotations that are text', { annotations: 'x' }, 'annotations'],
    ['no status', { status: undefined }, 'status'],
    ['a status of its own', { status: 'pending' }, 'status'],
  ])('F44 records an entry with %s as invalid', (_, over, problem) => {
    expect(problemOf(accepted(post([one(over)])).entries[0])).toContain(problem);
  });

  it('keeps no more than 4 KiB of a bad entry', () => {
    const entry = accepted(post([{ status: 'x', blob: 'y'.repeat(100_000) }])).entries[0];
    expect(JSON.stringify(entry).length).toBeLessThan(10_000);
  });

  it('one bad alert among a hundred leaves ninety-nine', () => {
    const entries = accepted(post(Array.from({ length: 100 }, (_, index) => (index === 41 ? null : one())))).entries;
    expect(entries.filter((entry) => entry.valid)).toHaveLength(99);
    expect(entries[41]).toMatchObject({ valid: false, raw: { value: null } });
  });
});

describe('C5 prototypes', () => {
  it('keeps __proto__, constructor and prototype as label names', () => {
    const body =
      '{"version":"4","__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"alerts":[{"status":"firing","labels":{"alertname":"x","__proto__":"a","constructor":"b","prototype":"c"},"annotations":{"__proto__":"d"}}]}';
    const alert = alertOf(accepted(body).entries[0]);
    expect(Object.entries(alert.labels)).toEqual([
      ['alertname', 'x'],
      ['__proto__', 'a'],
      ['constructor', 'b'],
      ['prototype', 'c'],
    ]);
    expect(Object.keys(alert.annotations)).toEqual(['__proto__']);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
    expect(episodeKey('s', alert.labels, ignored)).not.toBe(
      episodeKey('s', alertWith({ labels: { alertname: 'x', constructor: 'b', prototype: 'c' } }).labels, ignored),
    );
  });

  it('does not find fields on a prototype that the body brings along', () => {
    expect(codeOf('{"__proto__":{"alerts":[]}}')).toBe('no-alerts');
    expect(
      problemOf(accepted('{"version":"4","alerts":[{"__proto__":{"status":"firing","labels":{"a":"b"}}}]}').entries[0]),
    ).toContain('status');
  });

  const keys = fc.constantFrom(
    '__proto__',
    'constructor',
    'prototype',
    'toString',
    'status',
    'labels',
    'alerts',
    'polluted',
    'version',
  );
  const json = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 5 },
      fc.constantFrom('firing', 'resolved', '4', '', 'x'),
      fc.integer(),
      fc.constant(null),
      fc.string(),
      fc.array(tie('value'), { maxLength: 4 }),
      fc.array(fc.tuple(fc.oneof(keys, fc.string()), tie('value')), { maxLength: 6 }).map((pairs) => new Map(pairs)),
    ),
  })).value;
  const write = (value: unknown): string => {
    if (value instanceof Map)
      return `{${[...value].map(([key, member]) => `${JSON.stringify(key)}:${write(member)}`).join(',')}}`;
    return Array.isArray(value) ? `[${value.map(write).join(',')}]` : JSON.stringify(value);
  };
  // 100,000 in all, as C5 asks: three out of four as an alert's own parts, where the reader goes furthest.
  const untouched = (body: string): void => {
    parseDelivery(Buffer.from(body), NOW);
    if (({} as { polluted?: unknown }).polluted !== undefined || Object.keys(Object.prototype).length > 0)
      throw new Error(`polluted by ${body}`);
  };

  it('C5 survives 25,000 bodies of any shape', () => {
    fc.assert(
      fc.property(json, (value) => untouched(write(value))),
      { numRuns: 25_000 },
    );
  });

  it('C5 survives 75,000 bodies with alerts of any shape', () => {
    fc.assert(
      fc.property(json, json, (labels, annotations) =>
        untouched(
          `{"version":"4","alerts":[{"status":"firing","labels":${write(labels)},"annotations":${write(annotations)}}]}`,
        ),
      ),
      { numRuns: 75_000 },
    );
  });

  it('C5 survives any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void parseDelivery(Buffer.from(bytes), NOW)),
      { numRuns: 5_000 },
    );
  });
});

describe('C6 bodies that are bombs', () => {
  it.each([
    ['a million brackets', '['.repeat(1_000_000), 'too-deep'],
    ['nine levels', post([{ a: { b: { c: { d: { e: { f: {} } } } } } }]), 'too-deep'],
    ['one alert too many', post(Array.from({ length: MOST_ALERTS + 1 }, () => 0)), 'too-many-alerts'],
    ['millions of empty objects', `{"alerts":[${'{},'.repeat(2_100_000)}{}]}`, 'too-many-alerts'],
    [
      'millions of nested objects',
      `{"alerts":[${'{"a":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]},'.repeat(49_000)}{}]}`,
      'too-many-members',
    ],
    [
      'a million names in one object',
      `{"alerts":[{"labels":{${Array.from({ length: 1_000_000 }, (_, index) => `"${index}":0`).join(',')}}}]}`,
      'too-many-members',
    ],
    ['half a body', post([one()]).slice(0, -3), 'not-json'],
    ['nothing', '', 'not-json'],
    ['a list', '[]', 'not-a-delivery'],
    ['a text', '"x"', 'not-a-delivery'],
    ['null', 'null', 'not-a-delivery'],
    ['no alerts', '{"version":"4"}', 'no-alerts'],
    ['alerts that are an object', '{"version":"4","alerts":{}}', 'no-alerts'],
    ['bytes that are not UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), 'not-utf8'],
    ['NaN', '{"alerts":NaN}', 'not-json'],
  ])('C6 refuses %s', (_, body, code) => {
    expect(codeOf(body)).toBe(code);
  });

  it('C6 takes the most alerts that are allowed', () => {
    expect(accepted(post(Array.from({ length: MOST_ALERTS }, () => 0))).entries).toHaveLength(MOST_ALERTS);
  });

  it('C6 reads the last of duplicate keys, and always the same', () => {
    const body = `{"version":"4","alerts":[{"status":"firing","labels":{${'"a":"1",'.repeat(900)}"a":"2"}}],"alerts":[{"status":"firing","labels":{"a":"1","a":"3"}}]}`;
    expect({ ...alertOf(accepted(body).entries[0]).labels }).toEqual({ a: '3' });
  });
});
