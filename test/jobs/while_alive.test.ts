import { describe, expect, it } from '@jest/globals';
import { id } from '../../base/ids.ts';
import type { BackendId } from '../../base/ids.ts';
import { whileAlive } from '../../jobs/while_alive.ts';
import { ManualClock } from '../manual_clock.ts';

const BACKEND = id<BackendId>(7);

function world() {
  const clock = new ManualClock();
  const dead = new Set<number>();
  const registry = { isAlive: (backendId: BackendId) => !dead.has(backendId) };
  return { deps: { clock, registry }, clock, dead };
}

const never = new AbortController().signal;

describe('a call while its backend is alive', () => {
  it('answers what the backend answers, however late', async () => {
    const { deps, clock } = world();
    const answer = Promise.withResolvers<string>();
    const call = whileAlive(deps, BACKEND, 'load', never, () => answer.promise);
    clock.advance(1_000_000);
    answer.resolve('done');
    expect(await call).toBe('done');
    const failure = whileAlive(deps, BACKEND, 'load', never, () =>
      Promise.reject(new Error('no room')),
    );
    await expect(failure).rejects.toThrow('no room');
  });

  it('ends when the backend dies, and tells the call', async () => {
    const { deps, clock, dead } = world();
    let signal: AbortSignal | undefined;
    const call = whileAlive(deps, BACKEND, 'load', never, (ends) => {
      signal = ends;
      return new Promise<never>(() => undefined);
    });
    clock.advance(2000);
    expect(signal?.aborted).toBe(false);
    dead.add(BACKEND);
    clock.advance(500);
    await expect(call).rejects.toMatchObject({
      code: 'AGENT_LOST',
      args: { backend: 7, what: 'load', why: 'it was found dead after 2500 ms' },
    });
    expect(signal?.aborted).toBe(true);
  });

  it('aborts with the statement', () => {
    const { deps } = world();
    const statement = new AbortController();
    let signal: AbortSignal | undefined;
    void whileAlive(deps, BACKEND, 'load', statement.signal, (ends) => {
      signal = ends;
      return new Promise<never>(() => undefined);
    });
    statement.abort();
    expect(signal?.aborted).toBe(true);
  });
});
