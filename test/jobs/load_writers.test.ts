/** Loads end with the life of the backend that began them. */
import { expect, it } from '@jest/globals';
import type { Heartbeat } from '../../base/agent_messages.ts';
import { Config } from '../../base/config.ts';
import { type BackendId, type TxnId, id } from '../../base/ids.ts';
import { BackendRegistry } from '../../jobs/backend_registry.ts';
import { LoadWriters } from '../../jobs/load_writers.ts';
import { ManualClock } from '../manual_clock.ts';

const BACKEND = id<BackendId>(7);
const [FIRST, SECOND, THIRD] = [1, 2, 3].map((n) => id<TxnId>(n)) as [TxnId, TxnId, TxnId];

it('names the loads of an earlier life once, and no others', () => {
  const clock = new ManualClock();
  const registry = new BackendRegistry(clock, new Config());
  const writers = new LoadWriters(registry);
  const life = (incarnation: string): void => {
    registry.heartbeat({ backendId: BACKEND, incarnation } as Heartbeat);
  };
  life('a');
  writers.begun(FIRST, BACKEND);
  writers.begun(SECOND, BACKEND);
  writers.ended(SECOND);
  expect(writers.lost()).toEqual([]);
  clock.advance(3_600_000);
  expect(registry.isAlive(BACKEND)).toBe(false);
  expect(writers.lost()).toEqual([]);
  life('b');
  writers.begun(THIRD, BACKEND);
  expect(writers.lost()).toEqual([FIRST]);
  expect(writers.lost()).toEqual([]);
  registry.forget(BACKEND);
  expect(writers.lost()).toEqual([]);
  life('c');
  expect(writers.lost()).toEqual([THIRD]);
});
