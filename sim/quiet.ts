/**
 * Between two events everything that can go on without time goes on: promise jobs, and the turns
 * of the event loop that long work takes (`setImmediate`). Nothing else may wake product code up:
 * no real timer, no file, no socket is used inside a run.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';

/** More turns in a row are a loop in the code under test. */
const TURNS_MAX = 20_000;

/**
 * Resolves when no promise job and no turn of the event loop is left to do: true. False: somebody
 * takes turns without end.
 */
export async function untilQuiet(): Promise<boolean> {
  for (let turn = 0; turn < TURNS_MAX; turn += 1) {
    await nextTurn();
    if (!process.getActiveResourcesInfo().includes('Immediate')) return true;
  }
  return false;
}

/** Lets this many promise jobs go by: a place in the middle of what an event has started. */
export async function promiseJobs(count: number): Promise<void> {
  for (let job = 0; job < count; job += 1) await Promise.resolve();
}
