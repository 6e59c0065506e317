/**
 * Request and reply over a `MessagePort` (or a `Worker`, or `parentPort`): how the main thread and
 * the worker threads talk. Errors cross as `WireError`; an aborted call tells the other side; a call
 * without an answer in time rejects with what `lost` makes, whether or not the other side has
 * executed it.
 */
import { noAnswerIn } from './agent_lost.ts';
import { SqlError, type WireError } from './errors.ts';
import type { Clock, Log } from './ports.ts';

/** The part of MessagePort, Worker and parentPort that is needed. */
export interface PortLike {
  postMessage(message: unknown, transfer: readonly ArrayBuffer[]): void;
  on(event: 'message', listener: (message: unknown) => void): unknown;
}

type Frame =
  | { readonly type: 'call'; readonly id: number; readonly name: string; readonly request: unknown }
  | { readonly type: 'cancel'; readonly id: number }
  | { readonly type: 'reply'; readonly id: number; readonly value: unknown }
  | { readonly type: 'error'; readonly id: number; readonly error: WireError };

export type RpcHandler = (name: string, request: unknown, signal: AbortSignal) => Promise<unknown>;

/** A reply whose buffers move to the other side instead of being copied. */
export class Moved {
  readonly value: unknown;
  readonly buffers: readonly ArrayBuffer[];

  constructor(value: unknown, buffers: readonly ArrayBuffer[]) {
    this.value = value;
    this.buffers = buffers;
  }
}

export interface RpcOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

interface Waiting {
  readonly name: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
  readonly settle: () => void;
}

export interface PortRpcDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** What a call rejects with that got no answer; `why` is the end of a sentence about it. */
  readonly lost: (what: string, why: string) => SqlError;
  readonly handler: RpcHandler;
}

const ENDED = 'its thread has ended; it may have been done';

export class PortRpc {
  readonly #port: PortLike;
  readonly #deps: PortRpcDeps;
  readonly #waiting = new Map<number, Waiting>();
  readonly #running = new Map<number, AbortController>();
  #nextId = 1;
  #closed = false;

  constructor(port: PortLike, deps: PortRpcDeps) {
    this.#port = port;
    this.#deps = deps;
    port.on('message', (message) => {
      this.#receive(message as Frame);
    });
  }

  call(name: string, request: unknown, options: RpcOptions): Promise<unknown> {
    const { timeoutMs, signal } = options;
    if (this.#closed) return Promise.reject(this.#deps.lost(name, ENDED));
    if (signal?.aborted === true) return Promise.reject(new SqlError('QUERY_INTERRUPTED'));
    const id = this.#nextId;
    this.#nextId += 1;
    return new Promise((resolve, reject) => {
      const stopTimer = this.#deps.clock.after(timeoutMs, () => {
        this.#cancel(id, this.#deps.lost(name, noAnswerIn(timeoutMs)));
      });
      const onAbort = (): void => {
        this.#cancel(id, new SqlError('QUERY_INTERRUPTED'));
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      const settle = (): void => {
        stopTimer();
        signal?.removeEventListener('abort', onAbort);
        this.#waiting.delete(id);
      };
      this.#waiting.set(id, { name, resolve, reject, settle });
      this.#send({ type: 'call', id, name, request });
    });
  }

  /** Rejects what waits for an answer and aborts what runs here; later calls reject at once. */
  close(): void {
    this.#closed = true;
    for (const [, waiting] of this.#waiting) {
      waiting.settle();
      waiting.reject(this.#deps.lost(waiting.name, ENDED));
    }
    for (const controller of this.#running.values()) controller.abort();
  }

  #cancel(id: number, error: SqlError): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    waiting.settle();
    this.#send({ type: 'cancel', id });
    waiting.reject(error);
  }

  #send(frame: Frame, buffers: readonly ArrayBuffer[] = []): void {
    if (!this.#closed) this.#port.postMessage(frame, buffers);
  }

  #receive(frame: Frame): void {
    switch (frame.type) {
      case 'call': {
        const controller = new AbortController();
        this.#running.set(frame.id, controller);
        // Node hands over up to a thousand messages before the thread's timers and disk get their
        // turn. Work that is done at once would go on as long as the other side asks for more: a
        // backend of busy readers sent no heartbeat and ended no load.
        setImmediate(() => {
          void this.#serve(frame.id, frame.name, frame.request, controller);
        });
        return;
      }
      case 'cancel':
        this.#running.get(frame.id)?.abort();
        return;
      case 'reply':
      case 'error': {
        const waiting = this.#waiting.get(frame.id);
        if (waiting === undefined) return;
        waiting.settle();
        if (frame.type === 'reply') waiting.resolve(frame.value);
        else waiting.reject(SqlError.fromWire(frame.error));
        return;
      }
    }
  }

  async #serve(
    id: number,
    name: string,
    request: unknown,
    controller: AbortController,
  ): Promise<void> {
    try {
      const value = await this.#deps.handler(name, request, controller.signal);
      if (value instanceof Moved)
        this.#send({ type: 'reply', id, value: value.value }, value.buffers);
      else this.#send({ type: 'reply', id, value });
    } catch (error) {
      this.#send({ type: 'error', id, error: this.#toWire(name, error) });
    } finally {
      this.#running.delete(id);
    }
  }

  #toWire(name: string, error: unknown): WireError {
    if (error instanceof SqlError) return error.toWire();
    const stack = error instanceof Error ? error.stack : String(error);
    const id = `${name}-${Math.floor(this.#deps.clock.now()).toString(36)}`;
    this.#deps.log.error('unexpected error in a call', { id, name, stack });
    return new SqlError('INTERNAL', { id }).toWire();
  }
}
