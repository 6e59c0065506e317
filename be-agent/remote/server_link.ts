/**
 * The backend's end of its talk with the server (`base/remote_messages.ts`): registers, fetches
 * calls by long polls and posts their replies, and carries the backend's own calls. It goes on
 * through restarts of the server; what ran for the server before is stopped then.
 */
import type { FrontendCallName, FrontendPort } from '../../base/agent_messages.ts';
import { SqlError, type WireError } from '../../base/errors.ts';
import type { Clock, Log, Random } from '../../base/ports.ts';
import {
  CALL_PATH,
  type CallReply,
  LEAVE_PATH,
  type Outcome,
  POLL_MS,
  POLL_PATH,
  type PollReply,
  REGISTER_PATH,
  REPLY_PATH,
  type RegisterReply,
  type RegisterRequest,
  type ReplyReply,
  type ServerFrame,
  type SessionKey,
} from '../../base/remote_messages.ts';
import { messageOf } from '../data/message_of.ts';
import type { ServerHttp } from './server_http.ts';

/** Pause after a failure: doubles from one to the other, milliseconds, and varies by half. */
const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 5000;
/** Beyond the server's own time for a poll. */
const POLL_SLACK_MS = 10_000;
const REGISTER_TIMEOUT_MS = 30_000;
const LEAVE_TIMEOUT_MS = 2000;

export type Registered = Extract<RegisterReply, { readonly status: 'OK' }>;

/** Another process speaks for this backend now, or the directory is not of this cluster. */
export class BackendRefused extends Error {
  override readonly name = 'BackendRefused';
}

export interface ServerLinkDeps {
  readonly http: ServerHttp;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** What to register with, at this moment. */
  readonly identity: () => RegisterRequest;
  /** Answers the server's calls. */
  readonly handler: (name: string, request: unknown, signal: AbortSignal) => Promise<unknown>;
  /** A registration was taken, the first or after a restart of the server. */
  readonly onRegistered: (registered: Registered) => Promise<void>;
}

interface RunningCall {
  readonly controller: AbortController;
  readonly session: string;
}

export class ServerLink {
  readonly #deps: ServerLinkDeps;
  readonly #running = new Map<number, RunningCall>();
  readonly #outstanding = new Set<number>();
  readonly #stopping = new AbortController();
  #session: SessionKey | undefined;
  #registering: Promise<void> | undefined;
  #nextCall = 1;

  constructor(deps: ServerLinkDeps) {
    this.#deps = deps;
  }

