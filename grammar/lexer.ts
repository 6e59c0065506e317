/**
 * The lexer: one forward pass without regular expressions, linear in the length of the text
 * whatever stands in it. `Scanner` moves over the text without allocating; `tokenize` makes the
 * token objects that Chevrotain and the SELECT translator read.
 *
 * As MySQL: "x" and 'x' are strings, `x` is a name (`ScanModes` has the other ways), `#` and `-- `
 * begin comments, the text in a version comment is read when the version is ours or older,
 * `_charset'x'` and N'x' are strings.
 */
import type { IToken, TokenType } from 'chevrotain';
import { SqlError } from '../base/errors.ts';
import { syntaxError } from './syntax_error.ts';
import { K, T, wordType } from './tokens.ts';

/** Version comments up to this one are read: 5.7.99, which the server announces by default. */
export const COMMENT_VERSION_MAX = 50_799;
/** Deepest nesting of brackets and CASE; Chevrotain overflows the stack at about 2,000. */
export const NESTING_MAX = 200;

/** What the SELECT translator and the parser read. `endOffset` is inclusive (Chevrotain's way). */
export interface Token extends IToken {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly tokenTypeIdx: number;
}

const WORD = 1;
const DIGIT = 2;
const SPACE = 4;
const CLASS = new Uint8Array(128);
for (let c = 0; c < 128; c += 1) {
  const char = String.fromCodePoint(c);
  if (/[A-Za-z_$]/.test(char)) CLASS[c] = WORD;
  else if (/[0-9]/.test(char)) CLASS[c] = DIGIT | WORD;
  else if (/[\t-\r ]/.test(char)) CLASS[c] = SPACE;
}

/** Letters, digits, `_`, `$` and everything beyond ASCII. */
const isWordChar = (c: number): boolean => c >= 128 || ((CLASS[c] ?? 0) & WORD) !== 0;
const isDigit = (c: number): boolean => c >= 48 && c <= 57;
const isSpace = (c: number): boolean => c < 128 && ((CLASS[c] ?? 0) & SPACE) !== 0;
const isHexDigit = (c: number): boolean => isDigit(c) || ((c | 32) >= 97 && (c | 32) <= 102);

/** Names of character sets that may introduce a string; the strings of all are Unicode here. */
const INTRODUCERS = new Set(
  ['utf8', 'utf8mb3', 'utf8mb4', 'latin1', 'ascii', 'binary', 'ucs2', 'utf16', 'gbk'].map(
    (name) => `_${name}`,
  ),
);

const QUOTE = 39;
const DOUBLE_QUOTE = 34;
const BACKTICK = 96;
const BACKSLASH = 92;
const STAR = 42;
const SLASH = 47;
const DASH = 45;
const NEWLINE = 10;
const DOT = 46;

/** One-character tokens by code. */
const SINGLE: readonly (TokenType | undefined)[] = (() => {
  const table: (TokenType | undefined)[] = Array.from({ length: 128 });
  const put = (char: string, type: TokenType): void => {
    table[char.charCodeAt(0)] = type;
  };
  put('(', T.LParen);
  put(')', T.RParen);
  put('[', T.LBracket);
  put(']', T.RBracket);
  put('{', T.LBrace);
  put('}', T.RBrace);
  put(',', T.Comma);
  put('.', T.Dot);
  put(';', T.Semicolon);
  put(':', T.Colon);
  put('@', T.At);
  put('=', T.Eq);
  put('<', T.Lt);
  put('>', T.Gt);
  put('+', T.Plus);
  put('-', T.Minus);
  put('*', T.Star);
  put('/', T.Slash);
  put('%', T.Percent);
  put('|', T.Pipe);
  put('&', T.Amp);
  put('^', T.Caret);
  put('~', T.Tilde);
  put('!', T.Bang);
  put('?', T.Param);
  return table;
})();

/** Longer ones first. */
const MULTI: Readonly<Record<string, readonly (readonly [string, TokenType])[]>> = {
  '<': [
    ['<=>', T.NullSafeEq],
    ['<=', T.Le],
    ['<>', T.Ne],
    ['<<', T.Shl],
  ],
  '>': [
    ['>=', T.Ge],
    ['>>', T.Shr],
  ],
  '!': [['!=', T.Ne]],
  ':': [[':=', T.Assign]],
  '|': [['||', T.PipePipe]],
  '&': [['&&', T.AmpAmp]],
  '-': [
    ['->>', T.ArrowText],
    ['->', T.Arrow],
  ],
};

/** What sql_mode says of quotes. */
export interface ScanModes {
  /** ANSI_QUOTES: "x" is a name. */
  readonly ansiQuotes: boolean;
  /** NO_BACKSLASH_ESCAPES: a backslash in a string is a character as any other. */
  readonly noBackslashEscapes: boolean;
}

