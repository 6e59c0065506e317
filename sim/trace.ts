/** What happened, in order: a digest of everything, and the last lines in words. */
import { createHash } from 'node:crypto';

/** Lines kept for the report of a failure. */
const KEPT_LINES = 60;

export class Trace {
  readonly #hash = createHash('sha256');
  readonly #last: string[] = [];
  readonly #print: ((line: string) => void) | undefined;
  /** Lines and ticks so far. */
  count = 0;

  /** `print` gets every line as it comes. */
  constructor(print?: (line: string) => void) {
    this.#print = print;
  }

  /** Something worth a line. */
  note(atMs: number, text: string): void {
    const line = `${atMs.toFixed(3).padStart(12)}  ${text}`;
    this.#hash.update(line);
    this.count += 1;
    this.#last.push(line);
    if (this.#last.length > KEPT_LINES) this.#last.shift();
    this.#print?.(line);
  }

  /** An event that only counts for the digest. */
  tick(atMs: number, label: string): void {
    this.#hash.update(`${atMs} ${label}\n`);
    this.count += 1;
  }

  get last(): readonly string[] {
    return this.#last;
  }

  /** Two runs of one seed have the same. */
  digest(): string {
    return this.#hash.copy().digest('hex').slice(0, 16);
  }
}
