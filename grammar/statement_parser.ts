/** The parser: all rules, made once per process, and what it says when a rule does not match. */
import type { ISerializedGast, TokenType } from 'chevrotain';
import type { SqlError } from '../base/errors.ts';
import { furthest } from './expected.ts';
import type { Token } from './lexer.ts';
import type { Expr } from './nodes/expr.ts';
import type { Statement } from './nodes/statement.ts';
import type { Insert } from './nodes/tables.ts';
import { SessionRules } from './rules/session.ts';
import { syntaxError } from './syntax_error.ts';
import { K, Name, T } from './tokens.ts';

/** The names of the rules that yield a statement. */
export type RuleName = {
  [Name in keyof SessionRules]: SessionRules[Name] extends () => infer Result
    ? [Result] extends [Statement | Omit<Insert, 'rows'>]
      ? Name
      : never
    : never;
}[keyof SessionRules];

export class StatementParser extends SessionRules {
  constructor(validate = false) {
    super(validate);
    this.performSelfAnalysis();
  }

  /** One statement's tokens by the rule its head named; `text` is for the error's place. */
  parseStatement(rule: RuleName, tokens: Token[], text: string): Statement | Omit<Insert, 'rows'> {
    this.#begin(tokens);
    const statement = this[rule]();
    if (this.errors.length > 0) throw this.#fault(rule, tokens, text);
    return statement;
  }

  /** One parenthesised row of INSERT. */
  parseRow(tokens: Token[], text: string): Expr[] {
    this.#begin(tokens);
    const row = this.valueRow();
    if (this.errors.length > 0) throw this.#fault('valueRow', tokens, text);
    return row;
  }

  /** The grammar as data, for diagrams. */
  productions(): ISerializedGast[] {
    return this.getSerializedGastProductions();
  }

  #begin(tokens: Token[]): void {
    this.input = tokens;
    this.resetCounts();
  }

  /** The furthest place the grammar gets to, or else what Chevrotain's first error says. */
  #fault(rule: string, tokens: readonly Token[], text: string): SqlError {
    const start = this.getGAstProductions()[rule];
    const walk = start === undefined ? undefined : furthest(start, tokens);
    const faulty = this.errors[0]?.token;
    const index = walk?.at ?? tokens.findIndex((token) => token === faulty);
    const token = tokens[index];
    const last = tokens.at(-1);
    const words = labels(walk?.expected ?? []);
    if (walk?.complete === true) words.push('the end of the statement');
    return syntaxError({
      text,
      at: token?.startOffset ?? (last === undefined ? 0 : last.endOffset + 1),
      found: token?.image,
      expected: words,
    });
  }
}

/** Tokens that begin an expression and operators are many: each group is one label. */
const OPERATORS: ReadonlySet<TokenType> = new Set(
  [
    T.Eq,
    T.NullSafeEq,
    T.Ne,
    T.Lt,
    T.Le,
    T.Gt,
    T.Ge,
    T.Plus,
    T.Minus,
    T.Star,
    T.Slash,
    T.Percent,
  ].concat(
    [
      T.Pipe,
      T.PipePipe,
      T.Amp,
      T.AmpAmp,
      T.Shl,
      T.Shr,
      T.Caret,
      K.AND,
      K.OR,
      K.XOR,
      K.NOT,
      K.DIV,
      K.MOD,
    ],
    [K.IS, K.IN, K.LIKE, K.REGEXP, K.RLIKE, K.BETWEEN],
  ),
);
const OPERANDS: ReadonlySet<TokenType> = new Set(
  [T.String, T.Integer, T.Decimal, T.Hex, T.Bits, T.UserVar, T.AtAt, T.LParen, Name].concat(
    [T.Subquery],
    [T.Plus, T.Minus, T.Tilde, T.Bang, K.NOT, K.NULL, K.TRUE, K.FALSE, K.DEFAULT, K.CASE, K.CAST],
    [K.CURRENT_TIMESTAMP, K.CURRENT_USER, K.IF, K.REPLACE, K.DATABASE, K.SCHEMA, K.MOD],
  ),
);

/** Keywords first: they are what is usually misspelt. */
function labels(types: readonly TokenType[]): string[] {
  let rest = [...new Set(types)];
  const groups: string[] = [];
  if (rest.includes(K.CAST)) {
    groups.push('an expression');
    rest = rest.filter((type) => !OPERANDS.has(type));
  }
  if (rest.includes(T.Slash)) {
    groups.push('an operator');
    rest = rest.filter((type) => !OPERATORS.has(type));
  }
  const all = [...new Set(rest.map((type) => type.LABEL ?? type.name))];
  const isWord = (label: string): boolean => /^[A-Z_]+$/.test(label);
  return [...all.filter(isWord), ...all.filter((label) => !isWord(label)), ...groups];
}

let shared: StatementParser | undefined;

/** The process's parser: building it costs some tens of milliseconds, so it is done once. */
export function statementParser(): StatementParser {
  shared ??= new StatementParser();
  return shared;
}

/** Types that begin a query, which is not parsed here. */
export function beginsQuery(type: TokenType | undefined): boolean {
  return type !== undefined && (type === T.LParen || QUERY_TYPES.has(type.name));
}

const QUERY_TYPES: ReadonlySet<string> = new Set(['SELECT', 'WITH', 'VALUES', 'TABLE']);
