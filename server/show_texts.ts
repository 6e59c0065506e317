/** Statements that only list and look, as they were read the last time: dashboards send the same ones. */
import type { ParsedStatement } from '../parser/parse.ts';

/** Texts kept: as many that came lately, and as many that came before these. */
const TEXTS_MAX = 500;
/** Characters of a text that is kept. */
const TEXT_CHARS_MAX = 2048;
/** Of a character in UTF-8. */
const BYTES_MAX = 3;

/** Texts of all sessions. Reading is 7 % of the work of a SHOW with 20 rows. */
export class ShowTexts {
  #read = new Map<string, ParsedStatement>();
  /** What was kept before `#read` was begun: of many that come once, some come again. */
  #before = new Map<string, ParsedStatement>();

  /** `bytesMax`: max_statement_bytes. */
  get(text: string, bytesMax: number): ParsedStatement | undefined {
    if (text.length > TEXT_CHARS_MAX || text.length * BYTES_MAX > bytesMax) return undefined;
    const known = this.#read.get(text);
    if (known !== undefined) return known;
    const before = this.#before.get(text);
    if (before !== undefined) this.keep(text, before);
    return before;
  }

  /** `text` is `parsed` and nothing else. Secrets must not be in it: it is kept. */
  keep(text: string, parsed: ParsedStatement): void {
    if (text.length > TEXT_CHARS_MAX) return;
    if (this.#read.size >= TEXTS_MAX) {
      this.#before = this.#read;
      this.#read = new Map();
    }
    this.#read.set(text, parsed);
  }
}
