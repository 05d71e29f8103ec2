// Actions that speak an application's own API: polling, breakers, models, tasks.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import reset from '../../../src/actions/http/breaker-reset.ts';
import state from '../../../src/actions/http/breaker-state.ts';
import poll from '../../../src/actions/http/poll.ts';
import ask from '../../../src/actions/model/ask.ts';
import available from '../../../src/actions/model/available.ts';
import failover from '../../../src/actions/model/failover.ts';
import pause from '../../../src/actions/tasks/pause.ts';
import resume from '../../../src/actions/tasks/resume-subset.ts';
import type { JsonObject } from '../../../src/base/json.ts';
import { createContexts, failureOf, perform } from '../../support/action-context.ts';
import type { TestContext } from '../../support/action-context.ts';
import { startBreakerApp } from '../../support/breaker-app.ts';
import type { BreakerApp } from '../../support/breaker-app.ts';
import { startHttpDouble } from '../../support/http-double.ts';
import type { HttpDouble } from '../../support/http-double.ts';
import { startModelApi, startOpenWebUi } from '../../support/openwebui.ts';
import type { ModelApi, OpenWebUi } from '../../support/openwebui.ts';
import { startTaskService } from '../../support/task-service.ts';
import type { TaskService } from '../../support/task-service.ts';

const contexts = createContexts();
let bad: HttpDouble;
beforeAll(async () => {
  bad = await startHttpDouble();
});
afterAll(async () => {
  await bad.close();
  await contexts.stop();
});
const make = (hosts: readonly string[], timeout = 5_000): TestContext => contexts.make({ allow: { hosts }, timeout });

describe('http.poll', () => {
  let app: BreakerApp;
  beforeAll(async () => {
    app = await startBreakerApp();
  });
  afterEach(() => {
    app.override = null;
  });
  afterAll(() => app.close());

  it('waits until a status and a member of the reply are as told', async () => {
    let looks = 0;
    app.override = () => {
      looks += 1;
      if (looks === 1) return { status: 503 };
      return { json: { status: looks === 2 ? 'starting' : 'healthy', checks: [{ ok: true }] } };
    };
    const input = { url: `${app.url}/health`, pointer: '/status', equals: 'healthy', every: '10ms' };
    expect(await perform(poll, input, make([app.host]))).toMatchObject({ status: 200, value: 'healthy', looks: 3 });
    expect(await perform(poll, { ...input, pointer: '/checks/0/ok', equals: true }, make([app.host]))).toMatchObject({
      value: true,
      looks: 1,
    });
  });

  it('a status alone, also one that means failure, can be what is waited for', async () => {
    app.override = () => ({ status: 404 });
    expect(await perform(poll, { url: `${app.url}/old`, status: [404] }, make([app.host]))).toMatchObject({
      status: 404,
    });
  });

  it('gives up at its deadline and says what it saw last', async () => {
    const start = performance.now();
    const error = await failureOf(
      perform(
        poll,
        { url: `${app.url}/health`, pointer: '/status', equals: 'gone', every: '20ms', within: '150ms' },
        make([app.host]),
      ),
    );
    expect(error).toMatchObject({ kind: 'retryable', outputs: { status: 200, value: 'healthy' } });
    expect(error.message).toContain('looks: 200, /status is "healthy"');
    expect(performance.now() - start).toBeLessThan(1_000);
  });

  it.each(['/hang', '/header-drip', '/body-drip', '/endless'])(
    'F54: one look at a server that answers like %s costs its own limit, not the whole wait',
    async (path) => {
      const start = performance.now();
      const error = await failureOf(
        perform(
          poll,
          { url: `${bad.url}${path}`, request_timeout: '100ms', every: '10ms', within: '250ms' },
          make([bad.host]),
        ),
      );
      expect(error.kind).toBe('retryable');
      expect(Number(error.outputs?.['looks'])).toBeGreaterThan(1);
      expect(performance.now() - start).toBeLessThan(1_500);
    },
  );

  it('a host that is not declared is not waited for', async () => {
    const error = await failureOf(perform(poll, { url: `${app.url}/health`, within: '1m' }, make([])));
    expect(error).toMatchObject({ kind: 'permanent' });
    expect(error.message).toContain('is not allowed');
  });

  it('nothing answers: it is told with the reason, when time is up', async () => {
    const error = await failureOf(
      perform(poll, { url: 'http://127.0.0.1:9/', every: '10ms', within: '50ms' }, make(['127.0.0.1:9'])),
    );
    expect(error.message).toContain('ECONNREFUSED');
  });
});

