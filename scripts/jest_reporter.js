/**
 * A small Jest reporter: one line per test file, failures in full, the reasons of skipped tests,
 * and last the plain line `N passed, N failed[, N skipped]` that CI reads.
 */
export default class Reporter {
  onTestResult(_test, result) {
    const { numPassingTests: passed, numFailingTests: failed, numPendingTests: skipped } = result;
    const seconds = ((result.perfStats.end - result.perfStats.start) / 1000).toFixed(1);
    const name = result.testFilePath.replace(`${process.cwd()}/`, '');
    const broken = result.testExecError !== undefined && result.testExecError !== null;
    const mark = failed > 0 || broken ? 'FAIL' : 'ok  ';
    const skips = skipped > 0 ? `, ${skipped} skipped` : '';
    console.log(`${mark} ${name} (${passed} passed, ${failed} failed${skips}, ${seconds} s)`);
    if (result.failureMessage) console.log(result.failureMessage);
  }

  onRunComplete(_contexts, results) {
    for (const suite of results.testResults) {
      for (const test of suite.testResults) {
        if (test.status === 'pending') console.log(`skipped: ${test.fullName}`);
      }
    }
    const failed = results.numFailedTests + results.numRuntimeErrorTestSuites;
    const skipped = results.numPendingTests > 0 ? `, ${results.numPendingTests} skipped` : '';
    console.log(`${results.numPassedTests} passed, ${failed} failed${skipped}`);
  }
}
