/**
 * Token types for Chevrotain. They have no patterns: the lexer is our own (`lexer.ts`), because
 * version comments and linear time on hostile input are easier to see in one loop than in 300
 * regular expressions.
 */
import { createToken, Lexer, type TokenType } from 'chevrotain';
import { PLAIN_WORDS, RESERVED_WORDS, type Keyword } from './keywords.ts';

const make = (name: string, label: string, parent?: TokenType): TokenType =>
  createToken({
    name,
    label,
    pattern: Lexer.NA,
    ...(parent === undefined ? {} : { categories: [parent] }),
  });

/** Any name: an unquoted or quoted one, or a word that is not reserved. */
export const Name = make('Name', 'a name');
const Word = make('Word', 'a name', Name);
const Quoted = make('Quoted', 'a name', Name);

export const T = {
  Word,
  Quoted,
  String: make('String', 'a string'),
  Integer: make('Integer', 'a whole number'),
  Decimal: make('Decimal', 'a number'),
  Hex: make('Hex', 'a hexadecimal literal'),
  Bits: make('Bits', 'a bit literal'),
  UserVar: make('UserVar', "'@name'"),
  /** `(SELECT ...)` in SET and DO, made one token by the reader. */
  Subquery: make('Subquery', 'a query in parentheses'),
  Param: make('Param', "'?'"),
  AtAt: make('AtAt', "'@@'"),
  LParen: make('LParen', "'('"),
  RParen: make('RParen', "')'"),
  LBracket: make('LBracket', "'['"),
  RBracket: make('RBracket', "']'"),
  LBrace: make('LBrace', "'{'"),
  RBrace: make('RBrace', "'}'"),
  Comma: make('Comma', "','"),
  Dot: make('Dot', "'.'"),
  Semicolon: make('Semicolon', "';'"),
  Colon: make('Colon', "':'"),
  At: make('At', "'@'"),
  Assign: make('Assign', "':='"),
  Eq: make('Eq', "'='"),
  NullSafeEq: make('NullSafeEq', "'<=>'"),
  Ne: make('Ne', "'<>'"),
  Lt: make('Lt', "'<'"),
  Le: make('Le', "'<='"),
  Gt: make('Gt', "'>'"),
  Ge: make('Ge', "'>='"),
  Plus: make('Plus', "'+'"),
  Minus: make('Minus', "'-'"),
  Star: make('Star', "'*'"),
  Slash: make('Slash', "'/'"),
  Percent: make('Percent', "'%'"),
  Pipe: make('Pipe', "'|'"),
  PipePipe: make('PipePipe', "'||'"),
  Amp: make('Amp', "'&'"),
  AmpAmp: make('AmpAmp', "'&&'"),
  Shl: make('Shl', "'<<'"),
  Shr: make('Shr', "'>>'"),
  Caret: make('Caret', "'^'"),
  Tilde: make('Tilde', "'~'"),
  Bang: make('Bang', "'!'"),
  Arrow: make('Arrow', "'->'"),
  ArrowText: make('ArrowText', "'->>'"),
} as const satisfies Record<string, TokenType>;

/** Token type by keyword, e.g. `K.WARM`. */
export const K: Readonly<Record<Keyword, TokenType>> = Object.fromEntries([
  ...RESERVED_WORDS.map((word) => [word, make(word, word)]),
  ...PLAIN_WORDS.map((word) => [word, make(word, word, Name)]),
]) as Record<Keyword, TokenType>;

export const ALL_TOKENS: TokenType[] = [Name, ...Object.values(T), ...Object.values(K)];

const BY_WORD: ReadonlyMap<string, TokenType> = new Map(Object.entries(K));
const WORD_LENGTH_MAX = Math.max(...[...BY_WORD.keys()].map((word) => word.length));

/** The keyword's type, or Word. Tries the word as written first: most are in upper case. */
export function wordType(word: string): TokenType {
  if (word.length > WORD_LENGTH_MAX) return Word;
  return BY_WORD.get(word) ?? BY_WORD.get(word.toUpperCase()) ?? Word;
}