export const DEFAULT_MODES: ScanModes = { ansiQuotes: false, noBackslashEscapes: false };

/** Moves over the tokens of a text; `advance` sets `type`, `start` and `end` of the next one. */
export class Scanner {
  readonly text: string;
  /** End of the text without trailing NULs, which mysqlslap sends. */
  readonly length: number;
  /** Token under the scanner; undefined at the end of the text. */
  type: TokenType | undefined = undefined;
  start = 0;
  /** Exclusive. */
  end: number;
  /** Whether any comment was passed over. */
  sawComment = false;
  /** Offset of the version comment being read, or -1. */
  versionComment = -1;
  /** Whether the token before ended right here and was a name or a dot: `t.1a`, `t.select`. */
  #afterDot = false;
  #afterName = false;
  readonly #modes: ScanModes;

  constructor(text: string, modes: ScanModes = DEFAULT_MODES) {
    this.text = text;
    this.end = 0;
    this.#modes = modes;
    let { length } = text;
    while (length > 0 && text.charCodeAt(length - 1) === 0) length -= 1;
    this.length = length;
  }

  /** To the next token; false at the end. Throws SYNTAX on what cannot be a token. */
  advance(): boolean {
    const from = this.end;
    const at = this.#skipBlank(from);
    const glued = at === from;
    this.start = at;
    if (at >= this.length) {
      this.#atEnd();
      return false;
    }
    const c = this.text.charCodeAt(at);
    const afterDot = glued && this.#afterDot;
    const afterName = glued && this.#afterName;
    this.#afterDot = false;
    this.#afterName = false;
    if (isWordChar(c)) {
      if (!isDigit(c) || afterDot) this.#word(c, afterDot);
      else this.#number(at);
    } else if (c === DOUBLE_QUOTE && this.#modes.ansiQuotes) {
      this.#set(T.Quoted, this.#quotedEnd(at, c, false));
      this.#afterName = true;
    } else if (c === QUOTE || c === DOUBLE_QUOTE) {
      this.#set(T.String, this.#quotedEnd(at, c, true));
    } else if (c === BACKTICK) {
      this.#set(T.Quoted, this.#quotedEnd(at, c, false));
      this.#afterName = true;
    } else if (c === DOT && !afterName && isDigit(this.text.charCodeAt(at + 1))) {
      this.#number(at);
    } else {
      this.#punctuation(c, at);
    }
    return true;
  }

  /** The token's text, as it would be written without any mode. */
  get image(): string {
    const image = this.text.slice(this.start, this.end);
    const { ansiQuotes, noBackslashEscapes } = this.#modes;
    if (!ansiQuotes && !noBackslashEscapes) return image;
    if (this.type === T.Quoted && image.startsWith('"')) return backticked(image);
    const isText = this.type === T.String || this.type === T.UserVar;
    return noBackslashEscapes && isText ? image.replaceAll('\\', '\\\\') : image;
  }

  /** The token as an object, for Chevrotain. */
  token(): Token {
    const type = this.type ?? T.Semicolon;
    return {
      image: this.image,
      startOffset: this.start,
      endOffset: this.end - 1,
      tokenTypeIdx: type.tokenTypeIdx ?? 0,
      tokenType: type,
    };
  }

  /** The state before the token under the scanner: `rewind` makes `advance` find it again. */
  mark(): { readonly start: number; readonly versionComment: number } {
    return { start: this.start, versionComment: this.versionComment };
  }

  rewind(mark: { readonly start: number; readonly versionComment: number }): void {
    this.end = mark.start;
    this.versionComment = mark.versionComment;
    this.#afterDot = false;
    this.#afterName = false;
  }

