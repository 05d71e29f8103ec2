// The k-th call of node:fs that touches certain files fails, whoever in this process makes it: the module's functions are
// exchanged, and every `import { openSync } from 'node:fs'` sees the new ones.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const BY_PATH =
  'openSync readFileSync writeFileSync appendFileSync renameSync linkSync unlinkSync rmSync mkdirSync statSync lstatSync readdirSync copyFileSync statfsSync realpathSync chmodSync chownSync'.split(
    ' ',
  );
const BY_DESCRIPTOR = 'readSync writeSync fsyncSync fdatasyncSync ftruncateSync fstatSync fchmodSync fchownSync'.split(
  ' ',
);
const PROMISED = 'open readFile writeFile readdir stat lstat mkdir rename unlink rm copyFile statfs realpath'.split(
  ' ',
);
const OF_HANDLES = 'read write readFile writeFile sync datasync stat truncate'.split(' ');

const failure = (code, call) =>
  Object.assign(new Error(`${code}: made to fail, ${call}`), { code, syscall: call, errno: -5 });

/** `touches(path)` says which files count; `fault` is { k, code, came }, and `calm` while nothing counts. Resolves to what `work` does; the functions are the real ones again then. */
export const withFailingFiles = async (touches, fault, work) => {
  const real = new Map();
  const descriptors = new Set();
  let calls = 0;
  /** Node's own functions call each other: only the outermost counts. */
  let inside = 0;
  const count = (call) => {
    if (fault.calm === true) return;
    calls += 1;
    if (calls !== fault.k) return;
    fault.came = call;
    throw failure(fault.code, call);
  };
  const counted = (path) => (typeof path === 'string' || Buffer.isBuffer(path)) && touches(String(path));
  const within = (step) => {
    inside += 1;
    try {
      return step();
    } finally {
      inside -= 1;
    }
  };
  const exchange = (owner, name, make) => {
    const original = owner[name];
    real.set([owner, name], original);
    owner[name] = make(original);
  };
  for (const name of BY_PATH)
    exchange(fs, name, (original) =>
      Object.assign((path, ...rest) => {
        const mine = inside === 0 && counted(path);
        if (mine) count(`${name} ${path}`);
        const result = within(() => original(path, ...rest));
        if (mine && name === 'openSync') descriptors.add(result);
        return result;
      }, original),
    );
  for (const name of BY_DESCRIPTOR)
    exchange(fs, name, (original) => (descriptor, ...rest) => {
      if (inside === 0 && descriptors.has(descriptor)) count(name);
      return within(() => original(descriptor, ...rest));
    });
  exchange(fs, 'closeSync', (original) => (descriptor) => {
    descriptors.delete(descriptor);
    return original(descriptor);
  });
  for (const name of PROMISED)
    exchange(fs.promises, name, (original) => async (path, ...rest) => {
      const mine = counted(path);
      if (mine) count(`promises.${name} ${path}`);
      const result = await original(path, ...rest);
      if (!mine || name !== 'open') return result;
      for (const method of OF_HANDLES) {
        const own = result[method];
        result[method] = async (...given) => {
          count(`handle.${method} ${path}`);
          return own.apply(result, given);
        };
      }
      return result;
    });
  syncBuiltinESMExports();
  try {
    return await work();
  } finally {
    for (const [[owner, name], original] of real) owner[name] = original;
    syncBuiltinESMExports();
  }
};
