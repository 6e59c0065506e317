/**
 * Messages of `agent_messages.ts` as text: JSON, and what JSON lacks in objects of one key:
 * `{"$b":"12"}` is a bigint, `{"$x":"base64"}` bytes, `{"$n":"NaN"}` a number that JSON has no word
 * for, `{"$o":[["$b",1]]}` an object whose own keys look like these.
 */

const TAGGED = /^\$[bxno]$/;

/** Throws TypeError for what is no plain data (cycles, functions). Bytes come back as Uint8Array. */
export function toWireText(value: unknown): string {
  return JSON.stringify(value, replace) ?? 'null';
}

/** Throws SyntaxError when the text is not what `toWireText` makes. */
export function fromWireText(text: string): unknown {
  return JSON.parse(text, revive);
}

/** `this` is the holder: a Buffer would have been turned into something else by its toJSON. */
function replace(this: unknown, key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return { $b: value.toString() };
  if (typeof value === 'number') {
    if (Object.is(value, -0)) return { $n: '-0' };
    return Number.isFinite(value) ? value : { $n: String(value) };
  }
  if (typeof value !== 'object') return value;
  return replaceObject((this as Record<string, unknown>)[key], value);
}

function replaceObject(original: unknown, value: object | null): unknown {
  if (ArrayBuffer.isView(original)) {
    const { buffer, byteOffset, byteLength } = original;
    return { $x: Buffer.from(buffer, byteOffset, byteLength).toString('base64') };
  }
  if (value === null || Array.isArray(value)) return value;
  const keys = Object.keys(value);
  return keys.length === 1 && TAGGED.test(keys[0] ?? '') ? { $o: Object.entries(value) } : value;
}

function revive(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const entries = Object.entries(value);
  const [entry] = entries;
  if (entries.length !== 1 || entry === undefined || !TAGGED.test(entry[0])) return value;
  return untag(entry[0], entry[1]);
}

function untag(tag: string, content: unknown): unknown {
  if (tag === '$o') {
    if (Array.isArray(content)) return Object.fromEntries(content as [string, unknown][]);
    throw new SyntaxError('wire text: $o without entries');
  }
  if (typeof content !== 'string') throw new SyntaxError(`wire text: ${tag} without text`);
  if (tag === '$x') return new Uint8Array(Buffer.from(content, 'base64'));
  return tag === '$b' ? BigInt(content) : Number(content);
}
