/** The schema as a whole: which virtual tables there are, and how SELECT scans them. */
import type { SqlRow } from '../../base/values.ts';
import type { ScanRows, SelectTable } from '../select/table_provider.ts';
import { CHARSET_TABLES } from './charset_tables.ts';
import { INFORMATION_SCHEMA, catalogTables } from './catalog_tables.ts';
import { INNODB_TABLES } from './innodb_tables.ts';
import { MYSQL_TABLES } from './mysql_tables.ts';
import { PERFORMANCE_SCHEMA, PERFORMANCE_TABLES } from './performance_tables.ts';
import { SERVER_TABLES } from './server_tables.ts';
import type { InformationSchemaSource } from './source.ts';
import { columnar, placesOf, unchangedRows } from './unchanged_rows.ts';
import type { VirtualTable } from './virtual_table.ts';

/**
 * `Source` is what the tables of ours need beyond MySQL's. A source belongs to one asking session,
 * so that it shows only what its user may see.
 */
export class InformationSchema<Source extends InformationSchemaSource> {
  readonly #tables = new Map<string, VirtualTable<Source>>();

  /** `ours`: the tables that only this server has (warm_up_jobs, backends ...). */
  constructor(ours: readonly VirtualTable<Source>[]) {
    const standard = catalogTables(() => [
      ...this.tables.map((table) => ({ ...table, database: INFORMATION_SCHEMA })),
      ...PERFORMANCE_TABLES.map((table) => ({ ...table, database: PERFORMANCE_SCHEMA })),
      ...MYSQL_TABLES.map((table) => ({ ...table, database: 'mysql' })),
    ]);
    for (const table of [
      ...standard,
      ...CHARSET_TABLES,
      ...SERVER_TABLES,
      ...INNODB_TABLES,
      ...ours,
    ]) {
      const key = table.name.toLowerCase();
      if (this.#tables.has(key)) throw new TypeError(`table ${table.name} is declared twice`);
      this.#tables.set(key, table);
    }
  }

  static isName(database: string): boolean {
    return database.toLowerCase() === INFORMATION_SCHEMA;
  }

  get tables(): readonly VirtualTable<Source>[] {
    return [...this.#tables.values()];
  }

  /** Names of tables and columns have no case here, as in MySQL. */
  table(name: string): VirtualTable<Source> | undefined {
    return this.#tables.get(name.toLowerCase());
  }

  resolve(name: string, source: Source): SelectTable | undefined {
    const table = this.table(name);
    return table === undefined ? undefined : virtualTable(INFORMATION_SCHEMA, table, source);
  }
}

/** A table that SELECT reads from memory. */
export function virtualTable<Source>(
  database: string,
  table: VirtualTable<Source>,
  source: Source,
): SelectTable {
  const { columns } = table;
  const read = async (
    wanted: readonly string[],
  ): Promise<readonly ScanRows[] | AsyncIterable<ScanRows>> =>
    table.batches === undefined
      ? unchangedRows(table, await table.rows(source), wanted)
      : inColumns(table.batches(source), placesOf(table, wanted));
  return {
    database,
    name: table.name,
    columns,
    nocase: true,
    now: (wanted) => {
      const rows = table.rowsNow?.(source);
      const batches = rows === undefined ? undefined : unchangedRows(table, rows, wanted);
      return batches === undefined || Symbol.asyncIterator in batches ? undefined : batches;
    },
    read,
    async *scan(wanted) {
      yield* await read(wanted);
    },
  };
}

async function* inColumns(
  batches: AsyncIterable<readonly SqlRow[]>,
  places: readonly number[],
): AsyncGenerator<ScanRows> {
  for await (const rows of batches) yield columnar(rows, places);
}
