/**
 * The tokens of a SELECT as the speller reads them. A scanner of its own, and not the statement
 * grammar's lexer: SELECT takes every operator and literal MySQL has, the grammar only those of
 * our statements, and a token here must keep its exact place, because expressions become column
 * names by their original text.
 */
import { SqlError } from '../../base/errors.ts';

type TokenKind =
  /** Keyword, or name without quotes. */
  | 'word'
  /** Name in backticks; `text` is the name. */
  | 'name'
  /** String literal; `text` is its value. */
  | 'string'
  /** Number as written. */
  | 'number'
  /** `x'4D'`, `0x4D`: `text` is the hex digits; `b'101'`, `0b101`: converted to hex. */
  | 'hex'
  /** `@name`: `text` is the name. */
  | 'userVariable'
  /** `@@name`, `@@session.name`: `text` is what follows `@@`. */
  | 'systemVariable'
  | 'operator'
  | 'end';

export interface SelectToken {
  readonly kind: TokenKind;
  readonly text: string;
  /** Upper case of a word, the text of an operator, else ''. What the speller compares. */
  readonly key: string;
  /** UTF-16 offsets in the statement. */
  readonly offset: number;
  readonly end: number;
}

export interface ScanOptions {
  /** sql_mode ANSI_QUOTES: "x" is a name. */
  readonly ansiQuotes?: boolean;
  /** sql_mode NO_BACKSLASH_ESCAPES. */
  readonly noBackslashEscapes?: boolean;
}

/** Some clients (mysqlslap) send their terminating NUL as part of the text. */
const SPACE = /\s+|\0+$/y;
const WORD = /[\p{L}_$\u0080-\uffff][\p{L}\p{N}_$\u0080-\uffff]*/uy;
/** A name that begins with digits, as in `2nd_table`; tried after numbers. */
const DIGIT_WORD = /\d+[\p{L}_$][\p{L}\p{N}_$]*/uy;
const NUMBER = /(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\p{L}_$\d])/uy;
const HEX = /0x([0-9a-fA-F]+)(?![\p{L}\p{N}_$])|[xX]'([0-9a-fA-F]*)'/uy;
const BITS = /0b([01]+)(?![\p{L}\p{N}_$])|[bB]'([01]*)'/uy;
const OPERATOR = /<=>|->>|->|<=|>=|<>|!=|<<|>>|:=|&&|\|\||[-+*/%^~!=<>&|(),.;?{}]/y;
const SYSTEM_VARIABLE = /@@(?:`[^`]*`|[\w$]+)(?:\.(?:`[^`]*`|[\w$]+))*/y;
const USER_VARIABLE = /@(?:`([^`]*)`|'([^']*)'|"([^"]*)"|([\w$.]*))/y;
const VERSION_COMMENT = /\/\*!(\d{5,6})?/y;
/** Version comments up to this version count as code, as MySQL 8.0 would take them. */
const VERSION_MAX = 80_099;

const ESCAPES: Readonly<Record<string, string>> = {
  '0': '\0',
  b: '\b',
  n: '\n',
  r: '\r',
  t: '\t',
  Z: '\u001a',
};

/** Text → tokens, the last of kind `end`. Throws SYNTAX for what is no token. */
export function scanSelect(sql: string, options: ScanOptions = {}): SelectToken[] {
  const tokens: SelectToken[] = [];
  let at = 0;
  let openComments = 0;
  const match = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(sql) ?? undefined;
  };
  const push = (kind: TokenKind, text: string, end: number): void => {
    const key = kind === 'word' ? text.toUpperCase() : kind === 'operator' ? text : '';
    tokens.push({ kind, text, key, offset: at, end });
    at = end;
  };
  while (at < sql.length) {
    const space = match(SPACE);
    if (space !== undefined) {
      at += space[0].length;
      continue;
    }
    const version = match(VERSION_COMMENT);
    if (version !== undefined && Number(version[1] ?? 0) <= VERSION_MAX) {
      openComments += 1;
      at += version[0].length;
      continue;
    }
    if (openComments > 0 && sql.startsWith('*/', at)) {
      openComments -= 1;
      at += 2;
      continue;
    }
    const commentEnd = skipComment(sql, at);
    if (commentEnd > at) {
      at = commentEnd;
      continue;
    }
    scanOne(sql, at, match, push, options);
  }
  tokens.push({ kind: 'end', text: '', key: '', offset: sql.length, end: sql.length });
  return tokens;
}

function scanOne(
  sql: string,
  at: number,
  match: (pattern: RegExp) => RegExpExecArray | undefined,
  push: (kind: TokenKind, text: string, end: number) => void,
  options: ScanOptions,
): void {
  const head = sql[at];
  if (head === "'" || (head === '"' && options.ansiQuotes !== true)) {
    const { value, end } = scanString(sql, at, options.noBackslashEscapes !== true);
    push('string', value, end);
    return;
  }
  if (head === '`' || head === '"') {
    const { value, end } = scanString(sql, at, false);
    push('name', value, end);
    return;
  }
  const hex = match(HEX);
  if (hex !== undefined) {
    const digits = hex[1] ?? hex[2] ?? '';
    push('hex', digits.length % 2 === 0 ? digits : `0${digits}`, at + hex[0].length);
    return;
  }
  const bits = match(BITS);
  if (bits !== undefined) {
    const digits = BigInt(`0b${bits[1] ?? bits[2] ?? ''}0`) >> 1n;
    const text = digits.toString(16);
    push('hex', text.length % 2 === 0 ? text : `0${text}`, at + bits[0].length);
    return;
  }
  const number = match(NUMBER);
  if (number !== undefined) {
    push('number', number[0], at + number[0].length);
    return;
  }
  const word = match(WORD) ?? match(DIGIT_WORD);
  if (word !== undefined) {
    push('word', word[0], at + word[0].length);
    return;
  }
  const system = match(SYSTEM_VARIABLE);
  if (system !== undefined) {
    push('systemVariable', system[0].slice(2).replaceAll('`', ''), at + system[0].length);
    return;
  }
  const user = match(USER_VARIABLE);
  if (user !== undefined) {
    push('userVariable', user[1] ?? user[2] ?? user[3] ?? user[4] ?? '', at + user[0].length);
    return;
  }
  const operator = match(OPERATOR);
  if (operator === undefined) throw syntaxNear(sql, at);
  push('operator', operator[0], at + operator[0].length);
}

