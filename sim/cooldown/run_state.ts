/**
 * The state of a run as one short text: two runs with the same text have the same futures. A
 * process is deterministic, so its state is what it had in memory when nothing of it was on its
 * way, and everything that it has got since. See docs/simulation.md, "Small scopes".
 */
import { hash } from 'node:crypto';
import { START_MS, type SimCall, type SimProcess } from '../virtual_time.ts';
import type { ChoiceTime, PendingEvent } from './choice_time.ts';
import { memoryText } from './memory_text.ts';
import type { CoolBackend } from './cool_backend.ts';
import type { ModelWorld } from './model_world.ts';

/** By name of a process: what it has in memory, or how it came to that. */
export type Chains = ReadonlyMap<string, string>;

export class RunState {
  readonly #world: ModelWorld;
  readonly #time: ChoiceTime;
  /** What else decides what comes: how far the scenario is. */
  readonly #rest: () => unknown;
  readonly #graceMs: number;
  #chains = new Map<string, string>();
  /** Got something since the last step. */
  readonly #touched = new Set<SimProcess>();
  /** Got something since the last key. */
  readonly #stale = new Set<SimProcess>();
  readonly #disks = new Map<CoolBackend, { readonly writes: number; readonly text: string }>();
  #journal: string | undefined;
  /** Of a state that is looked at as if it were dead. */
  #dying: SimProcess | undefined;
  readonly #calls = new WeakMap<object, string>();
  readonly #objects = new WeakMap<object, string>();
  #isOn = false;

