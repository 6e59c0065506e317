/**
 * One remote backend as the server sees it, from a registration to the next: calls that wait to be
 * fetched, calls that wait for their reply, and the backend's own calls with their outcomes.
 */
import { agentLost, noAnswer } from '../base/agent_lost.ts';
import type { FrontendCallName, FrontendPort } from '../base/agent_messages.ts';
import { SqlError, type WireError } from '../base/errors.ts';
import type { BackendId } from '../base/ids.ts';
import type { Clock, Log } from '../base/ports.ts';
import type { CallRequest, Outcome, ReplyRequest } from '../base/remote_messages.ts';
import { MESSAGE_BYTES_MAX, POLL_MS } from '../base/remote_messages.ts';
import { toWireText } from '../base/wire_json.ts';

/** Frames of one answer together, characters; a longer one goes alone. */
const ANSWER_CHARS_MAX = 8 * 2 ** 20;
/** Of all frames that wait to be fetched, characters. */
const OUTBOX_CHARS_MAX = 2 * MESSAGE_BYTES_MAX;
/** A backend that has no poll open for this long is not there any more, milliseconds. */
const SILENT_MAX_MS = 10_000;
/** Calls of one backend that are served at once, or whose outcomes it has not confirmed. */
const SERVED_MAX = 1000;

interface Waiting {
  readonly name: string;
  readonly settle: (outcome: Outcome | SqlError) => void;
}

interface Frame {
  readonly number: number;
  /** The call that it is, or cancels. */
  readonly call: number;
  readonly text: string;
}

export interface RemoteSessionDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly frontend: FrontendPort;
}

export class RemoteSession {
  readonly backendId: BackendId;
  readonly id: string;
  readonly #deps: RemoteSessionDeps;
  readonly #waiting = new Map<number, Waiting>();
  readonly #served = new Map<number, Promise<Outcome>>();
  #outbox: Frame[] = [];
  #outboxChars = 0;
  #nextNumber = 1;
  #wakePoll: (() => void) | undefined;
  #stopSilence: () => void;
  #closed = false;

  constructor(backendId: BackendId, sessionId: string, deps: RemoteSessionDeps) {
    this.backendId = backendId;
    this.id = sessionId;
    this.#deps = deps;
    this.#stopSilence = this.#watchSilence();
  }

  /** Throws AGENT_LOST, QUERY_INTERRUPTED, or what the backend answered. */
  async call(
    name: string,
    request: unknown,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<unknown> {
    const { timeoutMs, signal } = options;
    if (signal?.aborted === true) throw new SqlError('QUERY_INTERRUPTED');
    const number = this.#push(this.#nextNumber, { kind: 'call', name, request, timeoutMs });
    if (number === undefined) throw this.#lost(name, 'too many calls wait for it, or it left');
    const { promise, resolve } = Promise.withResolvers<Outcome | SqlError>();
    const stopTimer = this.#deps.clock.after(timeoutMs, () => {
      this.#cancel(number, noAnswer(this.backendId, name, timeoutMs));
    });
    const onAbort = (): void => {
      this.#cancel(number, new SqlError('QUERY_INTERRUPTED'));
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#waiting.set(number, { name, settle: resolve });
    const outcome = await promise;
    stopTimer();
    signal?.removeEventListener('abort', onAbort);
    if (outcome instanceof SqlError) throw outcome;
    if ('error' in outcome) throw SqlError.fromWire(outcome.error);
    return outcome.value;
  }