  #set(type: TokenType, end: number): void {
    this.type = type;
    this.end = end;
  }

  #atEnd(): void {
    if (this.versionComment >= 0) throw this.#unterminated(this.versionComment, 'comment');
    this.type = undefined;
    this.end = this.length;
  }

  #word(first: number, afterDot: boolean): void {
    const { text, start } = this;
    let end = start + 1;
    while (end < this.length && isWordChar(text.charCodeAt(end))) end += 1;
    if (text.charCodeAt(end) === QUOTE && end === start + 1) {
      const letter = first | 32;
      if (letter === 110 /* n */) return this.#set(T.String, this.#quotedEnd(end, QUOTE, true));
      if (letter === 120 /* x */) return this.#digitsInQuotes(T.Hex, end);
      if (letter === 98 /* b */) return this.#digitsInQuotes(T.Bits, end);
    }
    const word = text.slice(start, end);
    if (first === 95 /* _ */ && INTRODUCERS.has(word.toLowerCase()) && this.#string(end)) {
      this.end = end;
      this.advance();
      return;
    }
    if (first >= 0x2018 && first <= 0x201d) this.#typographic(start);
    this.#set(afterDot ? T.Word : wordType(word), end);
    this.#afterName = true;
  }

  /** Whether a string or hexadecimal literal follows: then `_utf8` introduces it. */
  #string(from: number): boolean {
    const { versionComment } = this;
    const at = this.#skipBlank(from);
    this.versionComment = versionComment;
    const c = this.text.charCodeAt(at);
    const quote = c === QUOTE || c === DOUBLE_QUOTE;
    const next = this.text.charCodeAt(at + 1);
    return quote || (next === QUOTE && (c | 32) === 120) || (c === 48 && (next | 32) === 120);
  }

  #typographic(at: number): never {
    const { text } = this;
    throw syntaxError({ text, at, detail: "typographic quotes are not SQL quotes: use ' or `" });
  }

  /** Integer, decimal, float, 0x.., 0b.., or a name that begins with digits. */
  #number(at: number): void {
    const { text } = this;
    if (text.charCodeAt(at) === 48 && this.#radixNumber(at)) return;
    let end = at;
    while (isDigit(text.charCodeAt(end))) end += 1;
    const whole = end;
    if (text.charCodeAt(end) === DOT) {
      end += 1;
      while (isDigit(text.charCodeAt(end))) end += 1;
    }
    const exponent = this.#exponentEnd(end);
    if (exponent > end) return this.#set(T.Decimal, exponent);
    if (end === whole && end < this.length && isWordChar(text.charCodeAt(end))) {
      while (end < this.length && isWordChar(text.charCodeAt(end))) end += 1;
      this.#afterName = true;
      return this.#set(T.Word, end);
    }
    this.#set(end === whole ? T.Integer : T.Decimal, end);
  }

  /** End of `e[+-]digits`, or `from` when none is there. `1e` and `1ex` are names. */
  #exponentEnd(from: number): number {
    const { text } = this;
    if ((text.charCodeAt(from) | 32) !== 101) return from;
    let end = from + 1;
    const sign = text.charCodeAt(end);
    if (sign === 43 || sign === 45) end += 1;
    if (!isDigit(text.charCodeAt(end))) return from;
    while (isDigit(text.charCodeAt(end))) end += 1;
    return end < this.length && isWordChar(text.charCodeAt(end)) ? from : end;
  }

  #radixNumber(at: number): boolean {
    const { text } = this;
    const letter = text.charCodeAt(at + 1);
    if (letter !== 120 && letter !== 98) return false;
    const hex = letter === 120;
    let end = at + 2;
    for (; ; end += 1) {
      const c = text.charCodeAt(end);
      if (!(hex ? isHexDigit(c) : c === 48 || c === 49)) break;
    }
    if (end === at + 2 || (end < this.length && isWordChar(text.charCodeAt(end)))) return false;
    this.#set(hex ? T.Hex : T.Bits, end);
    return true;
  }

  #digitsInQuotes(type: TokenType, quote: number): void {
    const { text, start } = this;
    const end = this.#quotedEnd(quote, QUOTE, false);
    const digits = text.slice(quote + 1, end - 1);
    const good = type === T.Hex ? /^(?:[0-9A-Fa-f]{2})*$/ : /^[01]*$/;
    if (!good.test(digits)) {
      const what = type === T.Hex ? 'an even number of hexadecimal digits' : '0 and 1';
      throw syntaxError({ text, at: start, detail: `expected ${what} between the quotes` });
    }
    this.#set(type, end);
  }

  /** End (exclusive) of what begins with a quote at `at`. */
  #quotedEnd(at: number, quote: number, backslash: boolean): number {
    const { text, length } = this;
    for (let i = at + 1; i < length; i += 1) {
      const c = text.charCodeAt(i);
      if (c === quote) {
        if (text.charCodeAt(i + 1) !== quote || i + 1 >= length) return i + 1;
        i += 1;
      } else if (c === BACKSLASH && backslash && !this.#modes.noBackslashEscapes) {
        i += 1;
      } else if (c === 0 && quote === BACKTICK) {
        throw this.#nul(i);
      }
    }
    throw this.#unterminated(at, quote === BACKTICK ? 'quoted name' : 'string');
  }

  #unterminated(at: number, what: string): SqlError {
    return syntaxError({ text: this.text, at, detail: `this ${what} is never closed` });
  }

  #nul(at: number): SqlError {
    return syntaxError({ text: this.text, at, detail: 'NUL byte outside a string' });
  }

  #punctuation(c: number, at: number): void {
    const { text } = this;
    if (c === 64 /* @ */) return this.#atSign(at);
    const char = text.charAt(at);
    for (const [image, type] of MULTI[char] ?? []) {
      if (text.startsWith(image, at)) return this.#set(type, at + image.length);
    }
    const type = SINGLE[c];
    if (type === undefined) {
      if (c === 0) throw this.#nul(at);
      throw syntaxError({ text, at, detail: `unexpected character ${JSON.stringify(char)}` });
    }
    this.#afterDot = c === DOT;
    this.#set(type, at + 1);
  }

  /** `@@`, `@name`, `@'name'`, or a bare `@`. */
  #atSign(at: number): void {
    const { text } = this;
    const next = text.charCodeAt(at + 1);
    if (next === 64) return this.#set(T.AtAt, at + 2);
    if (next === QUOTE || next === DOUBLE_QUOTE || next === BACKTICK) {
      return this.#set(T.UserVar, this.#quotedEnd(at + 1, next, next !== BACKTICK));
    }
    let end = at + 1;
    while (end < this.length) {
      const c = text.charCodeAt(end);
      if (!isWordChar(c) && c !== DOT) break;
      end += 1;
    }
    this.#set(end === at + 1 ? T.At : T.UserVar, end);
  }

  /** Past blanks and comments, into and out of version comments. */
  #skipBlank(from: number): number {
    const { text, length } = this;
    let at = from;
    while (at < length) {
      const c = text.charCodeAt(at);
      if (isSpace(c)) {
        at += 1;
      } else if (c === 35 /* # */ || (c === DASH && this.#dashComment(at))) {
        this.sawComment = true;
        const newline = text.indexOf('\n', at);
        at = newline < 0 ? length : newline + 1;
      } else if (c === SLASH && text.charCodeAt(at + 1) === STAR) {
        this.sawComment = true;
        at = this.#comment(at);
      } else if (c === STAR && text.charCodeAt(at + 1) === SLASH && this.versionComment >= 0) {
        this.versionComment = -1;
        at += 2;
      } else {
        return at;
      }
    }
    return length;
  }

  /** `--` counts only before a blank, a control character or the end: `5--1` is arithmetic. */
  #dashComment(at: number): boolean {
    if (this.text.charCodeAt(at + 1) !== DASH) return false;
    const after = this.text.charCodeAt(at + 2);
    return at + 2 >= this.length || after <= 32 || after === NEWLINE;
  }

  #comment(at: number): number {
    const { text } = this;
    if (text.charCodeAt(at + 2) !== 33 /* ! */) {
      const close = text.indexOf('*/', at + 2);
      if (close < 0 || close + 2 > this.length) throw this.#unterminated(at, 'comment');
      return close + 2;
    }
    let end = at + 3;
    while (end < at + 9 && isDigit(text.charCodeAt(end))) end += 1;
    const digits = end - (at + 3);
    if (digits < 5) end = at + 3;
    if (digits >= 5 && Number(text.slice(at + 3, end)) > COMMENT_VERSION_MAX) {
      return this.#skippedVersionComment(at);
    }
    if (this.versionComment < 0) this.versionComment = at;
    return end;
  }

  /** Of a newer version: passed over, with one level of comments inside, as MySQL does. */
  #skippedVersionComment(at: number): number {
    const { text } = this;
    let from = at + 3;
    for (;;) {
      const close = text.indexOf('*/', from);
      if (close < 0) throw this.#unterminated(at, 'comment');
      const inner = text.slice(from, close).indexOf('/*');
      if (inner < 0) return close + 2;
      from = close + 2;
    }
  }
}