  constructor(world: ModelWorld, time: ChoiceTime, rest: () => unknown) {
    this.#world = world;
    this.#graceMs = world.seen().graceMs;
    this.#time = time;
    this.#rest = rest;
    time.onInput = (process, event): void => {
      this.input(process, this.#isOn ? this.#inWords(event, false) : '');
    };
  }

  /** The chains are of this moment; from here on they are kept. */
  begin(chains: Chains): void {
    this.#chains = new Map(chains);
    this.#isOn = true;
  }

  /** After `key`. */
  chains(): Chains {
    return new Map(this.#chains);
  }

  /** The process gets something that is no event of its own. */
  input(process: SimProcess | undefined, text: string): void {
    if (process === undefined) return;
    this.#touched.add(process);
    this.#stale.add(process);
    if (!this.#isOn) return;
    const before = this.#chains.get(process.name) ?? '';
    this.#chains.set(process.name, digest(`${before} ${this.#time.nowMs} ${text}`));
  }

  /** It begins with what is on its disk. */
  started(process: SimProcess | undefined, disk: unknown): void {
    if (this.#isOn) this.input(process, `starts ${memoryText(disk)}`);
  }

  /** After each step: who has come to rest counts his calls anew. */
  settle(): void {
    for (const process of this.#touched) if (this.#isIdle(process)) process.calls = 0;
    this.#touched.clear();
  }

  /** Who has come to rest is described by what he remembers. */
  #close(): void {
    for (const process of this.#stale) {
      if (process === this.#world.server.process) this.#journal = undefined;
      if (process.isDead) this.#chains.delete(process.name);
      else if (this.#isIdle(process)) this.#chains.set(process.name, this.#memoryOf(process));
    }
    this.#stale.clear();
  }

  key(): string {
    return digest(this.parts().join('\n'));
  }

  /** As if this process were dead. */
  keyWithout(process: SimProcess): string {
    this.#dying = process;
    const key = this.key();
    this.#dying = undefined;
    return key;
  }

  #isDead(process: SimProcess): boolean {
    return process.isDead || process === this.#dying;
  }

  /** What the key is made of, for those who want to know why two are not equal. */
  parts(): readonly string[] {
    this.#close();
    const { bucket, backends, server, history, content } = this.#world;
    const waiting = this.#time
      .waiting()
      .filter(({ owner }) => owner === undefined || !this.#isDead(owner))
      .map((event) => this.#inWords(event, true));
    const objects = [...bucket.objects].map(([key, stored]) => {
      const { body, meta } = stored;
      const ageMs = START_MS + this.#time.nowMs - meta.modifiedMs;
      // Nobody asks for more than whether it is old enough to be collected.
      const age = ageMs >= this.#graceMs ? 'old' : ageMs;
      return `${key} ${age} ${meta.etag} ${this.#objectText(body)}`;
    });
    const disks = backends.map((backend) => {
      return `${this.#chainOf(backend.process)} ${this.#diskOf(backend)}`;
    });
    const { published, ...past } = history;
    const manifests = [...published].map(
      ([key, manifest]) => `${key} ${this.#objectText(manifest)}`,
    );
    return [
      `${this.#time.nowMs} ${JSON.stringify(this.#rest())}`,
      ...waiting,
      objects.sort().join('\n'),
      ...disks,
      this.#chainOf(server.process),
      this.#journalText(),
      memoryText([past, manifests, content]),
    ];
  }

  #diskOf(backend: CoolBackend): string {
    const { disk, writes } = backend;
    const files = [...disk.files].map(([key, body]) => `${key} ${body.length}`).sort();
    const known = this.#disks.get(backend);
    const text = known?.writes === writes ? known.text : digest(memoryText(backend.durable));
    this.#disks.set(backend, { writes, text });
    return `${text} ${files.join(' ')}`;
  }

  /** It changes only when the server gets something. */
  #journalText(): string {
    this.#journal ??= digest(memoryText(this.#world.journal));
    return this.#journal;
  }

  #chainOf(process: SimProcess | undefined): string {
    if (process === undefined || this.#isDead(process)) return 'dead';
    return `${process.name} ${process.state} ${this.#chains.get(process.name) ?? ''}`;
  }

  /** Nothing of it is on its way: no call, no pause within something. */
  #isIdle(process: SimProcess): boolean {
    return this.#time.isEvery(({ owner, call, label }) =>
      owner === process ? label.endsWith(' timer') : call?.caller !== process,
    );
  }

  #memoryOf(process: SimProcess): string {
    const { backends, server } = this.#world;
    const { nowMs } = this.#time;
    if (process === server.process) {
      const lives = [...server.reportLives].map(([backendId, { seq, ...life }]) => {
        const reporter = backends.find((one) => one.backendId === backendId);
        // Of an earlier life it is compared with messages that are on their way still.
        const isNow = reporter?.isRunning === true && reporter.incarnation === life.incarnation;
        return [backendId, life, isNow ? `-${(reporter.reportSeq ?? 0) - seq}` : seq];
      });
      return digest(memoryText([server.memory, lives], { nowMs, without: TOLD }));
    }
    const backend = backends.find((one) => one.process === process);
    if (backend === undefined) return '';
    const { memory, outsideMemory: outside } = backend;
    return digest(memoryText(memory, { nowMs, outside, without: TOLD }));
  }

  /** `isTimed`: with its time and order. */
  #inWords(event: PendingEvent, isTimed: boolean): string {
    const { atMs, layer, label, call, owner, fire } = event;
    const when = isTimed ? `${atMs} ${layer} ${owner?.name ?? ''} ` : '';
    if (call === undefined) {
      return `${when}${label}${label.endsWith(' timer') ? ` ${fire.toString()}` : ''}`;
    }
    const { caller, number } = call;
    const known = this.#calls.get(call) ?? this.#contentOf(call);
    // What the dead have sent is not awaited by anybody.
    const from = this.#isDead(caller) ? 'dead' : `${caller.name} ${number}`;
    return `${when}${label} ${from} ${known}`;
  }

  /** Reports have numbers, which are only compared: they are told as how old they are. */
  #contentOf(call: SimCall): string {
    const { caller, content } = call;
    const { report, rest } = reportIn(content);
    if (report === undefined) {
      const text = digest(memoryText(content));
      this.#calls.set(call, text);
      return text;
    }
    const reporter = this.#world.backends.find(({ process }) => process === caller);
    const isNow = reporter?.isRunning === true;
    const number = isNow ? `-${(reporter.reportSeq ?? 0) - report}` : String(report);
    return digest(`${number} ${memoryText(rest)}`);
  }

  /** Of something that never changes. */
  #objectText(stored: object): string {
    const known = this.#objects.get(stored) ?? digest(memoryText(stored));
    this.#objects.set(stored, known);
    return known;
  }
}

/**
 * Metrics, which nobody reads who decides anything, numbers that are told otherwise, and what parts
 * were made of: other parts, that are reached from their owners too.
 */
const TOLD: ReadonlySet<string> = new Set([
  'private_options',
  'private_deps',
  'counts',
  'private_counts',
  'private_rounds',
  'round',
  'private_seq',
]);

/** The number of the report that a message has. */
function reportIn(content: unknown): { readonly report?: number; readonly rest: unknown } {
  if (!Array.isArray(content)) return { rest: content };
  const [line, message, reply] = content as readonly unknown[];
  const { request, ...others } = (message ?? {}) as { readonly request?: unknown };
  const { seq, sums, ...report } = (request ?? {}) as { seq?: number; sums?: unknown };
  if (seq === undefined || sums === undefined) return { rest: content };
  return { report: seq, rest: [line, others, report, sums, reply] };
}

function digest(text: string): string {
  return hash('md5', text, 'base64');
}
