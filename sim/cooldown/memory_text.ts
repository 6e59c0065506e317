/**
 * What an object remembers, with everything that it leads to, as text: fields, maps and sets in
 * their order, and which are the same object. Code is taken to be what its class says.
 */

export interface MemoryOptions {
  /** Told otherwise, or not at all. */
  readonly outside?: readonly unknown[];
  /** Monotonic milliseconds: what was planned for earlier may happen now, whenever that was. */
  readonly nowMs?: number;
  /** Names of fields that are left out. */
  readonly without?: ReadonlySet<string>;
}

/** Times before which something does not happen. */
const UNTIL = new Set(['restsUntil', 'notBefore']);

export function memoryText(root: unknown, options: MemoryOptions = {}): string {
  const { outside = [], nowMs = Number.NEGATIVE_INFINITY, without = NOTHING } = options;
  const writer: Writer = {
    seen: new Map(outside.map((one) => [one, -1])),
    words: [],
    nowMs,
    without,
  };
  write(root, writer);
  return writer.words.join(' ');
}

const NOTHING: ReadonlySet<string> = new Set();

interface Writer {
  readonly seen: Map<unknown, number>;
  readonly words: string[];
  readonly nowMs: number;
  readonly without: ReadonlySet<string>;
}

function write(value: unknown, writer: Writer): void {
  const { seen, words, nowMs, without } = writer;
  if (typeof value === 'function') {
    words.push('f');
    return;
  }
  if (typeof value !== 'object' || value === null) {
    words.push(typeof value === 'string' ? JSON.stringify(value) : String(value));
    return;
  }
  const known = seen.get(value);
  if (known !== undefined) {
    if (known >= 0) words.push(`@${known}`);
    return;
  }
  seen.set(value, seen.size);
  if (ArrayBuffer.isView(value)) {
    const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    words.push(Buffer.from(bytes).toString('base64'));
    return;
  }
  if (value instanceof Map || Array.isArray(value) || value instanceof Set) {
    words.push('[');
    for (const each of value) write(each, writer);
    words.push(']');
    return;
  }
  words.push('{');
  for (const [name, field] of Object.entries(value)) {
    if (without.has(name)) continue;
    words.push(name);
    if (UNTIL.has(name) && Number(field) <= nowMs) words.push('past');
    else write(field, writer);
  }
  words.push('}');
}
