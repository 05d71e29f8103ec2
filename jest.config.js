// Native ES modules (scripts/test.mjs starts Node with --experimental-vm-modules); swc only strips the types.
// `npm run test:unit` and its like pass a folder as the path pattern.
export default {
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  testEnvironment: 'node',
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: { parser: { syntax: 'typescript' }, target: 'es2023' },
        module: { type: 'es6' },
        sourceMaps: 'inline',
      },
    ],
  },
  reporters: ['default', '<rootDir>/scripts/test-summary.mjs'],
  modulePathIgnorePatterns: ['<rootDir>/dist', '<rootDir>/bundle', '<rootDir>/data/', '<rootDir>/tmp/'],
  // Real servers and a real database: generous, yet a hung test still ends the run.
  testTimeout: 30_000,
  maxWorkers: 2,
};
