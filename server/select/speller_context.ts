/** What the pieces of the speller share: the tokens, the parameters, the tables in sight. */
import type { ScanPredicate } from '../../base/agent_messages.ts';
import { SqlError } from '../../base/errors.ts';
import type { SqlValue } from '../../base/values.ts';
import { scanSelect, syntaxNear, type SelectToken } from './tokens.ts';
import type { LockCall } from './user_locks.ts';
import type { SelectSession, SelectTable } from './table_provider.ts';
import type { ColumnOrigin, Spelled, StaticType } from './spelled.ts';

/** Deepest nesting of parentheses, subqueries and CASE; SQLite's own limit is 1000 per tree. */
const NESTING_MAX = 100;

export interface ScopeColumn {
  readonly name: string;
  readonly type: () => StaticType;
  readonly nocase: boolean;
  readonly origin: ColumnOrigin | undefined;
  /** Its values are keys (exact_decimal.ts). */
  readonly keyed?: boolean;
}

/** One entry of a FROM clause. `columns` undefined: the table is not resolved yet. */
export interface ScopeTable {
  readonly alias: string;
  readonly columns: () => readonly ScopeColumn[] | undefined;
  /** Lower-case names of columns that USING or NATURAL JOIN made one with an earlier table's. */
  merged?: ReadonlySet<string>;
}

/** The tables of one SELECT and of those around it. */
export interface Scope {
  readonly parent: Scope | undefined;
  readonly tables: ScopeTable[];
  /** The select list by lower-case name, once it is spelled: GROUP BY, HAVING and ORDER BY see it. */
  aliases?: ReadonlyMap<string, Spelled>;
}

/** A query, spelled. */
export interface SpelledQuery {
  readonly sql: string;
  readonly columns: readonly ScopeColumn[];
  /** AND-ed hints of WHERE, when this is one SELECT without anything around it. */
  readonly predicates: () => readonly ScanPredicate[];
  /** It is known to have no more than one row. */
  readonly oneRow?: boolean;
}

/**
 * The rules that call each other across files. They are handed in (by `speller.ts`), so that
 * files need not import each other in a circle.
 */
export interface Grammar {
  /** An expression whose operators bind more strongly than `power`. */
  expression(ctx: SpellerContext, power?: number): Spelled;
  /** A function call; its name comes next. */
  call(ctx: SpellerContext): Spelled;
  /** A query in parentheses, as an operand. */
  subquery(ctx: SpellerContext): Spelled;
  /** The same where one value is meant. */
  scalarSubquery(ctx: SpellerContext): Spelled;
  /** A query in parentheses, as a table. */
  derived(ctx: SpellerContext): SpelledQuery;
  /** `call` with the OVER clause that may follow. */
  over(ctx: SpellerContext, call: Spelled): Spelled;
  orderItems(ctx: SpellerContext, ordered?: boolean, exact?: boolean): string;
}

/** A common table expression in sight. */
export interface CteEntry {
  readonly name: string;
  readonly sqlName: string;
  /** undefined while it is being spelled (a recursive reference). */
  readonly columns: () => readonly ScopeColumn[] | undefined;
}

/** A stored table that the statement names. */
export interface TableReference {
  readonly key: string;
  readonly database: string;
  readonly table: string;
  /** Name of the table inside SQLite. */
  readonly sqlName: string;
  /** How often it stands in a FROM clause. */
  count: number;
}

/** Where in a statement an expression stands, for MySQL's error 1054. */
export type Clause = 'SELECT' | 'ON' | 'WHERE' | 'GROUP BY' | 'HAVING' | 'ORDER BY' | 'LIMIT';

export class SpellerContext {
  readonly grammar: Grammar;
  readonly sql: string;
  readonly session: SelectSession;
  readonly nowMs: number;
  /** Resolved tables by `database.table` as the statement spells them; empty in the first pass. */
  readonly tables: ReadonlyMap<string, SelectTable>;
  readonly references = new Map<string, TableReference>();
  readonly params: SqlValue[] = [];
  /** Lower-case names of every column met; what tables must deliver (a superset). */
  readonly columnNames = new Set<string>();
  /** Where each column name was met first. */
  readonly firstClause = new Map<string, Clause>();
  readonly tokens: readonly SelectToken[];
  at = 0;
  depth = 0;
  clause: Clause = 'SELECT';
  scope: Scope | undefined;
  /** Must not run on the main thread: tables, recursion, functions that may take long. */
  heavy = false;
  /** Innermost first. */
  ctes: readonly CteEntry[] = [];
  /** Aggregate calls in the SELECT being spelled. */
  aggregates = 0;
  /** Counts names given to derived tables and common table expressions. */
  derivedTables = 0;
  /** Names of the select list that stand for their expressions (HAVING without groups). */
  aliases: ReadonlyMap<string, Spelled> = new Map();
  /** Inside WITH RECURSIVE, whose columns have no types while it is spelled: no keys. */
  keyless = false;
  /** How many SELECT cores there are. */
  selects = 0;
  /** GET_LOCK and its like. */
  readonly lockCalls: LockCall[] = [];
  /** SELECT ... INTO @a, @b. */
  into: readonly string[] | undefined;
  /** User variables that the statement assigns to, lower case: reads of them are calls. */
  readonly assignedVariables: ReadonlySet<string>;
  /** Those assigned a literal in a derived table, as `(SELECT @r := 0) r`: before the first row. */
  readonly startValues = new Map<string, SqlValue>();
  /** Derived tables around what is being spelled. */
  derivedDepth = 0;
  /** `*` or NATURAL JOIN: every column counts. */
  wantsAll = false;

