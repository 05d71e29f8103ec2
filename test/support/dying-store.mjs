// A store, and a place for other moments, at whose n-th call the process kills itself without a word.

/** Calls that change something; the rest cannot tell a crash from its absence. */
const COUNTED = ['receive', 'decide', 'claim', 'changeRun', 'extendRun', 'write'];

/** `fault`: { call: 12, when: 'inside' | 'after' } or null; `inside` is before the commit, `after` is right behind it. */
export const createDeath = (fault) => {
  let calls = 0;
  const die = () => process.kill(process.pid, 'SIGKILL');
  const enter = () => {
    calls += 1;
    if (fault?.call === calls && fault.when === 'inside') die();
    return calls;
  };
  const leave = (call) => {
    if (call > 0 && fault?.call === call) die();
  };
  /** `work` is told to call `enter` at the moment that counts: before its commit, and only if there is one. */
  const counting = async (work) => {
    let call = 0;
    const result = await work(() => {
      if (call === 0) call = enter();
    });
    leave(call);
    return result;
  };
  const special = {
    changeRun: (store) => (runId, lease, now, change) => runChange(store, 'changeRun', [runId, lease, now], change),
    extendRun: (store) => (runId, lease, now, change) => runChange(store, 'extendRun', [runId, lease, now], change),
    claim:
      (store) =>
      (...args) =>
        counting(async (begin) => {
          const result = await store.claim(...args);
          if (result !== null) begin();
          return result;
        }),
    decide: (store) => (requests, now, admit) =>
      counting((begin) =>
        store.decide(requests, now, (wish, history, request) => {
          const admission = admit(wish, history, request);
          begin();
          return admission;
        }),
      ),
  };
  const runChange = (store, name, given, change) =>
    counting((begin) =>
      store[name](...given, (view) => {
        const answer = change(view);
        if (answer !== null && answer.events.length > 0) begin();
        return answer;
      }),
    );
  return {
    enter,
    leave,
    around(store) {
      const wrapped = Object.create(store);
      for (const name of COUNTED)
        wrapped[name] =
          special[name]?.(store) ??
          ((...args) =>
            counting((begin) => {
              begin();
              return store[name](...args);
            }));
      return wrapped;
    },
  };
};
