/** CSV as Doris's stream load reads it → rows of texts; `\N` is NULL. */
import { isUtf8 } from 'node:buffer';
import { type Options, Parser } from 'csv-parse';
import { SqlError } from '../../base/errors.ts';
import type { StreamLoadOptions } from './stream_load_options.ts';

/** Longest row of a text format, bytes; a forgotten delimiter or quote must not fill the memory. */
export const ROW_BYTES_MAX = 16 * 1024 * 1024;

export interface CsvRecord {
  readonly fields: readonly string[];
  /** What is wrong with it; its fields are then not to be used. */
  readonly problem: string | undefined;
}

const REPLACEMENT = '\ufffd';

/** Feeds chunks in, takes records out; holds at most one unfinished row. */
export class CsvReader {
  readonly #parser: Parser;
  readonly #utf8 = new Utf8Watch();
  #records: CsvRecord[] = [];
  #invalid = false;

  constructor(options: StreamLoadOptions) {
    this.#parser = new Parser(this.#parserOptions(options));
    // Errors arrive in the callbacks of write and end.
    this.#parser.on('error', () => undefined);
    this.#parser.resume();
  }

  /** The records that end in this chunk. Throws LOAD_FAILED when the rest cannot be read. */
  async push(chunk: Uint8Array): Promise<CsvRecord[]> {
    if (!this.#utf8.push(chunk)) this.#invalid = true;
    await settled((done) => this.#parser.write(chunk, done));
    return this.#take();
  }

  async end(): Promise<CsvRecord[]> {
    await settled((done) => this.#parser.end(done));
    return this.#take();
  }

  #take(): CsvRecord[] {
    const records = this.#records;
    this.#records = [];
    return records;
  }

  #parserOptions(options: StreamLoadOptions): Options {
    const { columnSeparator, lineDelimiter, enclose, escape, skipLines } = options;
    return {
      bom: true,
      delimiter: columnSeparator,
      record_delimiter: lineDelimiter === '\n' ? ['\r\n', '\n'] : [lineDelimiter],
      quote: enclose ?? false,
      escape: escape ?? enclose ?? null,
      from_line: skipLines + 1,
      max_record_size: ROW_BYTES_MAX,
      relax_column_count: true,
      skip_records_with_error: true,
      on_record: (fields: string[]) => {
        this.#records.push({ fields, problem: this.#invalidText(fields) });
        // Nothing goes through the stream's own buffer.
        return null;
      },
      on_skip: (error) => {
        this.#records.push({ fields: [], problem: error?.message ?? 'unreadable' });
        return undefined;
      },
    };
  }

  /** Once bad bytes were seen, a replacement character is taken for one of them. */
  #invalidText(fields: readonly string[]): string | undefined {
    if (!this.#invalid || !fields.some((field) => field.includes(REPLACEMENT))) return undefined;
    return 'invalid UTF-8';
  }
}

async function settled(start: (done: (error?: Error | null) => void) => void): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    start((error) => {
      if (error === null || error === undefined) resolve();
      else reject(new SqlError('LOAD_FAILED', { why: `CSV: ${error.message}` }, { cause: error }));
    });
  });
}

/** Checks a stream of bytes piece by piece. */
class Utf8Watch {
  #carry: Uint8Array = new Uint8Array(0);

  /** Whether everything up to here is UTF-8, a character cut at the end aside. */
  push(chunk: Uint8Array): boolean {
    const bytes = this.#carry.length === 0 ? chunk : Buffer.concat([this.#carry, chunk]);
    const cut = incompleteBytes(bytes);
    this.#carry = Uint8Array.from(bytes.subarray(bytes.length - cut));
    return isUtf8(bytes.subarray(0, bytes.length - cut));
  }
}

/** Bytes at the end that begin a character and do not finish it, 0..3. */
function incompleteBytes(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte < 0x80) return 0;
    if (byte >= 0xc0) return back < (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) ? back : 0;
  }
  return 0;
}
