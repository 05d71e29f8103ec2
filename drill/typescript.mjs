// Lets a drill use what the tests break things with: TypeScript as it is, and `it` where nobody tests.
import { load as loadTypeScript } from '../torture/typescript.mjs';

const NO_TESTS = `data:text/javascript,${encodeURIComponent(
  'export const it = Object.assign(() => undefined, { skip: () => undefined }); export const describe = it, beforeAll = it, afterAll = it, beforeEach = it, afterEach = it; export const expect = () => { throw new Error("not in a test"); };',
)}`;

export const resolve = (specifier, context, next) =>
  specifier === '@jest/globals' ? { url: NO_TESTS, shortCircuit: true } : next(specifier, context);
export const load = loadTypeScript;