describe('http.breaker-reset', () => {
  let app: BreakerApp;
  let provider: ModelApi;
  beforeAll(async () => {
    app = await startBreakerApp();
    provider = await startModelApi();
  });
  beforeEach(() => {
    app.states = { generator: 'open', reflector: 'closed' };
    app.broken = false;
    app.asked.length = 0;
    app.override = null;
    provider.override = () => ({ json: { status: { indicator: 'none' } } });
  });
  afterAll(async () => {
    await app.close();
    await provider.close();
  });
  const input = (more: JsonObject = {}): JsonObject => ({
    metrics_url: `${app.url}/metrics`,
    reset_url: `${app.url}/breakers/reset`,
    breaker: 'generator',
    dependencies: [{ url: `${provider.url}/status.json`, pointer: '/status/indicator', equals: 'none' }],
    settle: '300ms',
    ...more,
  });
  const both = (timeout?: number): TestContext => make([app.host, provider.host], timeout);
  const resets = (): number => app.asked.filter(({ method }) => method === 'POST').length;

  it('O7: closes a breaker that is open although its dependency is healthy, with the metrics before and after', async () => {
    const outputs = await perform(reset, input(), both());
    expect(outputs).toMatchObject({
      reset: true,
      dependency_healthy: true,
      reason: '',
      state_before: 'open',
      state_after: 'closed',
    });
    expect(outputs['metrics_before']).toContain('circuit_breaker_state{name="generator",state="open"} 1');
    expect(outputs['metrics_after']).toContain('circuit_breaker_state{name="generator",state="closed"} 1');
    expect(app.states).toEqual({ generator: 'closed', reflector: 'closed' });
  });

  it.each([
    ['answers 500', () => ({ status: 500 })],
    ['cuts the connection', () => 'reset' as const],
    ['hangs', () => 'hang' as const],
    ['tells of an outage with 200', () => ({ json: { status: { indicator: 'major' } } })],
  ])('O7: leaves it open, and says so, when its dependency %s', async (_what, reply) => {
    provider.override = reply;
    const outputs = await perform(reset, input({ dependency_timeout: '200ms' }), both());
    expect(outputs).toMatchObject({
      reset: false,
      dependency_healthy: false,
      state_before: 'open',
      state_after: 'open',
    });
    expect(outputs['reason']).toContain('not reset, since it is right: ');
    expect(resets()).toBe(0);
  });

  it('O7: one healthy dependency of two is not enough', async () => {
    const dependencies = [
      { url: `${app.url}/health` },
      { url: `${provider.url}/status.json`, pointer: '/status/indicator', equals: 'minor' },
    ];
    expect(await perform(reset, input({ dependencies }), both())).toMatchObject({
      reset: false,
      dependency_healthy: false,
    });
    expect(resets()).toBe(0);
  });

  it('a breaker that is closed already is left as it is', async () => {
    expect(await perform(reset, input({ breaker: 'reflector' }), both())).toMatchObject({
      reset: false,
      dependency_healthy: true,
      reason: 'it is closed already',
    });
    expect(resets()).toBe(0);
  });

  it('one that opens again at once is a failure, with what it was before and after', async () => {
    app.broken = true;
    const error = await failureOf(perform(reset, input(), both()));
    expect(error).toMatchObject({ kind: 'retryable', outputs: { reset: false, state_after: 'open' } });
    expect(error.message).toContain('it still is open after');
  });

  it('F31: without a dependency that is asked, or with a breaker that nobody has, nothing is reset', async () => {
    expect(reset.input.safeParse(input({ dependencies: [] })).success).toBe(false);
    const error = await failureOf(perform(reset, input({ breaker: 'nobody' }), both()));
    expect(error).toMatchObject({ kind: 'permanent' });
    expect(error.message).toContain('shows no state for the breaker nobody');
    const denied = await failureOf(perform(reset, input(), make([app.host])));
    expect(denied.message).toContain('is not allowed');
    expect(resets()).toBe(0);
  });

  it('F54: a reset that gets no answer may have taken effect', async () => {
    app.override = ({ method }) => (method === 'POST' ? 'hang' : null);
    expect(await failureOf(perform(reset, input(), both(400)))).toMatchObject({ kind: 'indeterminate' });
  });

  it('http.breaker-state reads what the metrics say, and refuses two states at once', async () => {
    const look = { metrics_url: `${app.url}/metrics`, breaker: 'generator' };
    expect(await perform(state, look, both())).toMatchObject({ state: 'open' });
    app.override = () => ({
      text: 'circuit_breaker_state{name="generator",state="open"} 1\ncircuit_breaker_state{name="generator",state="closed"} 1\n',
    });
    expect((await failureOf(perform(state, look, both()))).message).toContain('the states open and closed at once');
  });
});

