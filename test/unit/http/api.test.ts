// The API on a real store: what may be asked by whom, what comes back, and what people do through it.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Role } from '../../../src/config-web.ts';
import { ROUTES } from '../../../src/http/routes.ts';
import type { Route } from '../../../src/http/routes.ts';
import { JSON_TYPE, WEB, delivery, start } from './given.ts';
import type { Given } from './given.ts';

let given: Given;
let decisionId = '';
let runId = '';
beforeAll(async () => {
  given = await start(WEB, { requestsPerMinute: 100_000 });
  const posted = await given.ask('/webhook/alertmanager', {
    method: 'POST',
    headers: JSON_TYPE,
    as: 'sender',
    body: delivery(),
  });
  if (posted.status !== 202) throw new Error(posted.text);
  await given.engine.settle();
  const [decision] = await given.rows('decisions');
  decisionId = decision?.id ?? '';
  runId = decision?.runId ?? '';
});
afterAll(() => given.close());

const ROLES: readonly (Role | 'sender')[] = ['viewer', 'operator', 'approver', 'admin', 'sender'];
const concrete = (route: Route): string =>
  `${route.path.replace(':kind/:strategy', 'cache/slow').replace(':name', 'nope').replace(':id', 'nope')}${route.id === 'events-stream' ? '?follow=false' : ''}`;
const rank = (role: Role): number => ['viewer', 'operator', 'approver', 'admin'].indexOf(role);

