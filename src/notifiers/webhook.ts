// One receiver for everything that takes JSON by HTTP.
import { z } from 'zod';
import { defineNotifier } from '../port/notifier.ts';

const LONGEST_MS = 10_000;
const LARGEST_REPLY = 64 * 1024;

const httpUrl = z.url({ protocol: /^https?$/ });
const file = z.string().startsWith('/');

export default defineNotifier({
  summary: 'Posts notifications as JSON to a URL; the header Idempotency-Key is the same on every try.',
  settings: z
    .strictObject({ url: httpUrl.optional(), url_file: file.optional(), bearer_token_file: file.optional() })
    .refine((settings) => (settings.url === undefined) !== (settings.url_file === undefined), {
      message: 'give one of url and url_file',
    }),
  async send(settings, notification, context) {
    // A URL from a file is a secret of its own: many services put the token into the path.
    const url = settings.url ?? (await context.secret(settings.url_file ?? '')).trim();
    if (!httpUrl.safeParse(url).success) throw new Error('the receiver has no http:// or https:// URL in its url_file');
    const token =
      settings.bearer_token_file === undefined ? null : (await context.secret(settings.bearer_token_file)).trim();
    // Loaded with the first notification: it weighs 23 MB.
    const { default: axios } = await import('axios');
    const reply = await axios
      .request({
        method: 'POST',
        url,
        data: JSON.stringify({ version: 1, ...notification }),
        headers: {
          'Content-Type': 'application/json',
          'User-Agent': 'amends',
          'Idempotency-Key': notification.id,
          ...(context.traceparent === undefined ? {} : { traceparent: context.traceparent }),
          ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
        },
        proxy: false,
        maxRedirects: 0,
        maxContentLength: LARGEST_REPLY,
        responseType: 'arraybuffer',
        validateStatus: () => true,
        signal: AbortSignal.any([context.signal, AbortSignal.timeout(LONGEST_MS)]),
      })
      // Axios' own errors carry the whole request, with its secrets.
      .catch((error: NodeJS.ErrnoException) => {
        throw new Error(`the receiver could not be reached (${error.code ?? 'unknown'})`);
      });
    if (reply.status < 200 || reply.status > 299) throw new Error(`the receiver answered ${reply.status}`);
  },
});