describe('model.failover, model.available and model.ask', () => {
  let webui: OpenWebUi;
  let tokenFile: string;
  beforeEach(async () => {
    webui = await startOpenWebUi();
    const answer = await fetch(`${webui.url}/api/v1/auths/signin`, {
      method: 'POST',
      body: JSON.stringify({ email: webui.email, password: webui.password }),
    });
    tokenFile = join(contexts.folder, 'token');
    writeFileSync(tokenFile, ((await answer.json()) as { token: string }).token);
  });
  afterEach(() => webui.close());
  const input = (more: JsonObject = {}): JsonObject => ({
    models_url: `${webui.url}/api/models`,
    settings_url: `${webui.url}/api/v1/configs/models`,
    primary: 'claude-max',
    fallbacks: ['deepseek-chat', 'gemini-pro', 'gpt-4-turbo'],
    bearer_token_file: tokenFile,
    ...more,
  });

  it('R12: with the primary there, nothing is changed', async () => {
    expect(await perform(failover, input(), make([webui.host]))).toEqual({
      primary_available: true,
      chosen: 'claude-max',
      previous: 'claude-max',
      switched: false,
      missing: [],
    });
    expect(webui.asked.filter(({ method, path }) => method === 'POST' && path.endsWith('/models'))).toEqual([]);
  });

  it('R12: with the primary gone, the first of the order that is there becomes the default, and all other settings stay', async () => {
    webui.models = ['gpt-4-turbo', 'gemini-pro'];
    webui.settings = { DEFAULT_MODELS: 'claude-max', MODEL_ORDER_LIST: ['a'], OTHER: { kept: 1 } };
    const context = make([webui.host]);
    const result = await failover.run(failover.input.parse(input()), context);
    expect(result.outputs).toEqual({
      primary_available: false,
      chosen: 'gemini-pro',
      previous: 'claude-max',
      switched: true,
      missing: ['claude-max', 'deepseek-chat'],
    });
    expect(webui.settings).toEqual({ DEFAULT_MODELS: 'gemini-pro', MODEL_ORDER_LIST: ['a'], OTHER: { kept: 1 } });
    expect(result.undo).toEqual({
      settings: { DEFAULT_MODELS: 'claude-max', MODEL_ORDER_LIST: ['a'], OTHER: { kept: 1 } },
    });
    expect(await perform(failover, input(), make([webui.host]))).toMatchObject({
      switched: false,
      chosen: 'gemini-pro',
    });
  });

  it('R12: with the primary back, the default goes back to it', async () => {
    webui.settings = { DEFAULT_MODELS: 'gemini-pro' };
    expect(await perform(failover, input(), make([webui.host]))).toMatchObject({
      primary_available: true,
      chosen: 'claude-max',
      switched: true,
    });
  });

  it('R12: with none of them there it is permanent, names what there is, and changes nothing', async () => {
    webui.models = ['llama3'];
    const error = await failureOf(perform(failover, input(), make([webui.host])));
    expect(error).toMatchObject({ kind: 'permanent', outputs: { chosen: '', switched: false } });
    expect(error.message).toContain('there are: llama3');
    expect(webui.settings['DEFAULT_MODELS']).toBe('claude-max');
  });

  it('F31: an empty list of models is never taken for "none of them is needed"', async () => {
    webui.models = [];
    expect((await failureOf(perform(failover, input(), make([webui.host])))).message).toContain(
      'lists no model at all',
    );
    expect(failover.input.safeParse(input({ fallbacks: [] })).success).toBe(false);
  });

  it('a service that takes the setting and keeps another is told as indeterminate', async () => {
    webui.models = ['gemini-pro'];
    webui.override = ({ method, path }) => (method === 'POST' && path.endsWith('/models') ? { json: {} } : null);
    expect(await failureOf(perform(failover, input(), make([webui.host])))).toMatchObject({ kind: 'indeterminate' });
  });

  it('a token that is refused is permanent, names its file, and is not shown', async () => {
    webui.revoke();
    const error = await failureOf(perform(failover, input(), make([webui.host])));
    expect(error).toMatchObject({ kind: 'permanent' });
    expect(error.message).toContain('answered 401');
    expect(error.message).not.toContain(webui.tokens[0]);
  });

  it('model.available says whether the primary is there; model.ask whether one answers', async () => {
    webui.models = ['deepseek-chat', 'gemini-pro'];
    webui.mute = ['gemini-pro'];
    const list = { models_url: `${webui.url}/api/models`, primary: 'claude-max', bearer_token_file: tokenFile };
    expect(await perform(available, list, make([webui.host]))).toEqual({
      primary_available: false,
      count: 2,
      models: ['deepseek-chat', 'gemini-pro'],
    });
    const question = {
      chat_url: `${webui.url}/api/chat/completions`,
      model: 'deepseek-chat',
      bearer_token_file: tokenFile,
    };
    expect(await perform(ask, question, make([webui.host]))).toMatchObject({ answered: true, model: 'deepseek-chat' });
    expect(await failureOf(perform(ask, { ...question, model: 'gemini-pro' }, make([webui.host])))).toMatchObject({
      kind: 'retryable',
    });
    webui.override = () => ({ json: { choices: [{ message: { content: '  ' } }] } });
    expect((await failureOf(perform(ask, question, make([webui.host])))).message).toContain('answered without a text');
  });
});

