// A Jest reporter: the count alone on the last line, for people and scripts. Under CI=true a skipped test fails the run,
// since there every server is installed and a skip is a test that nobody will miss.
export default class TestSummary {
  #error;
  #selected;

  constructor(globalConfig) {
    // With -t every other test counts as skipped, and is meant to be.
    this.#selected = Boolean(globalConfig.testNamePattern);
  }

  onRunComplete(_contexts, results) {
    // A file that did not even load has no failed test to its name, and must not read as none failed.
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    const skipped = results.numPendingTests + results.numTodoTests;
    if (process.env.CI === 'true' && skipped > 0 && !this.#selected) {
      this.#error = new Error(`${skipped} skipped, which CI=true does not allow`);
    }
    // Jest's own summary comes after every other reporter; only the exit comes later still.
    process.once('exit', () => {
      if (this.#error) process.stderr.write(`\n${this.#error.message}\n`);
      process.stdout.write(`\n${results.numPassedTests} passed, ${failed} failed, ${skipped} skipped\n`);
    });
  }

  /** What Jest asks for its exit code. */
  getLastError() {
    return this.#error;
  }
}
