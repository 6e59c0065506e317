/**
 * The compactions an agent runs: a repeated request joins the one that runs, and each ends by itself
 * when the server has given it up, so that nothing is written behind the server's back.
 */
import { agentLost } from '../../base/agent_lost.ts';
import type { CompactRequest, CompactReply } from '../../base/agent_messages.ts';
import { SqlError } from '../../base/errors.ts';
import type { BackendId } from '../../base/ids.ts';
import type { Clock } from '../../base/ports.ts';

/** Counters for metrics; bytes of objects. */
export interface CompactionCounts {
  succeeded: number;
  failed: number;
  readBytes: number;
  writtenBytes: number;
}

export interface CompactionsDeps {
  readonly backendId: BackendId;
  readonly clock: Clock;
  readonly run: (request: CompactRequest, signal: AbortSignal) => Promise<CompactReply>;
}

interface Running {
  readonly controller: AbortController;
  readonly reply: Promise<CompactReply>;
}

export class Compactions {
  readonly counts: CompactionCounts = { succeeded: 0, failed: 0, readBytes: 0, writtenBytes: 0 };
  readonly #deps: CompactionsDeps;
  readonly #running = new Map<number, Running>();

  constructor(deps: CompactionsDeps) {
    this.#deps = deps;
  }

  /** Going on now. */
  get running(): number {
    return this.#running.size;
  }

  async compact(request: CompactRequest, signal: AbortSignal): Promise<CompactReply> {
    const known = this.#running.get(request.compactionId);
    if (known !== undefined) return await known.reply;
    const controller = new AbortController();
    const stop = (): void => {
      controller.abort(new SqlError('QUERY_INTERRUPTED'));
    };
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    const { backendId, clock, run } = this.#deps;
    const { timeoutMs } = request;
    const stopTimer = clock.after(timeoutMs, () => {
      controller.abort(agentLost(backendId, 'compact', `it took longer than ${timeoutMs} ms`));
    });
    const reply = run(request, controller.signal);
    this.#running.set(request.compactionId, { controller, reply });
    try {
      const { rowset } = await reply;
      this.counts.succeeded += 1;
      this.counts.readBytes += request.inputs.reduce((sum, input) => sum + input.bytes, 0);
      this.counts.writtenBytes += rowset.bytes;
      return { rowset };
    } catch (error) {
      this.counts.failed += 1;
      throw error;
    } finally {
      stopTimer();
      signal.removeEventListener('abort', stop);
      this.#running.delete(request.compactionId);
    }
  }

  /** The agent ends: nothing more is written. */
  close(): void {
    for (const { controller } of this.#running.values()) {
      controller.abort(new SqlError('SERVER_SHUTDOWN'));
    }
  }
}