describe('tasks.pause and tasks.resume-subset', () => {
  let service: TaskService;
  beforeEach(async () => {
    service = await startTaskService(5);
    service.failing = true;
  });
  afterEach(() => service.close());
  const input = (more: JsonObject = {}): JsonObject => ({
    tasks_url: `${service.url}/api/v1/tasks`,
    list_url: `${service.url}/api/v1/tasks?run_status=retry_scheduled`,
    ...more,
  });
  const paused = (): readonly string[] => service.tasks.filter(({ status }) => status === 'paused').map(({ id }) => id);
  const all = ['task-1', 'task-2', 'task-3', 'task-4', 'task-5'];

  it('P2: pauses the tasks that the list shows, keeps their ids for undo, and again does nothing more', async () => {
    const result = await pause.run(pause.input.parse(input()), make([service.host]));
    expect(result).toEqual({ outputs: { paused: all, already: [], count: 5 }, undo: { paused: all } });
    expect(paused()).toEqual(all);
    expect(await perform(pause, input(), make([service.host]))).toEqual({ paused: [], already: all, count: 0 });
  });

  it('F31: none, or more than expected, or more than one page, is no effect and permanent', async () => {
    const started = service.asked.length;
    expect((await failureOf(perform(pause, input({ max: 4 }), make([service.host])))).message).toContain(
      'lists 5 tasks, and 4 at most may be touched',
    );
    service.override = () => ({ json: { items: [{ id: 't1', status: 'running' }], next: 'page-2' } });
    expect((await failureOf(perform(pause, input(), make([service.host])))).message).toContain('more than one page');
    service.override = () => ({ json: { items: [] } });
    expect((await failureOf(perform(pause, input(), make([service.host])))).message).toContain('lists no task');
    service.override = () => ({ json: { items: [{ id: '../admin', status: 'running' }] } });
    expect((await failureOf(perform(pause, input(), make([service.host])))).message).toContain('without a usable id');
    service.override = () => ({ json: [] });
    expect((await failureOf(perform(pause, input(), make([service.host])))).message).toContain('has no list at /items');
    expect(service.asked.slice(started).filter(({ method }) => method === 'POST')).toEqual([]);
    for (const none of [{ ids: [] }, {}]) {
      const { list_url: _list, ...rest } = input();
      expect(pause.input.safeParse({ ...rest, ...none }).success).toBe(false);
    }
    expect(resume.input.safeParse({ tasks_url: 'http://x/', ids: [] }).success).toBe(false);
  });

  it('a task that cannot be paused is named, with those that were paused by then', async () => {
    service.stubborn.add('task-3');
    const error = await failureOf(perform(pause, input(), make([service.host])));
    expect(error).toMatchObject({ kind: 'indeterminate', outputs: { paused: ['task-1', 'task-2'], count: 2 } });
    expect(error.message).toContain('pause of task task-3 failed after 2 of 5');
    expect(error.message).toContain('database is locked');
  });

  it('P2: resumes the first few and leaves the others', async () => {
    await perform(pause, input(), make([service.host]));
    service.failing = false;
    const result = await resume.run(
      resume.input.parse({ tasks_url: `${service.url}/api/v1/tasks/`, ids: all, count: 2 }),
      make([service.host]),
    );
    expect(result).toEqual({
      outputs: { resumed: ['task-1', 'task-2'], left: ['task-3', 'task-4', 'task-5'], count: 2 },
      undo: { resumed: ['task-1', 'task-2'] },
    });
    expect(paused()).toEqual(['task-3', 'task-4', 'task-5']);
    expect(
      await perform(pause, { tasks_url: `${service.url}/api/v1/tasks`, ids: ['task-1'] }, make([service.host])),
    ).toMatchObject({ count: 1 });
  });

  it('F54: a pause that gets no answer may have taken effect', async () => {
    service.override = ({ method }) => (method === 'POST' ? 'hang' : null);
    expect(await failureOf(perform(pause, input(), make([service.host], 300)))).toMatchObject({
      kind: 'indeterminate',
      outputs: { paused: [] },
    });
  });
});
