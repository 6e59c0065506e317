/** What tools read of MySQL's `performance_schema`; everybody sees what is his own. */
import type { InformationSchemaSource } from './source.ts';
import { UNINSTRUMENTED } from './uninstrumented_tables.ts';
import { type NamedRow, type VirtualTable, namedTable } from './virtual_table.ts';

export const PERFORMANCE_SCHEMA = 'performance_schema';

type PerformanceTable = VirtualTable<InformationSchemaSource>;

const pairs = (rows: readonly (readonly [string, string])[]): readonly NamedRow[] =>
  rows.map(([name, value]) => ({ VARIABLE_NAME: name, VARIABLE_VALUE: value }));
const PAIR = 'VARIABLE_NAME VARIABLE_VALUE~?';

const ATTRIBUTES = 'PROCESSLIST_ID# ATTR_NAME ATTR_VALUE~? ORDINAL_POSITION#?';

/** What clients told of themselves when they logged in, of the connections that are seen. */
function attributeRows(source: InformationSchemaSource): readonly NamedRow[] {
  return source.processes().flatMap(({ id, attributes }) =>
    Object.entries(attributes).map(([name, value], at) => ({
      PROCESSLIST_ID: BigInt(id),
      ATTR_NAME: name,
      ATTR_VALUE: value,
      ORDINAL_POSITION: BigInt(at),
    })),
  );
}

export const PERFORMANCE_TABLES: readonly PerformanceTable[] = [
  namedTable('session_connect_attrs', ATTRIBUTES, attributeRows),
  namedTable('session_account_connect_attrs', ATTRIBUTES, (source) => {
    const own = source.account();
    const isOwn = new Set(
      source.processes().flatMap(({ id, user }) => (user === own.user ? [BigInt(id)] : [])),
    );
    return attributeRows(source).filter((row) => isOwn.has(row['PROCESSLIST_ID'] as bigint));
  }),
  namedTable('session_variables', PAIR, (source) => pairs(source.variables('session'))),
  namedTable('global_variables', PAIR, (source) => pairs(source.variables('global'))),
  namedTable('session_status', PAIR, (source) => pairs(source.status())),
  namedTable('global_status', PAIR, (source) => pairs(source.status())),
  namedTable('processlist', 'ID# USER HOST DB? COMMAND TIME# STATE? INFO~?', async (source) =>
    [...source.processes(), ...(await source.jobProcesses())].map((row) => ({
      ID: BigInt(row.id),
      USER: row.user,
      HOST: row.host,
      DB: row.database === '' ? null : row.database,
      COMMAND: row.command,
      TIME: BigInt(Math.floor(row.seconds)),
      STATE: row.state,
      INFO: row.info === '' ? null : row.info,
    })),
  ),
  namedTable(
    'threads',
    `THREAD_ID# NAME TYPE PROCESSLIST_ID#? PROCESSLIST_USER? PROCESSLIST_HOST? PROCESSLIST_DB? PROCESSLIST_COMMAND?
     PROCESSLIST_TIME#? PROCESSLIST_STATE? PROCESSLIST_INFO~? PARENT_THREAD_ID#? ROLE? INSTRUMENTED HISTORY CONNECTION_TYPE? THREAD_OS_ID#?`,
    (source) =>
      source.processes().map((row) => ({
        THREAD_ID: BigInt(row.id),
        NAME: 'thread/sql/one_connection',
        TYPE: 'FOREGROUND',
        PROCESSLIST_ID: BigInt(row.id),
        PROCESSLIST_USER: row.user,
        PROCESSLIST_HOST: row.host,
        PROCESSLIST_DB: row.database === '' ? null : row.database,
        PROCESSLIST_COMMAND: row.command,
        PROCESSLIST_TIME: BigInt(Math.floor(row.seconds)),
        PROCESSLIST_STATE: row.state,
        PROCESSLIST_INFO: row.info === '' ? null : row.info,
        INSTRUMENTED: 'NO',
        HISTORY: 'NO',
      })),
  ),
  ...UNINSTRUMENTED,
];

export function performanceTable(name: string): PerformanceTable | undefined {
  return PERFORMANCE_TABLES.find((table) => table.name === name.toLowerCase());
}