  /** Registers as often as it takes. Throws BackendRefused when that is of no use. */
  async register(): Promise<void> {
    this.#registering ??= this.#registerAnew().finally(() => {
      this.#registering = undefined;
    });
    await this.#registering;
  }

  /** Fetches calls until `close`; rejects with BackendRefused. */
  async run(): Promise<void> {
    let seen = 0;
    let session: SessionKey | undefined;
    let retryMs = RETRY_MS_MIN;
    while (!this.#stopping.signal.aborted) {
      if (this.#session !== session) {
        session = this.#session;
        seen = 0;
      }
      if (session === undefined) {
        await this.register();
        continue;
      }
      try {
        const reply = await this.#poll(session, seen);
        retryMs = RETRY_MS_MIN;
        if (reply.status === 'REGISTER') this.#forget(session);
        else seen = this.#take(reply.frames, session, seen);
      } catch (error) {
        retryMs = await this.#pause(retryMs, 'the server does not answer', error);
      }
    }
  }

  /** Says goodbye, if the server hears it; what runs is stopped. */
  async close(): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    const session = this.#session;
    this.#stopping.abort();
    for (const { controller } of this.#running.values()) controller.abort();
    if (session === undefined) return;
    try {
      await this.#deps.http.post(LEAVE_PATH, session, { timeoutMs: LEAVE_TIMEOUT_MS });
    } catch (error) {
      this.#deps.log.debug('the server did not hear the goodbye', { error: messageOf(error) });
    }
  }

  /** Calls are repeated until their time is over; also to a server that was restarted meanwhile. */
  readonly frontend: FrontendPort = {
    call: async (name: FrontendCallName, request: unknown, options) => {
      const number = this.#nextCall;
      this.#nextCall += 1;
      this.#outstanding.add(number);
      try {
        return (await this.#call(number, name, request, options)) as never;
      } finally {
        this.#outstanding.delete(number);
      }
    },
  };

  async #registerAnew(): Promise<void> {
    const { http, log, identity, onRegistered } = this.#deps;
    let retryMs = RETRY_MS_MIN;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      let reply: RegisterReply;
      try {
        const options = { timeoutMs: REGISTER_TIMEOUT_MS, signal };
        reply = (await http.post(REGISTER_PATH, identity(), options)) as RegisterReply;
      } catch (error) {
        retryMs = await this.#pause(retryMs, 'cannot register at the server', error);
        continue;
      }
      if (reply.status === 'REFUSED') {
        if (reply.isFinal) throw new BackendRefused(reply.why);
        retryMs = await this.#pause(retryMs, 'the server refuses this backend', reply.why);
        continue;
      }
      const { backendId, session } = reply;
      this.#stopRunning();
      this.#session = { backendId, session };
      await onRegistered(reply);
      log.info('registered', { backend: backendId, server: http.url });
      return;
    }
  }

  async #poll(session: SessionKey, seen: number): Promise<PollReply> {
    const request = { ...session, seen };
    const timeoutMs = POLL_MS + POLL_SLACK_MS;
    const { signal } = this.#stopping;
    return (await this.#deps.http.post(POLL_PATH, request, { timeoutMs, signal })) as PollReply;
  }

  /** Answers the number of the last frame that is known now. */
  #take(frames: readonly ServerFrame[], session: SessionKey, seen: number): number {
    let last = seen;
    for (const frame of frames) {
      if (frame.number <= last) continue;
      last = frame.number;
      if (frame.kind === 'cancel') this.#running.get(frame.call)?.controller.abort();
      else void this.#execute(frame, session);
    }
    return last;
  }

  async #execute(
    { number, name, request, timeoutMs }: Extract<ServerFrame, { readonly kind: 'call' }>,
    key: SessionKey,
  ): Promise<void> {
    const { clock } = this.#deps;
    const controller = new AbortController();
    const running = { controller, session: key.session };
    this.#running.set(number, running);
    const until = clock.monotonic() + timeoutMs;
    let outcome: Outcome;
    try {
      const value = await this.#deps.handler(name, request, controller.signal);
      outcome = { value };
    } catch (error) {
      outcome = { error: this.#toWire(name, error) };
    }
    if (this.#running.get(number) === running) this.#running.delete(number);
    await this.#postReply({ ...key, call: number, outcome }, until);
  }

  async #postReply(
    reply: SessionKey & { readonly call: number; readonly outcome: Outcome },
    until: number,
  ): Promise<void> {
    const { http, clock } = this.#deps;
    const { signal } = this.#stopping;
    let retryMs = RETRY_MS_MIN;
    while (this.#session?.session === reply.session && !signal.aborted) {
      const timeoutMs = Math.ceil(until - clock.monotonic());
      // Nobody waits for it any more.
      if (timeoutMs <= 0) return;
      try {
        const answer = (await http.post(REPLY_PATH, reply, { timeoutMs, signal })) as ReplyReply;
        if (answer.status === 'REGISTER') this.#forget(reply);
        return;
      } catch (error) {
        retryMs = await this.#pause(retryMs, 'a reply did not get through', error);
      }
    }
  }

  async #call(
    number: number,
    name: FrontendCallName,
    request: unknown,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<unknown> {
    const { http, clock } = this.#deps;
    const until = clock.monotonic() + options.timeoutMs;
    const signal = AbortSignal.any([
      this.#stopping.signal,
      ...(options.signal === undefined ? [] : [options.signal]),
    ]);
    const first = this.#session;
    let retryMs = RETRY_MS_MIN;
    for (;;) {
      const session = this.#session;
      const timeoutMs = Math.ceil(until - clock.monotonic());
      // A load that an earlier server began is unknown to this one; its label would be taken.
      const isOfBefore = name === 'beginLoad' && session !== first;
      if (timeoutMs <= 0 || signal.aborted || isOfBefore) throw lost(name, options.timeoutMs);
      if (session === undefined) {
        retryMs = await this.#pause(retryMs, 'a call waits for the registration', name);
        continue;
      }
      const oldest = Math.min(...this.#outstanding);
      const body = { ...session, number, oldest, name, request, timeoutMs };
      try {
        const reply = (await http.post(CALL_PATH, body, { timeoutMs, signal })) as CallReply;
        if (reply.status === 'OK') return valueOf(reply.outcome);
        // `run` registers again.
        this.#forget(session);
      } catch (error) {
        if (error instanceof SqlError) throw error;
        retryMs = await this.#pause(retryMs, 'a call to the server did not get through', error);
      }
    }
  }

  #forget({ session }: SessionKey): void {
    if (this.#session?.session !== session) return;
    this.#session = undefined;
    this.#stopRunning();
  }

  #stopRunning(): void {
    for (const { controller } of this.#running.values()) controller.abort();
    this.#running.clear();
  }

  /** Answers how long the next pause shall be. */
  async #pause(retryMs: number, what: string, error: unknown): Promise<number> {
    const { clock, random, log } = this.#deps;
    const { signal } = this.#stopping;
    if (signal.aborted) return retryMs;
    const pauseMs = retryMs / 2 + random.int(Math.ceil(retryMs));
    log.warn(what, { error: messageOf(error), retryMs: Math.round(pauseMs) });
    try {
      await clock.sleep(pauseMs, signal);
    } catch {
      // Closed meanwhile.
    }
    return Math.min(RETRY_MS_MAX, retryMs * 2);
  }

  #toWire(name: string, error: unknown): WireError {
    if (error instanceof SqlError) return error.toWire();
    const { clock, log } = this.#deps;
    const stack = error instanceof Error ? error.stack : messageOf(error);
    const id = `${name}-${Math.floor(clock.now()).toString(36)}`;
    log.error('unexpected error in a call', { id, name, stack });
    return new SqlError('INTERNAL', { id }).toWire();
  }
}

function valueOf(outcome: Outcome): unknown {
  if ('error' in outcome) throw SqlError.fromWire(outcome.error);
  return outcome.value;
}

function lost(what: string, timeoutMs: number): SqlError {
  return new SqlError('SERVER_LOST', { what, why: `nothing came within ${timeoutMs} ms` });
}
