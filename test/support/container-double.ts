// The part of the Docker API that the actions use, over a socket, with containers that only exist in its memory. What
// containers really do is tested on podman; this one can hang.
import { createServer } from 'node:http';
import type { IncomingMessage } from 'node:http';

type Held = { id: string; image: string; running: boolean; status: string; startedAt: string };

export type ContainerDouble = {
  /** `stuck` never gets started; `hanging` hangs when it is told to restart. */
  put(name: string, kind?: 'running' | 'stuck'): string;
  close(): Promise<void>;
};

const bodyOf = async (request: IncomingMessage): Promise<string> => {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
};

export const startContainerDouble = async (socket: string): Promise<ContainerDouble> => {
  const held = new Map<string, Held>();
  let made = 0;
  const shown = (name: string, { id, image, running, status, startedAt }: Held): object => ({
    Id: id,
    Name: `/${name}`,
    Image: image,
    RestartCount: 0,
    State: { Status: status, Running: running, Paused: false, Restarting: false, StartedAt: startedAt, ExitCode: 0 },
    Config: { Image: 'tiny:1', Hostname: id.slice(0, 12) },
    HostConfig: { NetworkMode: 'host', RestartPolicy: { Name: 'no' } },
    NetworkSettings: { Networks: {} },
    Mounts: [],
  });
  const start = (one: Held): void => {
    one.running = true;
    one.status = 'running';
    one.startedAt = new Date().toISOString();
  };
  const stop = (one: Held): void => {
    one.running = false;
    one.status = 'exited';
  };
  const fresh = (image: string): Held => {
    made += 1;
    return { id: made.toString(16).padStart(64, '0'), image, running: false, status: 'created', startedAt: '' };
  };
  const handle = async (request: IncomingMessage): Promise<readonly [number, object | null]> => {
    const url = new URL(request.url ?? '/', 'http://engine');
    const [, what = '', name = '', verb = ''] = url.pathname.split('/');
    if (what === 'images') return [200, { Id: `sha256:${decodeURIComponent(name)}` }];
    if (name === 'create') {
      const { Image: image } = JSON.parse(await bodyOf(request)) as { Image: string };
      const one = fresh(`sha256:${image}`);
      held.set(url.searchParams.get('name') ?? '', one);
      return [201, { Id: one.id }];
    }
    const one = held.get(name);
    if (one === undefined) return [404, { message: `no such container: ${name}` }];
    if (request.method === 'DELETE') held.delete(name);
    else if (verb === 'json') return [200, shown(name, one)];
    else if (verb === 'stop') stop(one);
    else if (verb === 'start') start(one);
    else if (verb === 'restart' && name === 'hanging') return [0, null];
    else if (verb === 'restart') start(one);
    else if (verb === 'rename') {
      held.delete(name);
      held.set(url.searchParams.get('name') ?? '', one);
    }
    return [204, null];
  };
  const server = createServer((request, response) => {
    void (async () => {
      const [status, body] = await handle(request);
      if (status === 0) return;
      response.writeHead(status, { 'Content-Type': 'application/json' });
      response.end(body === null ? undefined : JSON.stringify(body));
    })();
  });
  await new Promise<void>((resolve) => void server.listen(socket, resolve));
  return {
    put(name, kind = 'running') {
      const one = fresh('sha256:tiny:1');
      if (kind === 'running') start(one);
      held.set(name, one);
      return name;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => void server.close(resolve));
    },
  };
};