  constructor(
    grammar: Grammar,
    sql: string,
    session: SelectSession,
    nowMs: number,
    tables: ReadonlyMap<string, SelectTable>,
  ) {
    this.grammar = grammar;
    this.sql = sql;
    this.session = session;
    this.nowMs = nowMs;
    this.tables = tables;
    this.tokens = scanSelect(sql, session);
    this.assignedVariables = new Set(
      this.tokens
        .filter(({ kind }, at) => kind === 'userVariable' && this.tokens[at + 1]?.key === ':=')
        .map(({ text }) => text.toLowerCase()),
    );
  }

  get token(): SelectToken {
    return this.peek(0);
  }

  peek(ahead: number): SelectToken {
    const token = this.tokens[Math.min(this.at + ahead, this.tokens.length - 1)];
    if (token === undefined) throw new TypeError('token list has no end');
    return token;
  }

  next(): SelectToken {
    const { token } = this;
    if (token.kind !== 'end') this.at += 1;
    return token;
  }

  /** Whether the coming tokens are these keywords or operators. */
  is(...keys: readonly string[]): boolean {
    return keys.every((key, ahead) => this.peek(ahead).key === key);
  }

  /** Takes the tokens when they come next. */
  accept(...keys: readonly string[]): boolean {
    if (!this.is(...keys)) return false;
    this.at += keys.length;
    return true;
  }

  acceptAny(keys: readonly string[]): string | undefined {
    const { key } = this.token;
    if (key === '' || !keys.includes(key)) return undefined;
    this.at += 1;
    return key;
  }

  expect(key: string): void {
    if (!this.accept(key)) throw this.unexpected(`'${key}'`);
  }

  unexpected(expected?: string): SqlError {
    return syntaxNear(this.sql, this.token.offset, expected);
  }

  unsupported(what: string): SqlError {
    return new SqlError('NOT_SUPPORTED', { what });
  }

  /** A name: quoted, or a word; reserved words are the caller's concern. */
  name(): string {
    const { token } = this;
    if (token.kind !== 'word' && token.kind !== 'name') throw this.unexpected('a name');
    this.at += 1;
    return token.text;
  }

  /** A bound parameter: its place in the SQLite text. */
  bind(value: SqlValue): string {
    this.params.push(value);
    return `@p${this.params.length}`;
  }

  findCte(name: string): CteEntry | undefined {
    return this.ctes.find((cte) => cte.name.toLowerCase() === name.toLowerCase());
  }

  /** Notes that a stored table stands in a FROM clause. */
  refer(database: string, table: string): TableReference {
    const key = tableKey(database, table);
    const known = this.references.get(key);
    if (known !== undefined) {
      known.count += 1;
      return known;
    }
    const sqlName = `table ${this.references.size + 1}`;
    const reference = { key, database, table, sqlName, count: 1 };
    this.references.set(key, reference);
    return reference;
  }

  /** Runs `body` one level deeper; too deep is an error, not a stack overflow. */
  nested<Result>(body: () => Result): Result {
    this.depth += 1;
    if (this.depth > NESTING_MAX) {
      throw new SqlError('STATEMENT_TOO_COMPLEX', {
        limit: NESTING_MAX,
        what: 'levels of nesting',
      });
    }
    try {
      return body();
    } finally {
      this.depth -= 1;
    }
  }

  within<Result>(clause: Clause, body: () => Result): Result {
    const before = this.clause;
    this.clause = clause;
    try {
      return body();
    } finally {
      this.clause = before;
    }
  }

  /** The column a reference means, looked up from the inside out. Call when scopes are complete. */
  lookup(
    scope: Scope | undefined,
    qualifier: string | undefined,
    name: string,
  ): ScopeColumn | undefined {
    const wanted = name.toLowerCase();
    for (let level = scope; level !== undefined; level = level.parent) {
      for (const table of level.tables) {
        if (qualifier !== undefined && table.alias.toLowerCase() !== qualifier.toLowerCase())
          continue;
        const found = table.columns()?.find((column) => column.name.toLowerCase() === wanted);
        if (found !== undefined) return found;
      }
    }
    return undefined;
  }
}

/** Names of databases and tables as written; NUL cannot be part of either. */
function tableKey(database: string, table: string): string {
  return `${database}\0${table}`;
}
