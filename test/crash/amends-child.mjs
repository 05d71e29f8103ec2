// amends as it is built, in a process of its own that kills itself without a word at one call of its store.
// argv: settings as JSON, and the call: { call: 12, when: 'inside' | 'after' } or null.
import { createApp } from '../../dist/app.js';

const settings = JSON.parse(process.argv[2]);
const fault = JSON.parse(process.argv[3] ?? 'null');
const die = () => process.kill(process.pid, 'SIGKILL');
const COUNTED = ['receive', 'decide', 'claim', 'changeRun', 'extendRun', 'write'];

let calls = 0;
/** `inside` is before the commit, `after` is right behind it. Calls that change nothing are not counted. */
const around = (store) => {
  const wrapped = Object.create(store);
  for (const name of COUNTED) {
    wrapped[name] = async (...args) => {
      let mine = 0;
      const enter = () => {
        calls += 1;
        mine = calls;
        if (fault?.call === mine && fault.when === 'inside') die();
      };
      if (name === 'changeRun' || name === 'extendRun') {
        const [runId, lease, now, change] = args;
        const result = await store[name](runId, lease, now, (view) => {
          const answer = change(view);
          if (answer !== null && answer.events.length > 0) enter();
          return answer;
        });
        if (mine > 0 && fault?.call === mine) die();
        return result;
      }
      if (name === 'claim') {
        const result = await store.claim(...args);
        if (result !== null) {
          enter();
          if (fault?.call === mine) die();
        }
        return result;
      }
      if (name === 'decide') {
        const [requests, now, admit] = args;
        let entered = false;
        const result = await store.decide(requests, now, (wish, history, request) => {
          const admission = admit(wish, history, request);
          if (!entered) {
            entered = true;
            enter();
          }
          return admission;
        });
        if (mine > 0 && fault?.call === mine) die();
        return result;
      }
      enter();
      const result = await store[name](...args);
      if (fault?.call === mine) die();
      return result;
    };
  }
  return wrapped;
};

const app = await createApp(settings, { aroundStore: around });
if (!app.ok) {
  process.stderr.write(`${JSON.stringify(app.problems)}\n`);
  process.exit(app.exitCode ?? 1);
}
const { url } = await app.value.start();
process.stdout.write(`${JSON.stringify({ url })}\n`);
process.on('SIGTERM', () => void app.value.stop(5_000).then(() => process.exit(0)));
