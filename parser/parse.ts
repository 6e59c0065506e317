/** Text of a request → statements, one at a time, so that the session can run each in between. */
import { SqlError } from '../base/errors.ts';
import { findHead, headWord } from '../grammar/heads.ts';
import { Nesting, type ScanModes, Scanner, type Token } from '../grammar/lexer.ts';
import { IDENTIFIER_LENGTH_MAX } from '../base/schema.ts';
import { nameValue } from '../grammar/literals.ts';
import type { Statement } from '../grammar/nodes/statement.ts';
import type { Insert } from '../grammar/nodes/tables.ts';
import { beginsQuery, statementParser } from '../grammar/statement_parser.ts';
import { syntaxError } from '../grammar/syntax_error.ts';
import { K, T } from '../grammar/tokens.ts';
import { readRows } from '../grammar/value_rows.ts';

export interface ParseOptions {
  /** Longest statement, bytes (max_statement_bytes). */
  readonly maxBytes: number;
  /** Longest INSERT ... VALUES, bytes (max_allowed_packet). */
  readonly insertMaxBytes: number;
  /** Whether more than one statement may come (the client's MULTI_STATEMENTS). */
  readonly allowMulti: boolean;
  /** Default: as MySQL's default sql_mode. */
  readonly modes?: ScanModes;
}

export interface ParsedStatement {
  readonly statement: Statement;
  /** The statement without its `;`. */
  readonly text: string;
  /** Offsets in the text of the request, UTF-16 units; end is exclusive. */
  readonly start: number;
  readonly end: number;
}

/** All statements at once. Throws what the first bad one throws, whatever came before it. */
export function parseStatements(text: string, options: ParseOptions): readonly ParsedStatement[] {
  return [...readStatements(text, options)];
}

/**
 * Yields each statement; throws SYNTAX, EMPTY_QUERY, STATEMENT_TOO_LONG, STATEMENT_TOO_COMPLEX,
 * IDENT_TOO_LONG, ... at the one that is bad, after those before it were yielded.
 */
export function* readStatements(text: string, options: ParseOptions): Generator<ParsedStatement> {
  const reader = new StatementReader(text, options);
  for (let next = reader.next(); next !== undefined; next = reader.next()) yield next;
}

export class StatementReader {
  readonly #text: string;
  readonly #options: ParseOptions;
  readonly #scanner: Scanner;
  /** Offset where the statement being read begins. */
  #start = 0;
  #count = 0;
  #done = false;

  constructor(text: string, options: ParseOptions) {
    this.#text = text;
    this.#options = options;
    this.#scanner = new Scanner(text, options.modes);
  }

