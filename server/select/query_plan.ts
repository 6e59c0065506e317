/** What EXPLAIN tells of a SELECT before it runs: what is read from where, and SQLite's own plan. */
import type { ScanPredicate } from '../../base/agent_messages.ts';
import type { SqlRow } from '../../base/values.ts';
import type { Connection } from './sqlite_connection.ts';

/** Where a table's rows would come from. */
export interface TablePlan {
  /** Names of the partitions that have tablets to read. */
  readonly partitions: readonly string[];
  /** The index that is read; undefined: the table's own. */
  readonly rollup: string | undefined;
  readonly tabletsRead: number;
  readonly tabletsAll: number;
  readonly computeGroup: string;
  readonly backends: readonly { readonly name: string; readonly tablets: number }[];
  /** Of the tablets to read. */
  readonly rows: number;
  readonly bytes: number;
}

export interface PlannedTable {
  readonly database: string;
  readonly table: string;
  readonly columns: readonly string[];
  /** Used to skip tablets and data; the engine filters again. */
  readonly predicates: readonly ScanPredicate[];
  /** undefined: a table that the server makes in memory. */
  readonly source: TablePlan | undefined;
}

export interface QueryPlan {
  readonly tables: readonly PlannedTable[];
  /** One SELECT from one table: its rows are used as they come. Else tables are copied first. */
  readonly streaming: boolean;
  /** SQLite's steps, indented by two blanks a level. */
  readonly steps: readonly string[];
}

/** EXPLAIN QUERY PLAN, with the names of tables as the statement has them. */
export function planSteps(
  db: Connection,
  sql: string,
  names: ReadonlyMap<string, string>,
): readonly string[] {
  const rows = db.prepare<[], SqlRow>(`EXPLAIN QUERY PLAN ${sql}`).raw(true).all();
  const depths = new Map<string, number>();
  return rows.map(([id, parent, , detail]) => {
    const depth = (depths.get(String(parent)) ?? -1) + 1;
    depths.set(String(id), depth);
    let text = String(detail).replaceAll('mysql_', '');
    for (const [sqlName, shown] of names) text = text.replaceAll(sqlName, shown);
    return `${'  '.repeat(depth)}${text}`;
  });
}

/** `id = 5`, `day >= '2024-01-01'`, `id IN (1, 2)`. */
export function predicateText({ column, op, values }: ScanPredicate): string {
  const texts = values.map((value) =>
    typeof value === 'string' ? `'${value.replaceAll("'", "''")}'` : String(value),
  );
  return op === 'in' ? `${column} IN (${texts.join(', ')})` : `${column} ${op} ${texts.join()}`;
}
