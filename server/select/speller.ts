/** The whole statement: MySQL's SELECT → SQLite's, with what is needed to run it. */
import type { ScanPredicate } from '../../base/agent_messages.ts';
import type { SqlValue } from '../../base/values.ts';
import { spellCall } from './call_speller.ts';
import { spellExpression } from './expression_speller.ts';
import {
  spellDerived,
  spellOrderItems,
  spellQuery,
  spellScalarSubquery,
  spellSubquery,
} from './query_speller.ts';
import {
  SpellerContext,
  type Clause,
  type Grammar,
  type ScopeColumn,
  type TableReference,
} from './speller_context.ts';
import type { SelectSession, SelectTable } from './table_provider.ts';
import type { LockCall } from './user_locks.ts';
import { spellOver } from './window_speller.ts';

const GRAMMAR: Grammar = {
  expression: spellExpression,
  call: spellCall,
  subquery: spellSubquery,
  scalarSubquery: spellScalarSubquery,
  derived: spellDerived,
  over: spellOver,
  orderItems: spellOrderItems,
};

export interface SpelledStatement {
  readonly sql: string;
  readonly params: readonly SqlValue[];
  readonly columns: readonly ScopeColumn[];
  readonly references: readonly TableReference[];
  /** Lower-case names of the columns that may be needed; 'all' when any may be. */
  readonly wanted: ReadonlySet<string> | 'all';
  /** Hints for the scan; only when the statement is one SELECT from one table. */
  readonly predicates: readonly ScanPredicate[];
  /** One SELECT from one table: its rows are needed once, in any order. */
  readonly streaming: boolean;
  /** May run long: not on the main thread. */
  readonly heavy: boolean;
  /** Calls that are made first; their values are parameters. */
  readonly lockCalls: readonly LockCall[];
  /** User variables that get the one row there may be. */
  readonly into: readonly string[] | undefined;
  /** User variables that it assigns to, lower case, with their values before the first row. */
  readonly variables: ReadonlyMap<string, SqlValue>;
  /** Where each column name (`b`, `a.b`, lower case) was met first. */
  readonly firstClause: ReadonlyMap<string, Clause>;
}

/**
 * Throws what is wrong with the text (SYNTAX, UNKNOWN_FUNCTION, NO_DB, NOT_SUPPORTED ...).
 * `tables`: those resolved so far, by `tableKey`; without them types stay unknown.
 */
export function spellStatement(
  sql: string,
  session: SelectSession,
  nowMs: number,
  tables: ReadonlyMap<string, SelectTable> = new Map(),
): SpelledStatement {
  const ctx = new SpellerContext(GRAMMAR, sql, session, nowMs, tables);
  const query = spellQuery(ctx);
  ctx.accept(';');
  if (ctx.token.kind !== 'end') throw ctx.unexpected();
  const references = [...ctx.references.values()];
  const streaming = ctx.selects === 1 && references.length === 1 && references[0]?.count === 1;
  return {
    sql: query.sql,
    params: ctx.params,
    columns: query.columns,
    references,
    wanted: ctx.wantsAll ? 'all' : ctx.columnNames,
    predicates: streaming ? query.predicates() : [],
    streaming,
    heavy: ctx.heavy,
    lockCalls: ctx.lockCalls,
    into: ctx.into,
    variables: startVariables(ctx),
    firstClause: ctx.firstClause,
  };
}

function startVariables(ctx: SpellerContext): ReadonlyMap<string, SqlValue> {
  const { assignedVariables, startValues, session } = ctx;
  return new Map(
    [...assignedVariables].map((name) => [
      name,
      startValues.has(name) ? (startValues.get(name) ?? null) : session.userVariable(name),
    ]),
  );
}