/** Where the comment that begins at `at` ends; `at` when none begins there. */
function skipComment(sql: string, at: number): number {
  if (sql[at] === '#' || /^--(?:\s|$)/.test(sql.slice(at, at + 3))) {
    const end = sql.indexOf('\n', at);
    return end < 0 ? sql.length : end + 1;
  }
  if (!sql.startsWith('/*', at)) return at;
  const end = sql.indexOf('*/', at + 2);
  if (end < 0) throw syntaxNear(sql, at);
  return end + 2;
}

function scanString(
  sql: string,
  start: number,
  backslash: boolean,
): { readonly value: string; readonly end: number } {
  const quote = sql[start];
  let value = '';
  let from = start + 1;
  for (let at = from; at < sql.length; at += 1) {
    const char = sql[at];
    if (char === '\\' && backslash) {
      const next = sql[at + 1] ?? '';
      // In a LIKE pattern \% and \_ must stay escaped, so MySQL keeps the backslash there.
      const keep = next === '%' || next === '_';
      value += sql.slice(from, at) + (keep ? `\\${next}` : (ESCAPES[next] ?? next));
      at += 1;
      from = at + 1;
    } else if (char === quote) {
      value += sql.slice(from, at);
      if (sql[at + 1] !== quote) return { value, end: at + 1 };
      value += quote;
      at += 1;
      from = at + 1;
    }
  }
  throw syntaxNear(sql, start);
}

/** Most characters of the statement that an error quotes, as in MySQL. */
const NEAR_LENGTH_MAX = 80;

/** MySQL's 1064 with the text from `offset` on and the line. */
export function syntaxNear(sql: string, offset: number, expected?: string): SqlError {
  const near = sql.slice(offset, offset + NEAR_LENGTH_MAX);
  const line = sql.slice(0, offset).split('\n').length;
  const what = expected === undefined ? '' : `, expected ${expected}`;
  return new SqlError('SYNTAX', {
    what: `check the manual for the right syntax to use near '${near}' at line ${line}${what}`,
  });
}
