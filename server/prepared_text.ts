/** A statement with `?` placeholders: where they are, and the text with literals in their places. */
import { type ScanModes, Scanner } from '../grammar/lexer.ts';
import { K, T } from '../grammar/tokens.ts';
import { SqlError } from '../base/errors.ts';
import type { Statement } from '../parser/statement.ts';

/** A value that a client sent as of this type, as MySQL writes it. */
export interface TypedValue {
  readonly kind: 'DATE' | 'TIMESTAMP' | 'TIME' | 'DECIMAL';
  readonly text: string;
}

/** A value for a placeholder; bytes that are no text become a hexadecimal literal. */
export type BoundValue = null | number | bigint | string | Uint8Array | TypedValue;

/**
 * What stands for every placeholder when a statement is looked at before its values are known:
 * a number that nobody writes, so that it is found again in the names of columns.
 */
const SAMPLE = 1_970_110_233;
const COUNT = /^\d+$/;

export class PreparedText {
  /** Text before, between and behind the placeholders. */
  readonly #pieces: readonly string[];
  /** Which placeholders are numbers of rows: those a client sends as text count, too. */
  readonly #counts: readonly boolean[];
  /** A query knows literals of dates and times; elsewhere they are written as strings. */
  readonly #isQuery: boolean;

  /** Bytes of the text. */
  readonly bytes: number;

  /** Throws the lexer's errors: an open string or comment. */
  constructor(sql: string, modes: ScanModes) {
    this.bytes = Buffer.byteLength(sql);
    const pieces: string[] = [];
    const counts: boolean[] = [];
    const scanner = new Scanner(sql, modes);
    let from = 0;
    let inLimit = false;
    let first: unknown;
    while (scanner.advance()) {
      const { type } = scanner;
      first ??= type;
      if (type === K.LIMIT || type === K.OFFSET) inLimit = true;
      else if (type !== T.Param && type !== T.Comma) inLimit = false;
      if (type !== T.Param) continue;
      pieces.push(sql.slice(from, scanner.start));
      counts.push(inLimit);
      from = scanner.end;
    }
    pieces.push(sql.slice(from));
    this.#pieces = pieces;
    this.#counts = counts;
    this.#isQuery = first === K.SELECT || first === K.WITH || first === T.LParen;
  }

  get parameters(): number {
    return this.#pieces.length - 1;
  }

  /** Throws WRONG_ARGUMENTS when the number of values is not that of the placeholders. */
  bind(values: readonly BoundValue[], backslashEscapes: boolean): string {
    if (values.length !== this.parameters) {
      throw new SqlError('WRONG_ARGUMENTS', { what: 'EXECUTE' });
    }
    let text = this.#pieces[0] ?? '';
    values.forEach((value, at) => {
      const isCount = this.#counts[at] === true && typeof value === 'string' && COUNT.test(value);
      const literal = isCount ? value : this.#literal(value, backslashEscapes);
      text += `${literal}${this.#pieces[at + 1] ?? ''}`;
    });
    return text;
  }

  #literal(value: BoundValue, backslashEscapes: boolean): string {
    if (!isTyped(value)) return literalText(value, backslashEscapes);
    if (value.kind === 'DECIMAL') return ` ${value.text}`;
    return this.#isQuery ? `${value.kind}'${value.text}'` : `'${value.text}'`;
  }

  /**
   * The statement with values in place of its placeholders, to see whether it can be read at all;
   * undefined when that depends on what comes in (a number here, a string there). Throws what
   * `read` throws for a statement that is wrong whatever comes in.
   */
  sample(read: (sql: string) => Statement | undefined): Statement | undefined {
    let failure: unknown;
    for (const value of [SAMPLE, String(SAMPLE)]) {
      try {
        const values = Array.from({ length: this.parameters }, () => value);
        return read(this.bind(values, true));
      } catch (error) {
        failure ??= error;
      }
    }
    if (this.parameters >= 2) return undefined;
    throw failure;
  }
}

/** The name of a column of the sample as MySQL has it: with a `?` for what stands for one. */
export function placeholderName(name: string): string {
  return name.replaceAll(new RegExp(`'${SAMPLE}'|${SAMPLE}`, 'g'), '?');
}

function isTyped(value: BoundValue): value is TypedValue {
  return typeof value === 'object' && value !== null && 'kind' in value;
}

/** A literal that stands for itself wherever a placeholder may stand. */
export function literalText(
  value: Exclude<BoundValue, TypedValue>,
  backslashEscapes: boolean,
): string {
  if (value === null) return 'NULL';
  if (typeof value === 'string') return quoted(value, backslashEscapes);
  if (typeof value === 'object') return `x'${Buffer.from(value).toString('hex')}'`;
  // `a -?` with -5 must not become a comment.
  return value < 0 ? ` ${value}` : `${value}`;
}

function quoted(text: string, backslashEscapes: boolean): string {
  const escaped = backslashEscapes ? text.replaceAll('\\', '\\\\') : text;
  return `'${escaped.replaceAll("'", "''")}'`;
}
