// Everything on a list has to pass; nothing on it passes by being left out.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import validate from '../../../src/actions/validation/run.ts';
import { createContexts, failureOf, perform } from '../../support/action-context.ts';
import type { TestContext } from '../../support/action-context.ts';
import { startBreakerApp } from '../../support/breaker-app.ts';
import type { BreakerApp } from '../../support/breaker-app.ts';

const contexts = createContexts();
let app: BreakerApp;
beforeAll(async () => {
  app = await startBreakerApp();
});
afterAll(async () => {
  await app.close();
  await contexts.stop();
});
const make = (timeout = 10_000): TestContext =>
  contexts.make({
    allow: { hosts: [app.host], commands: ['/bin/true', '/bin/false', '/bin/echo', '/bin/sleep', '/bin/not-there'] },
    timeout,
  });

describe('validation.run', () => {
  it('P6: passes when every command and every address does, and keeps what each said', async () => {
    const outputs = await perform(
      validate,
      {
        commands: [
          { name: 'lint', argv: ['/bin/true'] },
          { name: 'tests', argv: ['/bin/echo', '42 passed'] },
        ],
        endpoints: [
          { url: `${app.url}/health`, pointer: '/status', equals: 'healthy' },
          { url: `${app.url}/gone`, status: 404 },
        ],
      },
      make(),
    );
    expect(outputs).toMatchObject({ passed: 4, failed: [] });
    expect(outputs['results']).toContainEqual({ name: 'tests', passed: true, said: '42 passed' });
  });

  it('P6: one that does not pass makes all of it fail, by name, and the others are tried all the same', async () => {
    const error = await failureOf(
      perform(
        validate,
        {
          commands: [
            { name: 'lint', argv: ['/bin/false'] },
            { name: 'tests', argv: ['/bin/true'] },
            { name: 'missing', argv: ['/bin/not-there'] },
          ],
          endpoints: [{ url: `${app.url}/gone` }, { url: `${app.url}/health`, pointer: '/status', equals: 'degraded' }],
        },
        make(),
      ),
    );
    expect(error.outputs).toMatchObject({
      passed: 1,
      failed: [`GET ${app.url}/gone`, `GET ${app.url}/health`, 'lint', 'missing'],
    });
    expect(error.message).toContain('4 of 5 did not pass');
    expect(JSON.stringify(error.outputs)).toContain('/bin/not-there was not started');
  });

  it('P6 F31: a command that is not declared is a slip of the list, and nothing of it is run', async () => {
    const context = make();
    const commands = [
      { name: 'lint', argv: ['/bin/true'] },
      { name: 'stray', argv: ['/bin/not-declared'] },
    ];
    expect(await failureOf(perform(validate, { commands }, context))).toMatchObject({
      kind: 'permanent',
      message: expect.stringContaining('the command /bin/not-declared is not allowed'),
    });
    expect(context.beganCount()).toBe(0);
  });

  it('P6 F31: an empty list passes nothing', () => {
    for (const empty of [{}, { commands: [], endpoints: [] }])
      expect(validate.input.safeParse(empty).success).toBe(false);
  });

  it('P6: a command that does not end fails at its own limit, and the next is still run', async () => {
    const start = performance.now();
    const error = await failureOf(
      perform(
        validate,
        {
          commands: [
            { name: 'hangs', argv: ['/bin/sleep', '60'] },
            { name: 'last', argv: ['/bin/true'] },
          ],
          command_timeout: '500ms',
        },
        make(),
      ),
    );
    expect(error.outputs).toMatchObject({ passed: 1, failed: ['hangs'] });
    expect(performance.now() - start).toBeLessThan(3_000);
  });
});
