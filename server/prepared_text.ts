/** A statement with `?` placeholders: where they are, and the text with literals in their places. */
import { Scanner } from '../grammar/lexer.ts';
import { K, T } from '../grammar/tokens.ts';
import { SqlError } from '../base/errors.ts';

/** A value for a placeholder; bytes that are no text become a hexadecimal literal. */
export type BoundValue = null | number | bigint | string | Uint8Array;

export class PreparedText {
  /** Text before, between and behind the placeholders. */
  readonly #pieces: readonly string[];
  /** Which placeholders are numbers of rows: those a client sends as text count, too. */
  readonly #counts: readonly boolean[];

  /** Throws the lexer's errors: an open string or comment. */
  constructor(sql: string) {
    const pieces: string[] = [];
    const counts: boolean[] = [];
    const scanner = new Scanner(sql);
    let from = 0;
    let inLimit = false;
    while (scanner.advance()) {
      const { type } = scanner;
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
      const isCount = this.#counts[at] === true && /^\d+$/.test(String(value));
      const literal = isCount ? String(value) : literalText(value, backslashEscapes);
      text += `${literal}${this.#pieces[at + 1] ?? ''}`;
    });
    return text;
  }
}

/** A literal that stands for itself wherever a placeholder may stand. */
export function literalText(value: BoundValue, backslashEscapes: boolean): string {
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