  /** Frames after `seen` as wire texts, at once or when there are some; none after POLL_MS. */
  async poll(seen: number, signal: AbortSignal): Promise<readonly string[]> {
    this.#drop((frame) => frame.number <= seen);
    // A poll that came before was given up by the backend.
    this.#wakePoll?.();
    this.#wakePoll = undefined;
    this.#stopSilence();
    if (this.#outbox.length === 0 && !this.#closed && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<undefined>();
      const wake = (): void => {
        resolve(undefined);
      };
      this.#wakePoll = wake;
      const stopTimer = this.#deps.clock.after(POLL_MS, wake);
      signal.addEventListener('abort', wake, { once: true });
      await promise;
      stopTimer();
      signal.removeEventListener('abort', wake);
      if (this.#wakePoll !== wake) return [];
      this.#wakePoll = undefined;
    }
    this.#stopSilence();
    if (!this.#closed) this.#stopSilence = this.#watchSilence();
    return this.#answer();
  }

  /** The reply to a call; one that nobody waits for any more is not looked at. */
  reply({ call, outcome }: ReplyRequest): void {
    this.#drop((frame) => frame.call === call);
    this.#settle(call, outcome);
  }

  /** What the backend asks; a repeat gets the outcome of the first. */
  async serve(request: CallRequest): Promise<Outcome> {
    for (const number of this.#served.keys()) {
      if (number < request.oldest) this.#served.delete(number);
    }
    const known = this.#served.get(request.number);
    if (known !== undefined) return await known;
    if (this.#served.size >= SERVED_MAX) {
      return { error: tooMany(request.name).toWire() };
    }
    const serving = this.#serve(request);
    this.#served.set(request.number, serving);
    return await serving;
  }

  /** Everybody who waits gets AGENT_LOST; the poll that is open is answered. */
  close(): void {
    this.#closed = true;
    this.#stopSilence();
    this.#lose();
    this.#wakePoll?.();
  }

  #answer(): readonly string[] {
    const texts: string[] = [];
    let chars = 0;
    for (const { text } of this.#outbox) {
      if (texts.length > 0 && chars + text.length > ANSWER_CHARS_MAX) break;
      texts.push(text);
      chars += text.length;
    }
    return texts;
  }

  /** Answers the frame's number; undefined: there is no room. */
  #push(call: number, content: Readonly<Record<string, unknown>>): number | undefined {
    const number = this.#nextNumber;
    const text = toWireText({ ...content, number });
    if (this.#closed || this.#outboxChars + text.length > OUTBOX_CHARS_MAX) return undefined;
    this.#nextNumber += 1;
    this.#outbox.push({ number, call, text });
    this.#outboxChars += text.length;
    this.#wakePoll?.();
    return number;
  }

  #drop(isOver: (frame: Frame) => boolean): void {
    this.#outbox = this.#outbox.filter((frame) => !isOver(frame));
    this.#outboxChars = this.#outbox.reduce((sum, { text }) => sum + text.length, 0);
  }

  /** It may have been fetched, so the backend is told. */
  #cancel(call: number, error: SqlError): void {
    if (!this.#waiting.has(call)) return;
    this.#settle(call, error);
    this.#push(call, { kind: 'cancel', call });
  }

  #settle(call: number, outcome: Outcome | SqlError): void {
    const waiting = this.#waiting.get(call);
    this.#waiting.delete(call);
    waiting?.settle(outcome);
  }

  async #serve({ name, request, timeoutMs }: CallRequest): Promise<Outcome> {
    const { frontend } = this.#deps;
    try {
      const options = { timeoutMs };
      return { value: await frontend.call(name as FrontendCallName, request as never, options) };
    } catch (error) {
      return { error: this.#toWire(name, error) };
    }
  }

  #toWire(name: string, error: unknown): WireError {
    if (error instanceof SqlError) return error.toWire();
    const { clock, log } = this.#deps;
    const stack = error instanceof Error ? error.stack : String(error);
    const id = `${name}-${Math.floor(clock.now()).toString(36)}`;
    log.error('unexpected error in a call of a backend', { id, name, stack });
    return new SqlError('INTERNAL', { id }).toWire();
  }

  #watchSilence(): () => void {
    return this.#deps.clock.after(SILENT_MAX_MS, () => {
      if (this.#waiting.size > 0) {
        this.#deps.log.warn('a remote backend does not ask any more', { backend: this.backendId });
      }
      this.#lose();
    });
  }

  #lose(): void {
    for (const [call, { name, settle }] of this.#waiting) {
      this.#waiting.delete(call);
      settle(this.#lost(name, 'its process fell silent or began anew'));
    }
    this.#drop(() => true);
  }

  #lost(what: string, why: string): SqlError {
    return agentLost(this.backendId, what, `${why}; it may have been done, see SHOW BACKENDS`);
  }
}

function tooMany(what: string): SqlError {
  const why = `${SERVED_MAX} calls of this backend are being answered already`;
  return new SqlError('SERVER_LOST', { what, why });
}
