/**
 * The rows of INSERT ... VALUES, straight from the scanner. Rows of plain literals, which is what
 * large INSERTs consist of, become values without token objects; any other row goes through the
 * rule `valueRow`.
 */
import type { TokenType } from 'chevrotain';
import { bitsToHex, hexDigits, stringValue } from './literals.ts';
import { Nesting, type Scanner, type Token } from './lexer.ts';
import type { Expr } from './nodes/expr.ts';
import { CONSTANTS } from './rules/expr.ts';
import type { StatementParser } from './statement_parser.ts';
import { syntaxError } from './syntax_error.ts';
import { K, T } from './tokens.ts';

/**
 * Reads `(..), (..)`; the scanner stands on VALUES before and on the token after the last row
 * afterwards (or at the end). `check` is called after each row with the offset reached.
 */
export function readRows(
  scanner: Scanner,
  parser: StatementParser,
  check: (end: number) => void,
): Expr[][] {
  const rows: Expr[][] = [];
  scanner.advance();
  for (;;) {
    if (scanner.type !== T.LParen) throw expected(scanner, "'('");
    const mark = scanner.mark();
    rows.push(plainRow(scanner) ?? anyRow(scanner, parser, mark));
    check(scanner.end);
    if (!scanner.advance() || scanner.type !== T.Comma) return rows;
    scanner.advance();
  }
}

/** Leaves the scanner on `)`; undefined when the row holds something else than literals. */
function plainRow(scanner: Scanner): Expr[] | undefined {
  const row: Expr[] = [];
  scanner.advance();
  if (scanner.type === T.RParen) return row;
  for (;;) {
    const value = plainValue(scanner);
    if (value === undefined) return undefined;
    row.push(value);
    scanner.advance();
    if (scanner.type === T.RParen) return row;
    if (scanner.type !== T.Comma) return undefined;
    scanner.advance();
  }
}

function plainValue(scanner: Scanner): Expr | undefined {
  const { type } = scanner;
  if (type === T.Minus) {
    scanner.advance();
    const number = numberValue(scanner);
    return number === undefined ? undefined : { kind: 'Unary', op: '-', operand: number };
  }
  return numberValue(scanner) ?? otherValue(scanner, type);
}

function numberValue(scanner: Scanner): Expr | undefined {
  const { type } = scanner;
  if (type !== T.Integer && type !== T.Decimal) return undefined;
  return { kind: 'Number', text: scanner.image };
}

function otherValue(scanner: Scanner, type: TokenType | undefined): Expr | undefined {
  if (type === T.String) return { kind: 'String', value: stringValue(scanner.image) };
  if (type === K.NULL) return CONSTANTS.NULL;
  if (type === K.TRUE) return CONSTANTS.TRUE;
  if (type === K.FALSE) return CONSTANTS.FALSE;
  if (type === K.DEFAULT) return CONSTANTS.DEFAULT;
  if (type === T.Hex) return { kind: 'Bytes', hex: hexDigits(scanner.image) };
  if (type === T.Bits) return { kind: 'Bytes', hex: bitsToHex(scanner.image) };
  return undefined;
}

/** Most tokens of one row that the rule reads; a row of literals has no limit but the length. */
const ROW_TOKENS_MAX = 50_000;

function anyRow(scanner: Scanner, parser: StatementParser, mark: ScannerMark): Expr[] {
  scanner.rewind(mark);
  const nesting = new Nesting();
  const tokens: Token[] = [];
  while (scanner.advance() && scanner.type !== T.Semicolon && tokens.length < ROW_TOKENS_MAX) {
    nesting.step(scanner.type);
    tokens.push(scanner.token());
    if (nesting.depth === 0) return parser.parseRow(tokens, scanner.text);
  }
  // Not closed: the rule says where it goes wrong.
  parser.parseRow(tokens, scanner.text);
  throw expected(scanner, "')'");
}

type ScannerMark = ReturnType<Scanner['mark']>;

function expected(scanner: Scanner, what: string): Error {
  return syntaxError({
    text: scanner.text,
    at: scanner.start,
    found: scanner.type === undefined ? undefined : scanner.image,
    expected: [what],
  });
}
