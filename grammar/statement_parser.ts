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
import { T } from './tokens.ts';

/** The names of the rules that yield a statement. */
export type RuleName = {
  [Name in keyof SessionRules]: SessionRules[Name] extends () => infer Result
    ? [Result] extends [Statement | Omit<Insert, 'rows'>]
      ? Name
      : never
    : never;
}[keyof SessionRules];

export class StatementParser extends SessionRules {
  constructor() {
    super();
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

/** Keywords first: they are what is usually misspelt. */
function labels(types: readonly TokenType[]): string[] {
  const all = new Set(types.map((type) => type.LABEL ?? type.name));
  const keywords = [...all].filter((label) => /^[A-Z_]+$/.test(label));
  const others = [...all].filter((label) => !/^[A-Z_]+$/.test(label));
  return [...keywords, ...others];
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
