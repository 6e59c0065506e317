/**
 * Tells backends to stop working for a job, again and again until they have heard it or their
 * lease is over: who does not hear it by then has stopped by himself (DESIGN 4.7, 4.8). Does not
 * wait for whatever else is under way to that backend.
 */
import type { AgentTransport } from '../base/agent_messages.ts';
import type { Config } from '../base/config.ts';
import type { BackendId, JobId } from '../base/ids.ts';
import type { Clock, Log } from '../base/ports.ts';

/** A lost message costs this much of the second within which a cancel takes effect. */
const REPEAT_MS = 250;
/** After that many messages nobody expects an answer any more: fewer of them. */
const FAST_REPEATS = 8;
const SLOW_REPEAT_MS = 2000;
/** An answer that takes longer is as good as lost: the message may be repeated. */
const CALL_TIMEOUT_MS = 5000;

export interface WarmUpStopsDeps {
  readonly transport: AgentTransport;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly epoch: number;
}

export class WarmUpStops {
  readonly #deps: WarmUpStopsDeps;
  readonly #stops = new Set<Stop>();
  #closed = false;

  constructor(deps: WarmUpStopsDeps) {
    this.#deps = deps;
  }

  /** Backends that have not acknowledged yet. */
  get pending(): number {
    return this.#stops.size;
  }

  /** Batches of the job up to `run`. Returns at once. */
  stop(jobId: JobId, run: number, backends: Iterable<BackendId>): void {
    if (this.#closed) return;
    const { clock, config } = this.#deps;
    const deadline = clock.monotonic() + config.get('warm_up_lease_ms');
    for (const backendId of backends) {
      const stop = { jobId, run, backendId, deadline, sent: 0, stopTimer: () => undefined };
      this.#stops.add(stop);
      this.#tell(stop);
    }
  }

  close(): void {
    this.#closed = true;
    for (const stop of this.#stops) this.#end(stop);
  }

  #tell(stop: Stop): void {
    const { transport, clock, log, epoch } = this.#deps;
    const { jobId, run, backendId } = stop;
    if (clock.monotonic() >= stop.deadline) {
      log.warn('a backend did not hear of a stop; its lease is over', { jobId, run, backendId });
      this.#end(stop);
      return;
    }
    stop.sent += 1;
    stop.stopTimer = clock.after(stop.sent < FAST_REPEATS ? REPEAT_MS : SLOW_REPEAT_MS, () => {
      this.#tell(stop);
    });
    transport
      .call(backendId, 'cancelWarmUp', { jobId, run, epoch }, { timeoutMs: CALL_TIMEOUT_MS })
      .then(
        () => {
          this.#end(stop);
        },
        // The next repetition comes by itself.
        () => undefined,
      );
  }

  #end(stop: Stop): void {
    stop.stopTimer();
    this.#stops.delete(stop);
  }
}

interface Stop {
  readonly jobId: JobId;
  readonly run: number;
  readonly backendId: BackendId;
  /** Monotonic. */
  readonly deadline: number;
  sent: number;
  stopTimer: () => void;
}