/** `"a""b"` as a name in backticks. */
function backticked(image: string): string {
  const name = image.slice(1, -1).replaceAll('""', '"');
  return `\`${name.replaceAll('`', '``')}\``;
}

/** All tokens of a text, `;` included; comments are gone. Throws SYNTAX, STATEMENT_TOO_COMPLEX. */
export function tokenize(text: string): Token[] {
  const scanner = new Scanner(text);
  const nesting = new Nesting();
  const tokens: Token[] = [];
  while (scanner.advance()) {
    nesting.step(scanner.type);
    tokens.push(scanner.token());
  }
  return tokens;
}

/** Counts open brackets and CASEs, before any recursive rule sees them. */
export class Nesting {
  depth = 0;
  #cases = 0;

  step(type: TokenType | undefined): void {
    if (type === T.LParen || type === T.LBracket || type === T.LBrace) {
      this.depth += 1;
      if (this.depth > NESTING_MAX) throw tooDeep();
    } else if (type === T.RParen || type === T.RBracket || type === T.RBrace) {
      this.depth = Math.max(0, this.depth - 1);
    } else if (type === K.CASE) {
      // END is also a name, so it is not taken as the other end of anything.
      this.#cases += 1;
      if (this.#cases > NESTING_MAX) throw tooDeep();
    }
  }
}

function tooDeep(): SqlError {
  return new SqlError('STATEMENT_TOO_COMPLEX', { limit: NESTING_MAX, what: 'levels of nesting' });
}
