// A target that writes down every effect it feels, outside amends: the truth that tests compare amends' record with.
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Effect = { readonly path: string; readonly method: string; readonly body: string; readonly at: number };

export type Ledger = {
  readonly host: string;
  readonly url: string;
  /** Every effect so far, as read from the file. */
  effects(): readonly Effect[];
  /** How the path answers from now on: a status, one that is yet to come, or `hang`. 200 unless said otherwise. */
  answer(path: string, status: number | Promise<number> | 'hang'): void;
  /** Resolves with the next effect on the path. */
  next(path: string): Promise<Effect>;
  close(): Promise<void>;
};

const readBody = async (request: IncomingMessage): Promise<string> => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
};

/** GET is a look and leaves no entry; everything else is an effect. */
export const createLedger = async (file: string): Promise<Ledger> => {
  const answers = new Map<string, number | Promise<number> | 'hang'>();
  const waiting = new Map<string, Array<(effect: Effect) => void>>();
  const server = createServer((request, response) => {
    void (async () => {
      const path = new URL(request.url ?? '/', 'http://ledger').pathname;
      const body = await readBody(request);
      if (request.method !== 'GET') {
        const effect: Effect = { path, method: request.method ?? '', body, at: Date.now() };
        appendFileSync(file, `${JSON.stringify(effect)}\n`, { flush: true });
        for (const tell of waiting.get(path)?.splice(0) ?? []) tell(effect);
      }
      const status = await (answers.get(path) ?? 200);
      if (status === 'hang') return;
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ ok: status < 400 }));
    })();
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    host: `127.0.0.1:${port}`,
    url: `http://127.0.0.1:${port}`,
    effects: () =>
      existsSync(file)
        ? readFileSync(file, 'utf8')
            .split('\n')
            .filter((line) => line !== '')
            .map((line) => JSON.parse(line) as Effect)
        : [],
    answer: (path, status) => void answers.set(path, status),
    next: (path) => new Promise((resolve) => void waiting.set(path, [...(waiting.get(path) ?? []), resolve])),
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => void server.close(() => resolve()));
    },
  };
};
