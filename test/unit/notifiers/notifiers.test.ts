import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import log from '../../../src/notifiers/log.ts';
import webhook from '../../../src/notifiers/webhook.ts';
import type { Notification, NotifierContext } from '../../../src/port/notifier.ts';
import { startHttpDouble } from '../../support/http-double.ts';
import type { HttpDouble } from '../../support/http-double.ts';

let server: HttpDouble;
beforeAll(async () => {
  server = await startHttpDouble();
});
afterAll(() => server.close());

const notification: Notification = {
  id: 'n-1',
  at: '2026-01-01T00:00:00.000Z',
  topic: 'escalation',
  severity: 'SEV2',
  component: 'shop-db',
  target: 'orders',
  runId: 'r-1',
  title: 'orders is broken',
  body: 'look',
  url: null,
};
const makeContext = (more: Partial<NotifierContext> = {}): NotifierContext & { readonly lines: string[] } => {
  const lines: string[] = [];
  return {
    lines,
    signal: new AbortController().signal,
    log: (line) => lines.push(line),
    secret: async () => `${server.url}/from-file\n`,
    ...more,
  };
};

describe('the webhook notifier', () => {
  it('posts the notification, with a key that lets the receiver drop repeats', async () => {
    await webhook.send(webhook.settings.parse({ url: `${server.url}/hook` }), notification, makeContext());
    const [seen] = server.seen.slice(-1);
    expect(seen).toMatchObject({
      method: 'POST',
      url: '/hook',
      headers: { 'idempotency-key': 'n-1', 'content-type': 'application/json' },
    });
    expect(JSON.parse(seen?.body ?? '')).toEqual({ version: 1, ...notification });
  });

  it('C12: the URL may come from a file and does not show in errors', async () => {
    await webhook.send(webhook.settings.parse({ url_file: '/run/secrets/oncall' }), notification, makeContext());
    expect(server.seen.at(-1)?.url).toBe('/from-file');
    const failing = webhook.send(
      { url_file: '/x' },
      notification,
      makeContext({ secret: async () => 'http://127.0.0.1:1/top-secret' }),
    );
    await expect(failing).rejects.toThrow(/^(?!.*top-secret).*could not be reached/);
  });

  it.each(['/status/500', '/status/404', '/redirect?to=/hook', '/reset', '/endless'])(
    'F54: %s is no delivery',
    async (path) => {
      const before = server.seen.length;
      await expect(webhook.send({ url: server.url + path }, notification, makeContext())).rejects.toThrow(/receiver/);
      expect(server.seen.length).toBe(before + 1);
    },
  );

  it('F54: called off, it ends', async () => {
    const controller = new AbortController();
    const sending = webhook.send(
      { url: `${server.url}/hang` },
      notification,
      makeContext({ signal: controller.signal }),
    );
    controller.abort(new Error('called off'));
    await expect(sending).rejects.toThrow('could not be reached');
  });

  it('wants exactly one of url and url_file', () => {
    for (const settings of [
      {},
      { url: 'http://a/', url_file: '/b' },
      { url: 'ftp://a/' },
      { url: 'http://a/', more: 1 },
    ])
      expect(webhook.settings.safeParse(settings).success).toBe(false);
  });
});

describe('the log notifier', () => {
  it('writes one line', async () => {
    const context = makeContext();
    await log.send({}, notification, context);
    expect(context.lines).toEqual(['SEV2 | shop-db orders | orders is broken']);
  });
});
