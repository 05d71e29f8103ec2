// What may stand at an address in place of the server that an action expects: nobody, somebody who never says a word, who
// drips, who never ends, or who does not let it in. Each speaks the protocol as far as it goes.
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import type { Json, JsonObject } from '../../../src/base/json.ts';

export const PEERS = ['closed', 'silent', 'dripping', 'endless', 'refusing'] as const;
export type Peer = (typeof PEERS)[number];
type Protocol = 'http' | 'redis' | 'postgres' | 'ssh';

export type BadPeers = {
  /** The same input with the peer at each address in it, and where that is; null when there is no address in it. */
  at(peer: Peer, input: JsonObject): Promise<{ readonly input: JsonObject; readonly places: readonly string[] } | null>;
  stop(): Promise<void>;
};

const DRIP_MS = 20;

/** An ErrorResponse of PostgreSQL: severity, code, message. */
const postgresRefusal = (): Buffer => {
  const fields = Buffer.from('SFATAL\0C28P01\0Mpassword authentication failed for user "shop"\0\0');
  const length = Buffer.alloc(4);
  length.writeInt32BE(fields.length + 4);
  return Buffer.concat([Buffer.from('E'), length, fields]);
};
const REFUSALS: Readonly<Record<Exclude<Protocol, 'ssh'>, Buffer>> = {
  http: Buffer.from(
    'HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: 27\r\nConnection: close\r\n\r\n{"message": "who are you?"}',
  ),
  redis: Buffer.from('-WRONGPASS invalid username-password pair or user is disabled.\r\n'),
  postgres: postgresRefusal(),
};
/** How an answer begins that never ends. */
const BEGINNINGS: Readonly<Record<Protocol, Buffer>> = {
  http: Buffer.from('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n['),
  redis: Buffer.from('$500000000\r\n'),
  postgres: Buffer.from([0x52, 0x1f, 0xff, 0xff, 0xff]),
  ssh: Buffer.from('welcome\r\n'),
};

export const createBadPeers = (folder: string): BadPeers => {
  const stops: Array<() => void> = [];
  const started = new Map<string, Promise<number | string>>();

  const listen = async (server: Server, path: string | null): Promise<number | string> => {
    await new Promise<void>((resolve) => {
      if (path === null) server.listen(0, '127.0.0.1', resolve);
      else server.listen(path, resolve);
    });
    return path ?? (server.address() as AddressInfo).port;
  };
  const serve = (protocol: Protocol, peer: Peer, path: string | null): Promise<number | string> => {
    if (protocol === 'ssh' && peer === 'refusing') return refusingSsh();
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      const every = (ms: number, bytes: number): void => {
        socket.write(BEGINNINGS[protocol]);
        // An SSH client reads lines until one of them is the server's name of itself.
        const piece = Buffer.alloc(bytes, protocol === 'ssh' ? 'x\r\n' : ' ');
        const timer = setInterval(() => {
          if (socket.writableLength < 1_000_000) socket.write(piece);
        }, ms);
        socket.on('close', () => clearInterval(timer));
        stops.push(() => clearInterval(timer));
      };
      if (peer === 'dripping') every(DRIP_MS, 3);
      if (peer === 'endless') every(1, 65_536);
      if (peer === 'refusing' && protocol !== 'ssh') {
        socket.on('data', () => {
          socket.write(REFUSALS[protocol]);
          if (protocol !== 'redis') socket.end();
        });
      } else socket.resume();
    });
    stops.push(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    return listen(server, path);
  };
  const refusingSsh = async (): Promise<number> => {
    const host = ssh2.utils.generateKeyPairSync('ed25519');
    const server = new ssh2.Server({ hostKeys: [host.private] }, (client) => {
      client.on('error', () => undefined);
      client.on('authentication', (context) => context.reject());
    });
    stops.push(() => server.close());
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', () => resolve()));
    return (server.address() as AddressInfo).port;
  };
  const closedPort = async (): Promise<number> => {
    const server = createServer();
    const port = await listen(server, null);
    await new Promise((resolve) => void server.close(resolve));
    return port as number;
  };
  const placeOf = (protocol: Protocol, peer: Peer, socket: boolean): Promise<number | string> => {
    const key = `${protocol}-${peer}-${socket ? 'socket' : 'port'}`;
    const path = socket ? join(folder, `${peer}.sock`) : null;
    const known = started.get(key);
    if (known !== undefined) return known;
    const made =
      peer === 'closed' ? (path === null ? closedPort() : Promise.resolve(path)) : serve(protocol, peer, path);
    started.set(key, made);
    return made;
  };

  return {
    async at(peer, input) {
      const places: string[] = [];
      const put = async (protocol: Protocol): Promise<string> => {
        const place = `127.0.0.1:${await placeOf(protocol, peer, false)}`;
        places.push(place);
        return place;
      };
      const text = async (value: string): Promise<string> => {
        const [, scheme, user = '', rest = ''] =
          /^(https?|redis|postgres):\/\/([^/@]*@)?127\.0\.0\.1:\d+(.*)$/s.exec(value) ?? [];
        if (scheme === undefined) return value;
        return `${scheme}://${user}${await put(scheme.startsWith('http') ? 'http' : (scheme as Protocol))}${rest}`;
      };
      const rewritten = async (value: Json): Promise<Json> => {
        if (typeof value === 'string') return text(value);
        if (Array.isArray(value)) return Promise.all(value.map(rewritten));
        if (typeof value !== 'object' || value === null) return value;
        const entries = await Promise.all(
          Object.entries(value).map(async ([name, member]) => [name, await rewritten(member)] as const),
        );
        const object: Record<string, Json> = Object.fromEntries(entries);
        if (object['host'] === '127.0.0.1' && typeof object['port'] === 'number') {
          object['port'] = Number((await put('ssh')).split(':')[1]);
        }
        if (typeof object['socket'] === 'string') {
          object['socket'] = String(await placeOf('http', peer, true));
          places.push(object['socket']);
        }
        return object;
      };
      const changed = (await rewritten(input)) as JsonObject;
      return places.length === 0 ? null : { input: changed, places };
    },
    async stop() {
      for (const stop of stops.splice(0)) stop();
    },
  };
};
