/** SHOW of what MySQL has and this server has not: MySQL's columns without rows, or its error. */
import { SqlError } from '../../base/errors.ts';
import { type ResultColumn, type RowsResult, textColumn } from '../../base/values.ts';
import type { ShowReplication, StatementOf } from '../../parser/statement.ts';
import { isSystemDatabase } from '../information_schema/system_databases.ts';
import { type ExecContext, type Executor, databaseOf } from './executor.ts';

const columns = (names: string): readonly ResultColumn[] => names.split(' ').map(textColumn);

const SOURCE = columns('File Position Binlog_Do_DB Binlog_Ignore_DB Executed_Gtid_Set');
const FOLLOWERS = columns('Server_Id Host Port Source_Id Replica_UUID');
const REPLICA =
  `_IO_State _Host _User _Port Connect_Retry _Log_File Read_Log_Pos Relay_Log_File Relay_Log_Pos
  Relay_Log_File IO_Running SQL_Running Replicate_Do_DB Replicate_Ignore_DB Last_Errno Last_Error Skip_Counter
  Exec_Log_Pos Relay_Log_Space Until_Condition Until_Log_File Until_Log_Pos Seconds_Behind Last_IO_Errno
  Last_IO_Error Last_SQL_Errno Last_SQL_Error Server_Id UUID SQL_Delay SQL_Remaining_Delay SQL_Running_State
  Retrieved_Gtid_Set Executed_Gtid_Set Auto_Position Channel_Name`.split(/\s+/);

/** By MySQL 8's words, and by those before. */
const status = (replica: string, source: string): readonly ResultColumn[] =>
  REPLICA.map((name) => {
    if (name === '_IO_State') return textColumn(`${replica}_IO_State`);
    if (name.startsWith('_')) return textColumn(`${source}${name}`);
    if (name === 'IO_Running' || name === 'SQL_Running') return textColumn(`${replica}_${name}`);
    return textColumn(name);
  });

const COLUMNS: Readonly<Record<ShowReplication['what'], readonly ResultColumn[] | undefined>> = {
  'MASTER STATUS': SOURCE,
  'SLAVE STATUS': status('Slave', 'Master'),
  'REPLICA STATUS': status('Replica', 'Source'),
  'BINARY LOGS': undefined,
  'SLAVE HOSTS': FOLLOWERS,
  REPLICAS: FOLLOWERS,
};

/** As a server that neither writes a binary log nor reads one. */
export const showReplication: Executor<'ShowReplication'> = ({ what }): RowsResult => {
  const list = COLUMNS[what];
  if (list === undefined) throw new SqlError('NO_BINARY_LOG');
  return { kind: 'rows', columns: list, rows: [] };
};

/** There is none of that name, whatever the name is. */
export const showCreateOther: Executor<'ShowCreateOther'> = async ({ what, name }, context) => {
  const db = databaseOf(name.db, context.session);
  throw await missing(what, db, name.name, context);
};

async function missing(
  what: StatementOf<'ShowCreateOther'>['what'],
  db: string,
  name: string,
  context: ExecContext,
): Promise<SqlError> {
  switch (what) {
    case 'VIEW': {
      const table = await context.services.catalog.tables.find(db, name);
      if (table === undefined) return new SqlError('NO_SUCH_TABLE', { name: `${db}.${name}` });
      return new SqlError('NO_VIEW', { name: `${db}.${name}` });
    }
    case 'PROCEDURE':
    case 'FUNCTION':
      return new SqlError('UNKNOWN_ROUTINE', { what, name });
    case 'TRIGGER':
      return new SqlError('UNKNOWN_TRIGGER');
    case 'EVENT':
      return new SqlError('UNKNOWN_EVENT', { name });
  }
}

const MAINTENANCE = columns('Table Op Msg_type Msg_text');

/**
 * ANALYZE, CHECK, OPTIMIZE, REPAIR TABLE: what MySQL answers for a storage engine that does not
 * know them. Blocks are checked when they are read, rowsets are merged by ALTER TABLE ... COMPACT.
 */
export const tableMaintenance: Executor<'TableMaintenance'> = async (
  { what, tables },
  { services, session },
) => {
  const op = what.toLowerCase();
  const rows: [string, string, string, string][] = [];
  for (const { db, name } of tables) {
    const database = databaseOf(db, session);
    const shown = `${database}.${name}`;
    const isThere =
      isSystemDatabase(database) ||
      (await services.catalog.tables.find(database, name)) !== undefined;
    if (!isThere) {
      rows.push([shown, op, 'Error', `Table '${shown}' doesn't exist`]);
      rows.push([shown, op, 'status', 'Operation failed']);
    } else {
      const text = `The storage engine for the table doesn't support ${op}`;
      rows.push([shown, op, 'note', text]);
    }
  }
  return { kind: 'rows', columns: MAINTENANCE, rows };
};
