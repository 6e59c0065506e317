/**
 * Lives that end at a chosen call: of the resource, the local disk, or agent.db. After it nothing
 * that the life does has any effect, and no answer reaches it.
 */
import type { Clock, ObjectStore } from '../../../base/ports.ts';

export interface CrashPoint {
  /** The n-th call of the life, from 1; 0: it does not crash. */
  readonly call: number;
  /** Whether the call is still carried out: its answer is lost. */
  readonly isDone: boolean;
}

const DB_WRITES = new Set<unknown>([
  'batch',
  'setLead',
  'markBad',
  'replace',
  'beginUpload',
  'endUpload',
]);

export class Life {
  isDead = false;
  calls = 0;
  readonly #point: CrashPoint;
  /** For messages of tests: the call it died at. */
  diedAt = '';

  constructor(point: CrashPoint) {
    this.#point = point;
  }

  kill(at = 'killed'): void {
    if (!this.isDead) this.diedAt = at;
    this.isDead = true;
  }

  /** agent.db: its writes count, its listeners hear nothing any more. */
  guardDb<T extends object>(db: T): T {
    const guarded = this.guard(db, 'db', true, DB_WRITES);
    return new Proxy(guarded, {
      get: (object, property) => {
        const value: unknown = Reflect.get(object, property, object);
        if (property !== 'onChange' || typeof value !== 'function') return value;
        return (listener: (tabletId: unknown) => void): unknown =>
          Reflect.apply(value, object, [
            (tabletId: unknown) => {
              if (!this.isDead) listener(tabletId);
            },
          ]);
      },
    });
  }

  /** An object whose calls count, all or the named ones. */
  guard<T extends object>(
    target: T,
    name: string,
    isSync: boolean,
    counted?: ReadonlySet<unknown>,
  ): T {
    return new Proxy(target, {
      get: (object, property) => {
        const value: unknown = Reflect.get(object, property, object);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]): unknown => {
          const call = (): unknown => Reflect.apply(value, object, args) as unknown;
          if (counted?.has(property) === false) return this.isDead ? this.#gone(isSync) : call();
          return this.#counted(`${name}.${String(property)}`, call, isSync);
        };
      },
    });
  }

  clock(clock: Clock): Clock {
    return {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      sleep: async (ms, signal) => {
        await clock.sleep(ms, signal);
        if (this.isDead) await never();
      },
      after: (ms, fn) =>
        clock.after(ms, () => {
          if (!this.isDead) fn();
        }),
    };
  }

  #counted(name: string, call: () => unknown, isSync: boolean): unknown {
    if (this.isDead) return this.#gone(isSync);
    this.calls += 1;
    if (this.calls !== this.#point.call) return isSync ? call() : this.#untilDead(call());
    if (!this.#point.isDone) {
      this.kill(`before ${name}`);
      return this.#gone(isSync);
    }
    const result = call();
    this.kill(`after ${name}`);
    if (isSync) return this.#gone(true);
    // Carried out, and nobody hears of it.
    if (result instanceof Promise) result.catch(() => undefined);
    else void drain(result);
    return this.#gone(false, result);
  }

  #gone(isSync: boolean, result?: unknown): unknown {
    if (isSync) throw new Error('this life is over');
    return isPages(result) ? emptyForever() : never();
  }

  /** Answers come to the living only. */
  #untilDead(result: unknown): unknown {
    if (!(result instanceof Promise)) return result;
    return result.then(
      async (value: unknown) => (this.isDead ? await never() : value),
      async (error: unknown) => {
        if (this.isDead) await never();
        throw error;
      },
    );
  }
}

export function guardStore(life: Life, store: ObjectStore, name: string): ObjectStore {
  return life.guard(store, name, false);
}

function never(): Promise<never> {
  return new Promise<never>(() => undefined);
}

function isPages(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

async function drain(pages: unknown): Promise<void> {
  if (isPages(pages)) for await (const page of pages) void page;
}

async function* emptyForever(): AsyncGenerator<never> {
  yield await never();
}
