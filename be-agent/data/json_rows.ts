/**
 * JSON lines, or one array or object, → the texts of single values, without ever holding more than
 * one unfinished value.
 */
import { isUtf8 } from 'node:buffer';
import type { InputValue } from '../../base/convert.ts';
import { SqlError } from '../../base/errors.ts';
import { ROW_BYTES_MAX } from './csv_rows.ts';
import { messageOf } from './message_of.ts';
import type { BadRow, SourceRow } from './row_batch.ts';

const NEWLINE = 0x0a;
const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

export interface JsonSplitter {
  /** Values that end in this chunk. Throws LOAD_FAILED. */
  push(chunk: Uint8Array): Buffer[];
  end(): Buffer[];
}

/** Pieces of the value that is not finished yet. */
class Unfinished {
  readonly #pieces: Uint8Array[] = [];
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  add(piece: Uint8Array): void {
    if (piece.length === 0) return;
    this.#bytes += piece.length;
    if (this.#bytes > ROW_BYTES_MAX) {
      throw new SqlError('LOAD_FAILED', { why: `a JSON row exceeds ${ROW_BYTES_MAX} bytes` });
    }
    // A copy: the source may reuse its buffer.
    this.#pieces.push(Uint8Array.from(piece));
  }

  take(last: Uint8Array): Buffer {
    const value = Buffer.concat([...this.#pieces, last]);
    this.#pieces.length = 0;
    this.#bytes = 0;
    return value;
  }
}

export class LineSplitter implements JsonSplitter {
  readonly #rest = new Unfinished();

  push(chunk: Uint8Array): Buffer[] {
    const lines: Buffer[] = [];
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(NEWLINE, start);
      if (end < 0) break;
      lines.push(this.#rest.take(chunk.subarray(start, end)));
      start = end + 1;
    }
    this.#rest.add(chunk.subarray(start));
    return lines;
  }

  end(): Buffer[] {
    return [this.#rest.take(new Uint8Array(0))];
  }
}

/** The body is one value; the elements are not split. */
export class WholeBody implements JsonSplitter {
  readonly #rest = new Unfinished();

  push(chunk: Uint8Array): Buffer[] {
    this.#rest.add(chunk);
    return [];
  }

  end(): Buffer[] {
    return [this.#rest.take(new Uint8Array(0))];
  }
}

/** Elements of one JSON array, or of several one after the other. */
export class ArraySplitter implements JsonSplitter {
  readonly #rest = new Unfinished();
  /** 0: outside of the array; 1: between elements and in plain ones; more: inside of one. */
  #depth = 0;
  #inText = false;
  #escaped = false;
  #arrays = 0;
  /** Whether a comma promised another element. */
  #promised = false;

  push(chunk: Uint8Array): Buffer[] {
    const elements: Buffer[] = [];
    let start = 0;
    for (let at = 0; at < chunk.length; at += 1) {
      const byte = chunk[at] ?? 0;
      if (this.#inText) {
        this.#textByte(byte);
      } else if (byte === QUOTE && this.#depth > 0) {
        this.#inText = true;
      } else if (this.#depth === 0) {
        this.#outside(byte);
        start = at + 1;
      } else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
        this.#depth += 1;
      } else if (this.#depth > 1) {
        if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) this.#depth -= 1;
      } else if (byte === COMMA || byte === CLOSE_ARRAY) {
        const element = this.#rest.take(chunk.subarray(start, at));
        const last = byte === CLOSE_ARRAY;
        if (!last || this.#promised || !isBlank(element)) elements.push(element);
        this.#promised = !last;
        if (last) this.#depth = 0;
        start = at + 1;
      }
    }
    if (this.#depth > 0) this.#rest.add(chunk.subarray(start));
    return elements;
  }

  end(): Buffer[] {
    if (this.#depth > 0) throw failed('the JSON array is cut off');
    if (this.#arrays === 0) throw failed('strip_outer_array needs a JSON array');
    return [];
  }

  #textByte(byte: number): void {
    if (this.#escaped) this.#escaped = false;
    else if (byte === BACKSLASH) this.#escaped = true;
    else if (byte === QUOTE) this.#inText = false;
  }

  #outside(byte: number): void {
    if (byte === OPEN_ARRAY) {
      this.#depth = 1;
      this.#arrays += 1;
    } else if (byte > 0x20 && !BOM.includes(byte)) {
      throw failed(
        this.#arrays === 0
          ? 'strip_outer_array needs a JSON array'
          : 'there is something behind the JSON array',
      );
    }
  }
}

const BOM: readonly number[] = [0xef, 0xbb, 0xbf];

function failed(why: string): SqlError {
  return new SqlError('LOAD_FAILED', { why });
}

function isBlank(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte <= 0x20);
}

/** More digits than a double keeps: such numbers are taken by their text. */
const LONG_NUMBER = /[\d.]{16,}|\d[eE]/;

/**
 * Turns the text of one object into the values of `names` (undefined where it has no such field,
 * letter case aside); undefined when the text is blank.
 */
export function jsonRow(text: Buffer, names: readonly string[]): SourceRow | undefined {
  if (!isUtf8(text)) return { problem: 'invalid UTF-8' };
  const source = text.toString('utf8').replace(/^\ufeff/, '');
  let value: unknown;
  try {
    value = LONG_NUMBER.test(source) ? JSON.parse(source, exactNumbers) : JSON.parse(source);
  } catch (error) {
    if (source.trim() === '') return undefined;
    return { problem: `no JSON object: ${messageOf(error).slice(0, 200)}` };
  }
  if (Array.isArray(value)) {
    return { problem: 'a JSON array instead of an object; set strip_outer_array: true' };
  }
  if (typeof value !== 'object' || value === null || value instanceof NumberText) {
    return { problem: 'no JSON object' };
  }
  return fieldsOf(value as Readonly<Record<string, unknown>>, names);
}

/** A number that a double does not hold keeps its text, which every exact column type reads. */
function exactNumbers(_key: string, value: unknown, context?: { readonly source?: string }) {
  if (typeof value !== 'number' || context?.source === undefined) return value;
  return String(value) === context.source ? value : new NumberText(context.source);
}

class NumberText {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
  toJSON(): unknown {
    return Number(this.text);
  }
}

function fieldsOf(
  object: Readonly<Record<string, unknown>>,
  names: readonly string[],
): SourceRow | BadRow {
  const row: (InputValue | undefined)[] = [];
  let folded: Map<string, unknown> | undefined;
  for (const name of names) {
    let value = Object.hasOwn(object, name) ? object[name] : undefined;
    if (value === undefined) {
      folded ??= new Map(Object.entries(object).map(([key, field]) => [key.toLowerCase(), field]));
      value = folded.get(name.toLowerCase());
    }
    row.push(inputValue(value));
  }
  return row;
}

function inputValue(value: unknown): InputValue | undefined {
  if (value === null || value === undefined) return value;
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
    return value;
  }
  return value instanceof NumberText ? value.text : JSON.stringify(value);
}
