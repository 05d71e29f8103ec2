// How many bytes an entry of the audit takes, in the table and in an archive, after recoveries of every kind on a real
// amends: helped, in vain, approved, denied, halted.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import Database from 'better-sqlite3';
import { archiveLine } from '../dist/store/audit-archive.js';
import { rounded, say, startAmends } from './amends.mjs';

const goals = { table_bytes: 600, archive_bytes: 150 };
const DEADLINE_MS = 60_000;

const KINDS = ['helped', 'in-vain', 'asked'];
const runbook = (verifies) => `version: 1
summary: Waits a moment.
severity: SEV3
timeout: 2s
steps:
  - { id: first, uses: wait.for, with: { duration: 1ms } }
  - { id: second, uses: wait.for, with: { duration: 1ms } }
verify:
  - { uses: wait.for, with: { duration: ${verifies ? '1ms' : '1m'} }, timeout: 50ms, need: 1, of: 1, every: 10ms }
guide: |
  Nothing to do: this runbook measures.
`;
const rule = (kind) =>
  JSON.stringify({
    name: `bench-${kind}`,
    description: 'Every bench alert starts a run.',
    priority: 50,
    conditions: { all: [{ fact: 'alertname', operator: 'equal', value: `Bench-${kind}` }] },
    event: { type: 'remediate', params: { runbook: `bench/${kind}`, mode: kind === 'asked' ? 'approve' : 'auto' } },
  });

/** A component each: none waits for another's rest. */
const filesFor = (components) => ({
  'amends.yaml': JSON.stringify({
    version: 1,
    rule_files: ['rules/**/*.json'],
    runbook_files: ['runbooks/**/*.yaml'],
    recovery: {
      mode: 'auto',
      budget: [{ max: 100_000, per: '1h' }],
      max_concurrent_total: 50,
      storm: { min: 5, components: 10_000 },
    },
    components: Object.fromEntries(
      components.map((name) => [
        name,
        { kind: 'bench', inventory: { static: [targetOf(name)] }, allow: { actions: ['wait.*'] } },
      ]),
    ),
  }),
  ...Object.fromEntries(KINDS.map((kind) => [`rules/bench/${kind}.json`, rule(kind)])),
  ...Object.fromEntries(KINDS.map((kind) => [`runbooks/bench/${kind}.yaml`, runbook(kind !== 'in-vain')])),
});

export async function measure({ runs = 150 }) {
  const components = Array.from({ length: runs }, (_, index) => `component-${index}`);
  const amends = await startAmends(filesFor(components));
  const call = async (path, body) => {
    const response = await fetch(`${amends.url}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return response.json();
  };
  try {
    for (const [index, component] of components.entries())
      await call('/webhook/alertmanager', delivery(component, `Bench-${KINDS[index % KINDS.length]}`));
    for (const on of [true, false]) await call('/api/v1/halt', { on, by: 'ann', reason: 'an exercise' });
    const deadline = performance.now() + DEADLINE_MS;
    for (;;) {
      const { items: waiting } = await call('/api/v1/runs?state=awaiting_approval&limit=500');
      for (const [index, { id }] of waiting.entries())
        await call(`/api/v1/runs/${id}/${index % 4 === 0 ? 'deny' : 'approve'}`, { by: 'ann', comment: 'as agreed' });
      const { items: done } = await call('/api/v1/runs?state=done&limit=500');
      say(`${done.length} of ${runs} runs are over`);
      if (done.length >= Math.min(runs, 500)) break;
      if (performance.now() > deadline) throw new Error('the runs did not end');
      await sleep(500);
    }
    const figures = figuresOf(join(amends.folder, 'data/amends.db'));
    return {
      bench: 'audit',
      runs,
      ...figures,
      goals,
      pass: figures.table_bytes <= goals.table_bytes && figures.archive_bytes <= goals.archive_bytes,
    };
  } finally {
    await amends.stop();
  }
}

const targetOf = (component) => `${component}.example.com:6379`;

const delivery = (component, alertname) => ({
  version: '4',
  groupKey: '{}',
  status: 'firing',
  receiver: 'amends',
  truncatedAlerts: 0,
  externalURL: '',
  groupLabels: {},
  commonLabels: {},
  commonAnnotations: {},
  alerts: [
    {
      status: 'firing',
      labels: { alertname, component, target: targetOf(component), severity: 'critical' },
      annotations: { summary: 'The bench is broken.' },
      startsAt: new Date().toISOString(),
      endsAt: '0001-01-01T00:00:00Z',
      generatorURL: '',
      fingerprint: '0',
    },
  ],
});

const figuresOf = (file) => {
  const database = new Database(file, { readonly: true });
  try {
    const rows = database.prepare('select * from audit order by seq').all();
    const pages = database.prepare(`select sum(pgsize) from dbstat where name in ('audit', 'audit_at')`).pluck().get();
    const texts = rows.map(({ seq: _seq, at: _at, ...columns }) => 16 + Object.values(columns).join('').length);
    const archive = rows.map((row) => `${archiveLine(row)}\n`).join('');
    const each = (bytes) => rounded(bytes / rows.length, 0);
    const longest = rows.map(({ detail }) => detail.length).toSorted((left, right) => right - left);
    return {
      rows: rows.length,
      text_bytes: each(texts.reduce((sum, bytes) => sum + bytes, 0)),
      table_bytes: each(pages),
      archive_plain_bytes: each(archive.length),
      archive_bytes: each(gzipSync(archive).length),
      longest_detail: longest[0],
    };
  } finally {
    database.close();
  }
};