  /** The next statement; undefined after the last. */
  next(): ParsedStatement | undefined {
    const scanner = this.#scanner;
    if (this.#done) return undefined;
    do {
      if (!scanner.advance()) return this.#atEnd();
    } while (scanner.type === T.Semicolon);
    if (this.#count > 0 && !this.#options.allowMulti) throw this.#second();
    this.#count += 1;
    const { start, versionComment } = scanner;
    this.#start = start;
    if (beginsQuery(scanner.type)) return this.#query(versionComment);
    const statement = this.#statement();
    return this.#parsed(statement, scanner.type === undefined ? scanner.length : scanner.start);
  }

  #atEnd(): ParsedStatement | undefined {
    this.#done = true;
    if (this.#count > 0) return undefined;
    if (!this.#scanner.sawComment) throw new SqlError('EMPTY_QUERY');
    return { statement: { kind: 'Empty' }, text: this.#text, start: 0, end: this.#text.length };
  }

  #second(): SqlError {
    const { start, image } = this.#scanner;
    const detail = `found '${image.slice(0, 40)}' after the end of the statement; this connection sends one statement at a time`;
    return syntaxError({ text: this.#text, at: start, detail });
  }

  #parsed(statement: Statement, end: number): ParsedStatement {
    const text = this.#text.slice(this.#start, end).trimEnd();
    const start = this.#start;
    return { statement: frozen(statement), text, start, end: start + text.length };
  }

  /** A query is kept as text up to its `;`. */
  #query(versionComment: number): ParsedStatement {
    const scanner = this.#scanner;
    const nesting = new Nesting();
    let open: boolean;
    do {
      nesting.step(scanner.type);
      this.#checkLength(scanner.end, this.#options.maxBytes, 'max_statement_bytes');
      open = scanner.advance();
    } while (open && scanner.type !== T.Semicolon);
    const end = open ? scanner.start : scanner.length;
    const start = versionComment < 0 ? this.#start : Math.min(versionComment, this.#start);
    const opening = versionComment < 0 || versionComment >= start ? '' : '/*! ';
    const closing = scanner.versionComment < 0 ? '' : ' */';
    const text = `${opening}${this.#text.slice(start, end).trimEnd()}${closing}`;
    this.#checkBytes(text, this.#options.maxBytes, 'max_statement_bytes');
    return { ...this.#parsed({ kind: 'Select', text, at: start }, end), start };
  }

  /** Reads up to `;` or the end; INSERT is read to VALUES first and then by rows. */
  #statement(): Statement {
    const scanner = this.#scanner;
    const tokens: Token[] = [];
    const nesting = new Nesting();
    const insert = scanner.type === K.INSERT;
    do {
      if (scanner.type === T.Semicolon) break;
      nesting.step(scanner.type);
      this.#checkLength(scanner.end, this.#options.maxBytes, 'max_statement_bytes');
      const token = scanner.token();
      if (token.endOffset - token.startOffset >= IDENTIFIER_LENGTH_MAX) checkName(token);
      tokens.push(token);
      if (insert && nesting.depth === 0 && endsInsertHead(tokens)) return this.#insert(tokens);
    } while (scanner.advance());
    const end = scanner.type === undefined ? scanner.length : scanner.start;
    this.#checkBytes(
      this.#text.slice(this.#start, end),
      this.#options.maxBytes,
      'max_statement_bytes',
    );
    return this.#byHead(tokens);
  }

  #byHead(read: Token[]): Statement {
    const text = this.#text;
    const first = read[0]?.tokenType;
    const tokens = first === K.SET || first === K.DO ? withSubqueries(read, text) : read;
    const special = this.#special(tokens);
    if (special !== undefined) return special;
    const head = findHead(tokens);
    if (head.found === undefined) throw headFault(tokens, head, text);
    if (head.found.kind === 'unsupported') return this.#unsupported(head.found.what, tokens);
    const statement = statementParser().parseStatement(head.found.rule, tokens, text);
    // insertHead ends with VALUES, and with VALUES the rows are read: it cannot come here.
    return statement as Statement;
  }

  #unsupported(what: string, tokens: readonly Token[]): Statement {
    return { kind: 'Unsupported', what, text: slice(this.#text, tokens, 0) };
  }

  /** Statements that hold a query, and those that look at more than their first words. */
  #special(tokens: Token[]): Statement | undefined {
    const [first, second, third] = tokens;
    if (first === undefined) return undefined;
    switch (first.tokenType) {
      case K.EXPLAIN:
      case K.DESC:
      case K.DESCRIBE:
        return this.#explain(tokens);
      case K.WARM:
        if (third?.tokenType !== K.SELECT || second?.tokenType !== K.UP) return undefined;
        return this.#warmUpSelect(tokens, 2, false);
      case K.SET:
        if (third?.tokenType !== K.AS) return undefined;
        return statementParser().parseStatement(
          'setDefaultStorageVault',
          tokens,
          this.#text,
        ) as Statement;
      case K.ALTER:
        return this.#tableKeys(tokens);
      case K.INSERT:
        return this.#insertQuery(tokens);
      case K.CREATE:
        return this.#createAsSelect(tokens);
      default:
        return undefined;
    }
  }

  #warmUpSelect(tokens: readonly Token[], from: number, explain: boolean): Statement {
    const at = tokens[from]?.startOffset ?? 0;
    return { kind: 'WarmUpSelect', explain, text: slice(this.#text, tokens, from), at };
  }

  /** EXPLAIN of a query; of a table it is DESCRIBE and has a rule. */
  #explain(tokens: readonly Token[]): Statement | undefined {
    const type = (i: number): unknown => tokens[i]?.tokenType;
    if (type(1) === K.WARM && type(2) === K.UP && type(3) === K.SELECT) {
      return this.#warmUpSelect(tokens, 3, true);
    }
    let query = 1;
    if (type(1) === K.FORMAT && type(2) === T.Eq) query = 4;
    else if (tokens[1] !== undefined && EXPLAIN_OPTIONS.has(headWord(tokens[1]))) query = 2;
    if (query > 1 && tokens[2] !== undefined && headWord(tokens[2]) === 'PLAN') query = 3;
    const first = tokens[query];
    if (first === undefined || !beginsQuery(first.tokenType)) return undefined;
    const option = tokens
      .slice(1, query)
      .map((token) => token.image.toUpperCase())
      .join('');
    const text = slice(this.#text, tokens, query);
    return { kind: 'Explain', option, text, at: first.startOffset };
  }

  #tableKeys(tokens: Token[]): Statement | undefined {
    const word = tokens.at(-2)?.tokenType;
    const isKeys = tokens.at(-1)?.tokenType === K.KEYS && (word === K.DISABLE || word === K.ENABLE);
    if (!isKeys) return undefined;
    return statementParser().parseStatement('tableKeys', tokens, this.#text) as Statement;
  }

  /** INSERT without VALUES. */
  #insertQuery(tokens: readonly Token[]): Statement | undefined {
    const query = tokens.findIndex(
      (token, i) =>
        i > (token.tokenType === K.TABLE ? 2 : 1) &&
        QUERY_IN_INSERT.has(headWord(token)) &&
        tokens[i + 1]?.tokenType !== K.LABEL,
    );
    if (query > 0) return this.#insertSelect(tokens, query);
    const set = tokens.some((token) => token.tokenType === K.SET);
    return set ? this.#insertSet(tokens) : undefined;
  }

  #insertSet(tokens: readonly Token[]): Statement {
    const found = findHead(tokens).found;
    if (found?.kind === 'unsupported') return this.#unsupported(found.what, tokens);
    const duplicate = tokens.findIndex((token) => token.tokenType === K.ON);
    if (duplicate > 0 && tokens[duplicate + 1]?.tokenType === K.DUPLICATE) {
      return this.#unsupported('INSERT ... ON DUPLICATE KEY UPDATE', tokens);
    }
    return statementParser().parseStatement('insertSet', [...tokens], this.#text) as Statement;
  }

  /** The part before the query is that of INSERT ... VALUES. */
  #insertSelect(tokens: readonly Token[], query: number): Statement {
    const found = findHead(tokens).found;
    if (found?.kind === 'unsupported') return this.#unsupported(found.what, tokens);
    const begin = tokens[query - 1]?.tokenType === T.LParen ? query - 1 : query;
    const [first] = tokens;
    if (first === undefined) return this.#unsupported('INSERT ... SELECT', tokens);
    const values = { ...first, ...tokenTypeOf(K.VALUES), image: 'VALUES' };
    const head = [...tokens.slice(0, begin), values];
    const { table, partitions, label, columns } = statementParser().parseStatement(
      'insertHead',
      head,
      this.#text,
    ) as Omit<Insert, 'rows'>;
    const text = slice(this.#text, tokens, begin);
    return { kind: 'InsertSelect', table, partitions, label, columns, query: text };
  }

  #createAsSelect(tokens: readonly Token[]): Statement | undefined {
    const second = tokens[1]?.tokenType;
    if (second !== K.TABLE && second !== K.TEMPORARY) return undefined;
    const query = tokens.some((token) => token.tokenType === K.SELECT);
    return query ? this.#unsupported('CREATE TABLE ... AS SELECT', tokens) : undefined;
  }

