// Posts without a credential that counts, as many as this machine makes: raw sockets that are kept, each with a bundle of
// requests under way. A process of its own, so that whoever measures beside it is not what is slow. Told `stop`, it says what it was answered.
import { connect } from 'node:net';

const { host, port, body, passwords } = JSON.parse(process.argv[2]);

const [CONNECTIONS, BUNDLE] = [64, 32];
const WRONG = ['', 'Authorization: Bearer wrong-wrong-wrong-wrong-wrong\r\n', 'Authorization: Bearer \r\n'];
/** Passwords are dear to compare, which is what somebody would try. */
const PASSWORD = 'Authorization: Basic YW5uOndyb25n\r\n';
const requestWith = (line, text) =>
  `POST /webhook/alertmanager HTTP/1.1\r\nHost: ${host}:${port}\r\nContent-Type: application/json\r\n${line}Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;

const answers = {};
const count = (name, times = 1) => void (answers[name] = (answers[name] ?? 0) + times);
/** Of the connections, the first ones. */
const WITH_BODY = 16;
const STATUS = /HTTP\/1\.1 (\d{3}) /g;
/** As much of a chunk as may be the beginning of a status line. */
const TAIL = 12;

let on = true;
const lane = (index) => {
  const line = passwords && index < WITH_BODY ? PASSWORD : WRONG[index % WRONG.length];
  // After a refused body amends closes the connection; without one it keeps it, and many can be on their way at once.
  const hasBody = index < WITH_BODY;
  const many = hasBody ? 1 : BUNDLE;
  const bytes = Buffer.from(requestWith(line, hasBody ? body : '').repeat(many));
  const open = () => {
    const socket = connect({ host, port, noDelay: true });
    let waiting = 0;
    let tail = '';
    const send = () => {
      if (!on) return void socket.end();
      waiting += many;
      socket.write(bytes);
    };
    socket.on('connect', send);
    socket.on('data', (chunk) => {
      const text = tail + chunk.toString('latin1');
      let last = 0;
      for (const match of text.matchAll(STATUS)) {
        count(match[1]);
        waiting -= 1;
        last = match.index + match[0].length;
      }
      tail = text.slice(Math.max(last, text.length - TAIL));
      if (waiting === 0) send();
    });
    socket.on('error', ({ code }) => count(code));
    // Who is cut off comes back.
    socket.on('close', () => on && setImmediate(open));
  };
  open();
};
for (let index = 0; index < CONNECTIONS; index += 1) lane(index);

process.on('message', () => {
  on = false;
  process.send({ answers }, () => process.exit(0));
});
process.on('disconnect', () => process.exit(0));
