import { setImmediate as nextTurn } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from '@jest/globals';
import { Config } from '../../base/config.ts';
import { type BackendId, id } from '../../base/ids.ts';
import { BackendRegistry } from '../../jobs/backend_registry.ts';
import { untilStarted } from '../../jobs/starting_backends.ts';
import { ManualClock } from '../manual_clock.ts';
import { heartbeatOf } from './heartbeat.ts';

const BACKEND = id<BackendId>(7);
/** Silence after which a backend is dead, by the configuration below. */
const SILENCE_MS = 600;

let clock: ManualClock;
let registry: BackendRegistry;
let isOver: boolean;

beforeEach(() => {
  clock = new ManualClock();
  const config = new Config({
    heartbeat_interval_ms: '200',
    max_backend_heartbeat_failure_tolerance_count: '3',
  });
  registry = new BackendRegistry(clock, config);
  isOver = false;
});

async function pass(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 50) {
    clock.advance(50);
    await nextTurn();
  }
}

function wait(): void {
  const isAlive = (): boolean => registry.isAlive(BACKEND);
  void untilStarted({ registry, clock }, [BACKEND], isAlive).then(() => {
    isOver = true;
  });
}

describe('who needs a backend that was not heard of', () => {
  it('waits for its first heartbeat', async () => {
    wait();
    await pass(200);
    expect(isOver).toBe(false);
    registry.heartbeat(heartbeatOf(BACKEND));
    await pass(100);
    expect(isOver).toBe(true);
  });

  it('waits no longer than it takes to be dead', async () => {
    wait();
    await pass(SILENCE_MS + 100);
    expect(isOver).toBe(true);
  });

  it('waits longer for one that is being started, on a slow machine', async () => {
    const hasStarted = registry.starting(BACKEND);
    wait();
    await pass(5 * SILENCE_MS);
    expect(isOver).toBe(false);
    hasStarted();
    await pass(100);
    expect(isOver).toBe(true);
  });

  it('waits ten seconds at most', async () => {
    registry.starting(BACKEND);
    wait();
    await pass(10_100);
    expect(isOver).toBe(true);
  });

  it('waits for one that has died and is started again', async () => {
    registry.heartbeat(heartbeatOf(BACKEND));
    await pass(2 * SILENCE_MS);
    expect(registry.mayBeStarting(BACKEND)).toBe(false);
    registry.starting(BACKEND);
    expect(registry.mayBeStarting(BACKEND)).toBe(true);
    registry.heartbeat(heartbeatOf(BACKEND));
    expect(registry.mayBeStarting(BACKEND)).toBe(false);
  });
});
