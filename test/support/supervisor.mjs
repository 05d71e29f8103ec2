// A small real supervisor: `serve <socket> <command...>` keeps a command running and counts how often it had to start it
// again; `status|start|stop|restart <socket>` asks it, as supervisorctl would.
import { spawn } from 'node:child_process';
import { createConnection, createServer } from 'node:net';

const [, , verb, socket, ...command] = process.argv;

const serve = () => {
  let child = null;
  let wanted = false;
  let restarts = 0;
  const start = () => {
    wanted = true;
    if (child !== null) return;
    const mine = spawn(command[0], command.slice(1), { stdio: 'ignore', detached: true });
    child = mine;
    mine.once('error', () => undefined);
    mine.once('exit', () => {
      child = null;
      if (!wanted) return;
      restarts += 1;
      setTimeout(() => wanted && start(), 50);
    });
  };
  const stop = () =>
    new Promise((resolve) => {
      wanted = false;
      if (child === null) {
        resolve();
        return;
      }
      const late = setTimeout(() => child?.kill('SIGKILL'), 2_000);
      child.once('exit', () => {
        clearTimeout(late);
        resolve();
      });
      child.kill('SIGTERM');
    });
  const answer = async (asked) => {
    if (asked === 'start') start();
    if (asked === 'stop') await stop();
    if (asked === 'restart') {
      await stop();
      start();
    }
    if (asked === 'shutdown') {
      await stop();
      setTimeout(() => process.exit(0), 10);
    }
    const state = child === null ? 'STOPPED' : `RUNNING pid ${child.pid},`;
    return { code: asked === 'status' && child === null ? 3 : 0, text: `service ${state} restarts ${restarts}` };
  };
  createServer((connection) => {
    connection.on('error', () => undefined);
    connection.once('data', (asked) => void answer(String(asked)).then((said) => connection.end(JSON.stringify(said))));
  }).listen(socket, () => process.send?.('ready'));
  start();
};

const ask = () => {
  let text = '';
  const connection = createConnection(socket, () => connection.write(verb));
  connection.on('data', (chunk) => (text += chunk));
  connection.on('error', (error) => {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 4;
  });
  connection.on('end', () => {
    const said = JSON.parse(text);
    process.stdout.write(`${said.text}\n`);
    process.exitCode = said.code;
  });
};

if (verb === 'serve') serve();
else ask();