describe('C13 who may do what', () => {
  it.each(ROUTES.map((route): [string, Route] => [`${route.method} ${route.path}`, route]))(
    'C13 %s',
    async (_, route) => {
      const path = concrete(route);
      const before = (await given.rows('audit')).length;
      const anonymous = await given.ask(path, {
        method: route.method,
        headers: route.method === 'POST' ? JSON_TYPE : {},
      });
      expect(anonymous.status === 401).toBe(route.role !== 'anyone');
      for (const role of ROLES) {
        const isSender = role === 'sender';
        const answered = await given.ask(path, {
          method: route.method,
          as: role,
          headers: route.method === 'POST' ? JSON_TYPE : {},
          ...(route.method === 'POST' ? { body: 'x' } : {}),
        });
        if (route.id === 'login') expect(answered.status).toBe(400);
        else if (route.role === 'anyone') expect([200, 303]).toContain(answered.status);
        else if (route.role === 'sender') expect(answered.status).toBe(role === 'viewer' ? 403 : 400);
        else if (rank(isSender ? 'viewer' : role) < rank(route.role)) expect(answered.status).toBe(403);
        else expect([200, 400, 404, 422]).toContain(answered.status);
      }
      if (route.method === 'POST' && route.id !== 'reload') expect(await given.rows('audit')).toHaveLength(before);
    },
  );

  it('C13 a route that is not listed does not exist, and one without a handler cannot be', async () => {
    expect(await given.ask('/api/v1/nothing', { as: 'admin' })).toMatchObject({
      status: 404,
      text: expect.stringContaining('GET /api/v1/openapi.json lists what there is'),
    });
    for (const route of ROUTES.filter(({ method, path }) => method === 'GET' && path.startsWith('/api/'))) {
      expect((await given.ask(concrete(route), { as: 'admin' })).status).not.toBe(500);
    }
  });

  it('C13 no route changes anything by GET or HEAD, whatever a header says', async () => {
    const paths = new Set(
      ROUTES.filter(
        ({ method, path }) =>
          method !== 'GET' && !ROUTES.some((other) => other.path === path && other.method === 'GET'),
      ).map(concrete),
    );
    for (const path of paths) {
      for (const method of ['GET', 'HEAD', 'PUT', 'PATCH', 'OPTIONS']) {
        const answered = await given.ask(path, { method, as: 'admin', headers: { 'x-http-method-override': 'POST' } });
        expect([path, method, answered.status]).toEqual([path, method, 405]);
      }
    }
  });

  it.each([
    ['another origin', { origin: 'https://evil.example' }],
    ['a null origin', { origin: 'null' }],
    ['a cross-site fetch', { 'sec-fetch-site': 'cross-site' }],
    ['another site of the same domain', { 'sec-fetch-site': 'same-site' }],
  ])('C13 a page of %s changes nothing', async (_, headers) => {
    for (const [path, body] of [
      ['/api/v1/halt', '{}'],
      ['/-/reload', ''],
      ['/webhook/alertmanager', delivery()],
    ] as const) {
      expect(
        (await given.ask(path, { method: 'POST', as: 'admin', headers: { ...JSON_TYPE, ...headers }, body })).status,
      ).toBe(403);
    }
    expect((await given.store.controls()).halt.on).toBe(false);
  });

  it('C13 a form cannot post, and no answer invites another origin', async () => {
    const answered = await given.ask('/api/v1/halt', {
      method: 'POST',
      as: 'admin',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: 'on=true',
    });
    expect(answered.status).toBe(415);
    expect(Object.keys(answered.headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
  });

  it('every answer forbids keeping, guessing and framing', async () => {
    for (const path of ['/api/v1/decisions', '/healthz', '/metrics', '/api/v1/nothing']) {
      const { headers } = await given.ask(path, { as: 'admin' });
      expect(headers).toMatchObject({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
      expect(headers['x-powered-by']).toBeUndefined();
    }
  });
});

describe('lists', () => {
  it('answer items and next, with times as RFC 3339', async () => {
    const { json } = await given.ask('/api/v1/decisions?limit=1&component=cache', { as: 'viewer' });
    expect(json).toMatchObject({
      items: [{ id: decisionId, reason: 'awaiting_approval', at: expect.stringMatching(/^\d{4}-.*Z$/) }],
      next: null,
    });
  });

  it.each([
    'alerts',
    'episodes',
    'decisions',
    'runs',
    'components',
    'rules',
    'runbooks',
    'degraded-modes',
    'inbox',
    'audit',
  ])('%s can be listed', async (name) => {
    const { status, json } = await given.ask(`/api/v1/${name}`, { as: 'viewer' });
    expect([status, Array.isArray(json['items']), (json['items'] as unknown[]).length > 0]).toEqual([200, true, true]);
  });

  it.each([
    ['decisions?reson=admitted', 'did you mean reason?'],
    ['decisions?limit=501', undefined],
    ['decisions?limit=x', undefined],
    ['decisions?cursor=x', undefined],
    ['decisions?since=yesterday', undefined],
    ['components?cursor=x', undefined],
    ['decisions?reason=a&reason=b', undefined],
    ['decisions?limit=1e2', undefined],
    ['metrics/usage-daily?days=', undefined],
  ])('refuse %s with a problem document', async (path, mend) => {
    const { status, headers, json } = await given.ask(`/api/v1/${path}`, { as: 'viewer' });
    expect(status).toBe(400);
    expect(headers['content-type']).toBe('application/problem+json');
    expect(json).toMatchObject({ type: 'about:blank', title: 'Bad request', status: 400 });
    if (mend !== undefined) expect(json['problems']).toMatchObject([{ mend }]);
  });

  it.each([
    ['decisions?limit=x', 'limit: a whole number from 1 to 500 is expected'],
    ['decisions?limit=501', 'limit: at most 500'],
    ['decisions?limit=0', 'limit: at least 1'],
    ['metrics/usage-daily?days=soon', 'days: a whole number from 1 to 90 is expected'],
  ])('say of %s what is wanted: %s', async (path, message) => {
    const { json } = await given.ask(`/api/v1/${path}`, { as: 'viewer' });
    expect(json).toMatchObject({ status: 400, detail: `The query is refused: ${message}`, problems: [{ message }] });
  });

  it.each([
    ['GET', 'runs/nope', 'run nope', 'runs'],
    ['GET', 'decisions/nope', 'decision nope', 'decisions'],
    ['GET', 'components/nope', 'component nope', 'components'],
    ['POST', 'runs/nope/cancel', 'run nope', 'runs'],
    ['POST', 'inbox/nope/close', 'inbox entry nope', 'inbox'],
    ['POST', 'components/nope/disable', 'component nope', 'components'],
  ] as const)('say of what is not there where all of it is: %s %s', async (method, path, what, list) => {
    const body = method === 'POST' ? { body: '{}', headers: { 'content-type': 'application/json' } } : {};
    const { status, json } = await given.ask(`/api/v1/${path}`, { method, as: 'admin', ...body });
    expect([status, json['detail'], json['mend']]).toEqual([
      404,
      `There is no ${what}.`,
      `GET /api/v1/${list} lists what there is`,
    ]);
  });

  it('take a time or a duration as lower bound', async () => {
    const count = async (since: string): Promise<number> =>
      (
        (await given.ask(`/api/v1/decisions?since=${encodeURIComponent(since)}`, { as: 'viewer' })).json[
          'items'
        ] as unknown[]
      ).length;
    expect([await count('1h'), await count('2020-01-01T00:00:00Z'), await count('2999-01-01T00:00:00Z')]).toEqual([
      1, 1, 0,
    ]);
  });

  it('page through what is held in memory', async () => {
    const first = await given.ask('/api/v1/degraded-modes?limit=1', { as: 'viewer' });
    expect(first.json).toMatchObject({ items: [{ name: 'slow', active: false, impact: 'slower' }], next: null });
  });
});

describe('one thing', () => {
  it('a decision, and why it was taken', async () => {
    const { json } = await given.ask(`/api/v1/decisions/${decisionId}/explain`, { as: 'viewer' });
    expect(json).toMatchObject({
      decision: { id: decisionId, reason: 'awaiting_approval', rule: 'cache-down' },
      why: 'the rule cache-down asked for slow on cache a, and a human has to agree first',
      rules: [
        {
          rule: 'cache-down',
          matched: true,
          conditions: [{ text: 'alertname equal "CacheDown" (it is "CacheDown")', result: true }],
        },
      ],
    });
    expect((json['guards'] as unknown[]).length).toBeGreaterThan(5);
  });

  it('a run with its plan and events', async () => {
    const { json } = await given.ask(`/api/v1/runs/${runId}`, { as: 'viewer' });
    expect(json).toMatchObject({
      id: runId,
      state: 'awaiting_approval',
      plan: { runbook: { name: 'cache/slow' } },
      events: [{ seq: 1, type: 'admitted' }, { type: 'approval_requested' }],
    });
  });

  it('a component with its policy and inventory', async () => {
    const { json } = await given.ask('/api/v1/components/cache', { as: 'viewer' });
    expect(json).toMatchObject({
      name: 'cache',
      mode: 'approve',
      state: 'awaiting_approval',
      disabled: null,
      cooldownUntil: null,
      attempts: [
        { window: '1h', used: 1, limit: 3 },
        { window: '1d', used: 1, limit: 9 },
      ],
      inventory: [{ name: 'a' }, { name: 'b' }],
      policy: { cooldown: { afterFailure: '5m' } },
    });
  });

  it('a runbook with its guide', async () => {
    expect((await given.ask('/api/v1/runbooks/cache/slow', { as: 'viewer' })).json).toMatchObject({
      name: 'cache/slow',
      guide: expect.stringContaining('Look at it.'),
    });
  });

  it('the page of a runbook, where the runbook_url of an alert leads, has all of it and nothing to load', async () => {
    const { status, headers, text } = await given.ask('/runbooks/cache/slow', { as: 'viewer' });
    expect([status, headers['content-type']]).toEqual([200, 'text/html; charset=utf-8']);
    expect(headers['content-security-policy']).toContain("default-src 'none'");
    for (const part of ['cache/slow', 'Says that it is slow.', 'degrade.set', 'sqlite.check', 'Look at it.'])
      expect(text).toContain(part);
    expect(text).not.toMatch(/<script|<style|<link|<img|style=|\son\w+=/i);
    expect((await given.ask('/runbooks/cache/nope', { as: 'viewer' })).status).toBe(404);
  });

  it('what to do about the alerts about amends is a page, with a place for each of them', async () => {
    const { status, headers, text } = await given.ask('/alerts', { as: 'viewer' });
    expect([status, headers['content-type']]).toEqual([200, 'text/html; charset=utf-8']);
    expect(text).toContain('<h2 id="amendsdown">AmendsDown</h2>');
    expect(text).toContain('<li>Start it. ');
    expect(text).toContain('<code>amends inbox list</code>');
    expect((await given.ask('/alerts')).status).toBe(401);
  });

  it.each(['decisions/nope', 'decisions/nope/explain', 'runs/nope', 'components/nope', 'runbooks/cache/nope'])(
    '%s is not found',
    async (path) => {
      expect((await given.ask(`/api/v1/${path}`, { as: 'viewer' })).status).toBe(404);
    },
  );

  it('the description has every route', async () => {
    const { json } = await given.ask('/api/v1/openapi.json', { as: 'viewer' });
    const paths = json['paths'] as Record<string, Record<string, unknown>>;
    expect(Object.values(paths).flatMap((methods) => Object.keys(methods))).toHaveLength(ROUTES.length);
    expect(paths['/api/v1/runs/{id}/approve']?.['post']).toMatchObject({
      operationId: 'approve',
      'x-role': 'approver',
    });
  });
});

describe('what people do', () => {
  const act = (path: string, as: Role, body: object = {}) =>
    given.ask(`/api/v1/${path}`, { method: 'POST', as, headers: JSON_TYPE, body: JSON.stringify(body) });

  it('C3 approves a run once, by name', async () => {
    expect((await act(`runs/${runId}/approve`, 'approver', { by: 'ada', comment: 'go' })).status).toBe(200);
    expect((await act(`runs/${runId}/approve`, 'approver')).status).toBe(409);
    const audit = await given.rows('audit');
    expect(audit.some(({ actor, subject }) => actor === 'approver/ada' && subject === runId)).toBe(true);
  });

  it('disables a component for a while and enables it again', async () => {
    const disabled = await act('components/cache/disable', 'operator', { for: '2h', reason: 'maintenance' });
    expect(disabled.json).toMatchObject({ until: expect.stringMatching(/Z$/) });
    expect((await given.ask('/api/v1/components/cache', { as: 'viewer' })).json).toMatchObject({
      state: 'disabled',
      disabled: { by: 'operator', reason: 'maintenance' },
    });
    expect((await act('components/cache/enable', 'operator')).status).toBe(200);
    expect((await act('components/nope/disable', 'operator')).status).toBe(404);
    expect((await act('components/cache/disable', 'operator', { for: 'ever' })).status).toBe(400);
    expect((await act('components/cache/disable', 'operator', { fro: '1h' })).json['problems']).toMatchObject([
      { mend: 'did you mean for?' },
    ]);
  });

  it('an operator halts, an approver lifts it', async () => {
    expect((await act('halt', 'operator', { reason: 'stop' })).status).toBe(200);
    expect((await given.ask('/api/v1/halt', { as: 'viewer' })).json).toMatchObject({
      on: true,
      by: 'operator',
      reason: 'stop',
    });
    expect((await act('halt', 'operator', { on: false })).status).toBe(403);
    expect((await given.ask('/api/v1/halt', { method: 'DELETE', as: 'operator' })).status).toBe(403);
    const lifted = await given.ask('/api/v1/halt?by=ada&reason=fine', { method: 'DELETE', as: 'approver' });
    expect([lifted.status, lifted.json['changed']]).toEqual([200, true]);
    const audited = async (): Promise<number> =>
      ((await given.ask('/api/v1/audit?action=resume', { as: 'viewer' })).json['items'] as unknown[]).length;
    const before = await audited();
    const again = await given.ask('/api/v1/halt?by=ada', { method: 'DELETE', as: 'approver' });
    expect([again.status, again.json['changed'], await audited()]).toEqual([200, false, before]);
    expect((await given.ask('/api/v1/halt', { as: 'viewer' })).json).toMatchObject({ on: false });
  });

  it('R19 asks for a recovery over HTTP; what refuses it says so', async () => {
    expect((await act('recoveries', 'operator', { component: 'cahe', strategy: 'slow' })).json).toMatchObject({
      status: 404,
      mend: 'did you mean cache?',
    });
    expect((await act('recoveries', 'operator', { component: 'cache' })).status).toBe(422);
    expect(
      (await act('recoveries', 'operator', { component: 'cache', strategy: 'slow', failureType: 'x' })).status,
    ).toBe(422);
    const asked = await act('recoveries', 'operator', {
      component: 'cache',
      target: 'b',
      strategy: 'slow',
      context: { ticket: 1 },
      reason: 'drill',
    });
    expect([asked.status, asked.json['runId'] !== null]).toEqual(asked.status === 409 ? [409, false] : [202, true]);
    if (asked.status === 409) expect(asked.json['title']).toMatch(/^Held: /);
  });

  it('closes an entry of the inbox', async () => {
    await given.store.write(
      [
        {
          type: 'inbox.open',
          id: 'note-1',
          kind: 'note',
          dedup: null,
          severity: null,
          component: null,
          target: null,
          runId: null,
          episodeId: null,
          title: 'x',
          body: {},
        },
      ],
      Date.now(),
    );
    expect((await act('inbox/note-1/close', 'operator', { comment: 'done' })).status).toBe(200);
    expect((await given.ask('/api/v1/inbox?id=note-1', { as: 'viewer' })).json).toMatchObject({
      items: [{ status: 'closed', closedBy: 'operator' }],
    });
  });

  it('a body that is too large or not JSON is refused', async () => {
    expect((await act('halt', 'operator', { reason: 'x'.repeat(70_000) })).status).toBe(413);
    expect(
      (await given.ask('/api/v1/halt', { method: 'POST', as: 'operator', headers: JSON_TYPE, body: '{' })).status,
    ).toBe(400);
    expect(
      (
        await given.ask('/api/v1/halt', {
          method: 'POST',
          as: 'operator',
          headers: { ...JSON_TYPE, 'content-encoding': 'gzip' },
          body: 'x',
        })
      ).status,
    ).toBe(415);
  });
});

describe('health', () => {
  it.each(['/-/healthy', '/healthz'])('%s says that it lives', async (path) => {
    expect((await given.ask(path)).json).toEqual({ status: 'alive', version: '1.2.3' });
  });

  it('O8 readiness tells strangers little and viewers all', async () => {
    expect((await given.ask('/readyz')).json).toEqual({ status: 'ready', version: '1.2.3' });
    expect((await given.ask('/-/ready', { as: 'viewer' })).json).toMatchObject({
      status: 'ready',
      mode: 'approve',
      database: 'ok',
      worker: 'running',
      halted: false,
      digests: { config: expect.stringContaining('sha256:'), catalog: expect.any(String) },
      components: [{ name: 'cache' }],
      breakers: [],
    });
  });

  it('metrics can be scraped', async () => {
    const { status, headers, text } = await given.ask('/metrics', { as: 'viewer' });
    expect([status, headers['content-type']]).toEqual([200, expect.stringContaining('text/plain')]);
    expect(text).toContain('amends_deliveries_total{result="accepted"} 1');
    expect(text).toContain('amends_store_up 1');
  });
});