  #insert(tokens: Token[]): Statement {
    const scanner = this.#scanner;
    const parser = statementParser();
    const found = findHead(tokens).found;
    if (found?.kind === 'unsupported') {
      this.#skipStatement();
      return { kind: 'Unsupported', what: found.what, text: this.#textSoFar() };
    }
    const head = parser.parseStatement('insertHead', tokens, this.#text) as Omit<Insert, 'rows'>;
    const limit = this.#options.insertMaxBytes;
    const rows = readRows(scanner, parser, (end) => {
      this.#checkLength(end, limit, 'max_allowed_packet');
    });
    if (scanner.type === K.ON || scanner.type === K.AS) {
      this.#skipStatement();
      const what = 'INSERT ... ON DUPLICATE KEY UPDATE';
      return { kind: 'Unsupported', what, text: this.#textSoFar() };
    }
    if (scanner.type !== undefined && scanner.type !== T.Semicolon) {
      const { start, image } = scanner;
      const expected = ["','", 'the end of the statement'];
      throw syntaxError({ text: this.#text, at: start, found: image, expected });
    }
    return { ...head, rows };
  }

  #skipStatement(): void {
    const scanner = this.#scanner;
    while (scanner.type !== T.Semicolon && scanner.advance());
  }

  #textSoFar(): string {
    const { type, start, length } = this.#scanner;
    return this.#text.slice(this.#start, type === undefined ? length : start).trimEnd();
  }

  /** A quick check while reading: a text has at least as many bytes as UTF-16 units. */
  #checkLength(end: number, limit: number, setting: string): void {
    if (end - this.#start > limit) throw new SqlError('STATEMENT_TOO_LONG', { limit, setting });
  }

  #checkBytes(text: string, limit: number, setting: string): void {
    if (text.length * 3 > limit && Buffer.byteLength(text) > limit) {
      throw new SqlError('STATEMENT_TOO_LONG', { limit, setting });
    }
  }
}

const EXPLAIN_OPTIONS: ReadonlySet<string> = new Set([
  'ANALYZE',
  'ANALYZED',
  'EXTENDED',
  'GRAPH',
  'LOGICAL',
  'OPTIMIZED',
  'PARSED',
  'PARTITIONS',
  'PHYSICAL',
  'REWRITTEN',
  'SHAPE',
  'TREE',
  'VERBOSE',
]);
const QUERY_IN_INSERT: ReadonlySet<string> = new Set(['SELECT', 'WITH', 'TABLE']);

/** `(SELECT ...)` and `(WITH ...)` as one token each, their text kept. */
function withSubqueries(tokens: readonly Token[], text: string): Token[] {
  const kept: Token[] = [];
  for (let at = 0; at < tokens.length; at += 1) {
    const token = tokens[at];
    if (token === undefined) break;
    const next = tokens[at + 1]?.tokenType;
    const opens = token.tokenType === T.LParen && (next === K.SELECT || next === K.WITH);
    const end = opens ? closing(tokens, at) : undefined;
    const last = end === undefined ? undefined : tokens[end];
    if (end === undefined || last === undefined) {
      kept.push(token);
      continue;
    }
    const { startOffset } = token;
    const image = text.slice(startOffset, last.endOffset + 1);
    kept.push({ ...token, ...tokenTypeOf(T.Subquery), image, endOffset: last.endOffset });
    at = end;
  }
  return kept;
}

/** Chevrotain looks at the index as well as at the type. */
function tokenTypeOf(tokenType: Token['tokenType']): Pick<Token, 'tokenType' | 'tokenTypeIdx'> {
  return { tokenType, tokenTypeIdx: tokenType.tokenTypeIdx ?? 0 };
}

/** Where the parenthesis that opens at `from` closes. */
function closing(tokens: readonly Token[], from: number): number | undefined {
  let depth = 0;
  for (let at = from; at < tokens.length; at += 1) {
    const type = tokens[at]?.tokenType;
    if (type === T.LParen) depth += 1;
    if (type === T.RParen) depth -= 1;
    if (depth === 0) return at;
  }
  return undefined;
}

/** VALUES, or VALUE where it is not the table's name. */
function endsInsertHead(tokens: readonly Token[]): boolean {
  const type = tokens.at(-1)?.tokenType;
  if (type === K.VALUES) return true;
  if (type !== K.VALUE) return false;
  const before = tokens.at(-2)?.tokenType;
  return before !== K.INTO && before !== K.INSERT && before !== T.Dot;
}

/** The text from a token to the last one. */
function slice(text: string, tokens: readonly Token[], from: number): string {
  const first = tokens[from];
  const last = tokens.at(-1);
  if (first === undefined || last === undefined) return '';
  return text.slice(first.startOffset, last.endOffset + 1);
}

function checkName(token: Token): void {
  if (token.tokenType !== T.Word && token.tokenType !== T.Quoted) return;
  const name = nameValue(token.image);
  if (characters(name) <= IDENTIFIER_LENGTH_MAX) return;
  const shown = `${name.slice(0, 40)}...`;
  throw new SqlError('IDENT_TOO_LONG', { name: shown, limit: IDENTIFIER_LENGTH_MAX });
}

/** Code points; a lone surrogate counts as one. */
function characters(name: string): number {
  let count = 0;
  for (const _ of name) count += 1;
  return count;
}

type HeadMiss = Extract<ReturnType<typeof findHead>, { found: undefined }>;

function headFault(tokens: readonly Token[], miss: HeadMiss, text: string): SqlError {
  const token = tokens[miss.at];
  const last = tokens.at(-1);
  return syntaxError({
    text,
    at: token?.startOffset ?? (last === undefined ? 0 : last.endOffset + 1),
    found: token?.image,
    expected: miss.expected,
  });
}

/** Executors share nothing by writing to a statement. The rows of INSERT are left: they are many. */
function frozen<Node>(node: Node): Node {
  if (typeof node !== 'object' || node === null || Object.isFrozen(node)) return node;
  Object.freeze(node);
  for (const [key, child] of Object.entries(node)) if (key !== 'rows') frozen(child as unknown);
  return node;
}
