// What every action owes to those who use it, whoever wrote it: found by the loader, so that a new one is held to it too.
import { afterAll, afterEach, describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import { ActionError } from '../../../src/base/failure.ts';
import { createContexts, eventually, perform } from '../../support/action-context.ts';
import { itWith } from '../../support/requires.ts';
import { NEEDS, actionOf, actions, createCases } from './cases.ts';

const contexts = createContexts();
const samples = await createCases(contexts);
const { cases } = samples;
afterEach(() => samples.settle());
afterAll(async () => {
  await samples.stop();
  await contexts.stop();
});

it('every action has a case here, and every case its action', () => {
  expect([...actions.keys()].toSorted()).toEqual([...new Set(Object.keys(cases).map(actionOf))].toSorted());
});

describe.each(Object.entries(cases))('%s', (title, given) => {
  const name = actionOf(title);
  const action = actions.get(name);
  if (action === undefined) return;
  const needed = NEEDS[name.split('.')[0] ?? ''];
  const itOnServer = needed === undefined ? it : itWith(needed);

  it('says what it is: summary, effect, outputs, undo, time limit, and a schema that editors understand', () => {
    expect(name).toMatch(/^[a-z][a-z0-9-]*\.[a-z][a-z0-9-]*$/);
    expect(action.summary).toMatch(/^[A-Z].{10,200}\.$/);
    expect(['read', 'change', 'destroy']).toContain(action.effect);
    expect(action.undo.length).toBeGreaterThan(10);
    expect(action.defaultTimeout).toBeGreaterThanOrEqual(1_000);
    for (const [output, meaning] of Object.entries(action.outputs))
      expect([output, meaning]).toEqual([expect.stringMatching(/^[a-z][a-z0-9_]*$/), expect.stringMatching(/.{5,}/)]);
    expect(z.toJSONSchema(action.input, { io: 'input' })).toMatchObject({
      type: 'object',
      additionalProperties: false,
    });
  });

  itOnServer('refuses input of the wrong type, with a member missing, or with one it does not know', async () => {
    const good = await given.good();
    expect(action.input.safeParse(good).success).toBe(true);
    const members = Object.keys((z.toJSONSchema(action.input, { io: 'input' }) as { properties: object }).properties);
    for (const member of Object.keys(good)) {
      const { [member]: _left, ...rest } = good;
      if (member !== 'backups' || name !== 'sqlite.check')
        expect([member, action.input.safeParse(rest).success]).toEqual([member, false]);
    }
    for (const member of members) {
      // `json` of a request is any JSON.
      const wrong =
        member === 'json' ? [Number.NaN, () => 1] : [null, Number.NaN, [[]], { wrong: {} }, Symbol('wrong')];
      for (const value of wrong)
        expect([member, action.input.safeParse({ ...good, [member]: value }).success]).toEqual([member, false]);
    }
    expect(action.input.safeParse({ ...good, no_such_member: 1 }).success).toBe(false);
    for (const value of [null, undefined, 'text', 1, [], [good]])
      expect(action.input.safeParse(value).success).toBe(false);
  });

  itOnServer('succeeds with the outputs it declares, no more and no less, small enough to keep', async () => {
    const context = contexts.make({ allow: samples.allow() });
    const outputs = await perform(action, await given.good(), context);
    expect(Object.keys(outputs).toSorted()).toEqual(Object.keys(action.outputs).toSorted());
    expect(JSON.stringify(outputs).length).toBeLessThan(64 * 1024);
    expect(JSON.parse(JSON.stringify(outputs))).toEqual(outputs);
    if (action.effect !== 'read') expect(context.beganCount()).toBeGreaterThan(0);
  });

  itOnServer('F51: does nothing when it is called off before it starts', async () => {
    const input = action.input.parse(await given.good());
    const context = contexts.make({ allow: samples.allow() });
    context.abort();
    const start = context.clock.monotonic();
    await expect(action.run(input, context)).rejects.toThrow('called off');
    expect(context.clock.monotonic() - start).toBeLessThan(1_000);
    expect(context.beganCount()).toBe(0);
    expect(context.requests).toEqual([]);
  });

  if (given.long !== undefined) {
    const { long } = given;
    itOnServer('F51: ends within a second of being called off, and says that it failed', async () => {
      const input = action.input.parse(await long());
      const context = contexts.make({ allow: samples.allow() });
      const failed = action.run(input, context).then(
        () => null,
        (error: unknown) => error,
      );
      if (action.effect !== 'read') await eventually(() => context.beganCount() > 0 && (given.isAtIt?.() ?? true));
      await context.clock.sleep(100);
      const start = context.clock.monotonic();
      // As the engine does it at the step's time limit.
      context.abort(new ActionError('retryable', 'time is up'));
      const error = await failed;
      expect(error).toBeInstanceOf(Error);
      // With an effect begun, nobody may claim that nothing happened.
      if (action.effect !== 'read' && error instanceof ActionError) expect(error.kind).toBe('indeterminate');
      expect(context.clock.monotonic() - start).toBeLessThan(1_000);
    });
  }
});
