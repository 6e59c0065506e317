/** Statements that only list, as they were read the last time: dashboards send the same ones. */
import type { ParsedStatement } from '../parser/parse.ts';

const TEXTS_MAX = 500;
/** Characters; in bytes less than max_statement_bytes can be set to. */
const TEXT_CHARS_MAX = 300;

/** Texts of all sessions. Reading is 7 % of the work of a SHOW with 20 rows. */
export class ShowTexts {
  readonly #read = new Map<string, ParsedStatement>();

  get(text: string): ParsedStatement | undefined {
    return text.length > TEXT_CHARS_MAX ? undefined : this.#read.get(text);
  }

  /** `text` is `parsed` and nothing else. Secrets must not be in it: it is kept. */
  keep(text: string, parsed: ParsedStatement): void {
    if (text.length > TEXT_CHARS_MAX) return;
    if (this.#read.size >= TEXTS_MAX) this.#read.clear();
    this.#read.set(text, parsed);
  }
}
