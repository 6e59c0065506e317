/** Retries of transient object store errors, for all stores alike. */
import type { Clock, Random } from '../../base/ports.ts';
import { ObjectStoreError } from '../../base/ports.ts';
import type { ObjectStoreErrorKind } from '../../base/ports.ts';

/** Pause before the first retry; it doubles from there (help of `object_store_retries`). */
const PAUSE_FIRST_MS = 50;
const PAUSE_MAX_MS = 5000;
/** A server's Retry-After is honoured up to this. */
const RETRY_AFTER_MAX_MS = 60_000;

/** Both are read at every use: the config keys are mutable. */
interface StoreLimits {
  /** Config key `object_store_retries`. */
  readonly retries: number;
  /** Config key `object_store_timeout_ms`: longest time without progress. */
  readonly timeoutMs: number;
}

export interface StoreDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: () => StoreLimits;
}

/** A failure that may be tried again whatever its kind says, or not before some time. */
export class AttemptError extends ObjectStoreError {
  /** Milliseconds the server asked us to wait. */
  readonly retryAfterMs: number | undefined;
  /** The request had no effect for certain, so even a conditional put may be sent again. */
  readonly harmless: boolean;

  constructor(
    kind: ObjectStoreErrorKind,
    key: string,
    message: string,
    options: { retryAfterMs?: number | undefined; harmless?: boolean; cause?: unknown } = {},
  ) {
    super(kind, key, message, options.cause);
    this.retryAfterMs = options.retryAfterMs;
    this.harmless = options.harmless ?? false;
  }
}

/**
 * Calls `attempt` until it succeeds, fails for good, or `retries` retries are used up. Pauses
 * double from 50 ms to 5 s, each shortened at random by up to half so that callers spread out;
 * a Retry-After of the server is waited out instead.
 */
export async function withRetries<T>(
  deps: StoreDeps,
  key: string,
  signal: AbortSignal | undefined,
  attempt: () => Promise<T>,
  mayRetry: (error: ObjectStoreError) => boolean = (error) => error.transient,
): Promise<T> {
  for (let failures = 0; ; failures += 1) {
    throwIfAborted(key, signal);
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof ObjectStoreError) || !mayRetry(error)) throw error;
      if (failures >= deps.limits().retries) throw error;
      await pause(deps, key, pauseMs(deps.random, failures, error), signal);
    }
  }
}

function pauseMs(random: Random, failures: number, error: ObjectStoreError): number {
  if (error instanceof AttemptError && error.retryAfterMs !== undefined) {
    return Math.min(error.retryAfterMs, RETRY_AFTER_MAX_MS);
  }
  const full = Math.min(PAUSE_FIRST_MS * 2 ** failures, PAUSE_MAX_MS);
  return full - random.int(Math.floor(full / 2) + 1);
}

/** Sleeps; an abort becomes the error kind ABORTED. */
export async function pause(
  deps: Pick<StoreDeps, 'clock'>,
  key: string,
  ms: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    await deps.clock.sleep(ms, signal);
  } catch (error) {
    throwIfAborted(key, signal);
    throw error;
  }
}

export function abortedError(key: string, signal: AbortSignal): ObjectStoreError {
  return new ObjectStoreError('ABORTED', key, `object store call for '${key}' was aborted`, {
    reason: signal.reason as unknown,
  });
}

export function throwIfAborted(key: string, signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw abortedError(key, signal);
}
