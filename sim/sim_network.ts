/**
 * The network between the server and the backends: requests and replies take time, get lost, come
 * twice or in another order, and lines are cut. What arrives is a copy, as from a wire.
 */
import type { SqlError } from '../base/errors.ts';
import type { SeededRandom } from './seeded_random.ts';
import type { Trace } from './trace.ts';
import type { SimCall, SimProcess, VirtualTime } from './virtual_time.ts';

/** Probabilities per message, and milliseconds; all may be changed while the run goes on. */
export interface NetworkFaults {
  drop: number;
  duplicate: number;
  replyLost: number;
  /** Mean of the delay of a message in one direction, milliseconds. */
  delayMs: number;
  /** Probability that a message takes `slowMs` more: then others overtake it. */
  slow: number;
  slowMs: number;
}

/** One end of a line: who listens there now changes with every restart. */
export interface Endpoint {
  readonly name: string;
  readonly process: SimProcess | undefined;
  handle(name: string, request: unknown): Promise<unknown>;
}

export interface Message {
  readonly from: SimProcess;
  readonly to: Endpoint;
  /** Names of the line, the same in both directions. */
  readonly line: string;
  readonly name: string;
  readonly request: unknown;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly lost: () => SqlError;
}

/** Heartbeats and the like would drown everything else in the trace. */
const QUIET_NAMES = new Set(['heartbeat', 'renewWarmUp', 'reportTablets']);

export class SimNetwork {
  readonly faults: NetworkFaults;
  readonly #time: VirtualTime;
  readonly #random: SeededRandom;
  readonly #trace: Trace;
  readonly #cut = new Set<string>();

  constructor(time: VirtualTime, random: SeededRandom, trace: Trace, faults: NetworkFaults) {
    this.#time = time;
    this.#random = random;
    this.#trace = trace;
    this.faults = faults;
  }

  /** No message passes on this line, in either direction, until it is healed. */
  cut(line: string): void {
    this.#cut.add(line);
  }

  heal(line: string): void {
    this.#cut.delete(line);
  }

  healAll(): void {
    this.#cut.clear();
  }

  get cutLines(): readonly string[] {
    return [...this.#cut];
  }

  /** Resolves with the reply; rejects with what the other end threw, or `lost` after the timeout. */
  async call(message: Message): Promise<unknown> {
    const { from, signal, timeoutMs, name } = message;
    signal?.throwIfAborted();
    if (from.isDead) return await new Promise<never>(() => undefined);
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const onAbort = (): void => {
      reject(signal?.reason as Error);
    };
    const call = from.begins([message.line, message.request]);
    const giveUp = (): void => {
      reject(message.lost());
    };
    const stopTimer = from.schedule(timeoutMs, `timeout of ${name}`, giveUp, call);
    signal?.addEventListener('abort', onAbort, { once: true });
    const settle = (reply: Reply): void => {
      if (reply.ok) resolve(reply.value);
      // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- what the other end threw
      else reject(reply.error);
    };
    this.#send(message, call, settle);
    try {
      return await promise;
    } finally {
      stopTimer();
      signal?.removeEventListener('abort', onAbort);
    }
  }

  #send(message: Message, call: SimCall, settle: (reply: Reply) => void): void {
    const { to, line, name, from } = message;
    const copies = this.#random.chance(this.faults.duplicate) ? 2 : 1;
    const request = structuredClone(message.request);
    for (let copy = 1; copy <= copies; copy += 1) {
      if (this.#isLost(line, this.faults.drop, `${from.name} -> ${to.name} ${name}`)) continue;
      const arrive = (): void => {
        if (this.#isLost(line, 0, `${from.name} -> ${to.name} ${name}`)) return;
        this.#deliver(message, request, call, settle);
      };
      const label = `arrives ${name} at ${to.name}`;
      this.#time.schedule(this.#delay(), label, arrive, undefined, call);
    }
  }

  #deliver(
    message: Message,
    request: unknown,
    call: SimCall,
    settle: (reply: Reply) => void,
  ): void {
    const { to, name, from } = message;
    const receiver = to.process;
    if (receiver === undefined || receiver.isDead) {
      // Nobody listens on that port: the caller hears it at once.
      this.#note(name, `${from.name} -> ${to.name} ${name}: nobody listens`);
      this.#reply(message, { ok: false, error: message.lost() }, call, settle);
      return;
    }
    // Through its own queue: a hung receiver reads it when it goes on.
    const read = (): void => {
      this.#note(name, `${from.name} -> ${to.name} ${name}${inWords(request)}`);
      to.handle(name, request).then(
        (value) => {
          if (!receiver.isDead) this.#reply(message, { ok: true, value }, call, settle);
        },
        (error: unknown) => {
          if (!receiver.isDead) this.#reply(message, { ok: false, error }, call, settle);
        },
      );
    };
    receiver.schedule(0, `reads ${name}`, read, call);
  }

  #reply(message: Message, reply: Reply, call: SimCall, settle: (reply: Reply) => void): void {
    const { from, to, line, name } = message;
    if (this.#isLost(line, this.faults.replyLost, `${to.name} -> ${from.name} reply of ${name}`)) {
      return;
    }
    const copy: Reply = reply.ok ? { ok: true, value: structuredClone(reply.value) } : reply;
    const said = reply.ok ? copy : { ok: false, error: String(reply.error) };
    const answered = { ...call, content: [line, message.request, said] };
    const arrive = (): void => {
      if (this.#cut.has(line)) return;
      settle(copy);
    };
    from.schedule(this.#delay(), `reply of ${name}`, arrive, answered);
  }

  #isLost(line: string, probability: number, what: string): boolean {
    const lost = this.#cut.has(line) || this.#random.chance(probability);
    if (lost) this.#note('', `lost: ${what}`);
    return lost;
  }

  #delay(): number {
    const { delayMs, slow, slowMs } = this.faults;
    const extra = this.#random.chance(slow) ? this.#random.around(slowMs) : 0;
    return 0.05 + this.#random.around(delayMs) + extra;
  }

  #note(name: string, text: string): void {
    if (!QUIET_NAMES.has(name)) this.#trace.note(this.#time.nowMs, text);
  }
}

/** What a line of the trace tells of a message: which batch, how far, which tablets. */
function inWords(request: unknown): string {
  const outer = request as Readonly<Record<string, unknown>>;
  const { jobId, run, batch, state, tablets } = (outer['request'] ?? outer) as {
    readonly jobId?: number;
    readonly run?: number;
    readonly batch?: number;
    readonly state?: string;
    readonly tablets?: readonly { readonly tabletId: number }[];
  };
  const words: string[] = [];
  if (jobId !== undefined) words.push(`job ${[jobId, run, batch].join('/')}`);
  if (state !== undefined) words.push(state);
  if (Array.isArray(tablets)) words.push(`tablets ${tablets.map((one) => one.tabletId).join(' ')}`);
  return words.length === 0 ? '' : ` (${words.join(', ')})`;
}

type Reply =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly error: unknown };
