/** CHECK COOLDOWN TABLE t [REPAIR]. */
import { SqlError } from '../../base/errors.ts';
import { isReplicated } from '../../base/schema.ts';
import { type SqlRow, bigintColumn, textColumn } from '../../base/values.ts';
import { CooldownChecks, type CheckedProblem } from '../../jobs/cooldown_checks.ts';
import { type Executor, tableNameOf } from './executor.ts';

const COLUMNS = [
  bigintColumn('TabletId'),
  ...['Object', 'Problem'].map(textColumn),
  bigintColumn('Bytes'),
  // Repaired: NULL without REPAIR.
  ...['Detail', 'Repaired'].map(textColumn),
];

/** No row: all is well. Every object that is in use is read, so this takes its time. */
export const checkCooldownTable: Executor<'CheckCooldownTable'> = async (statement, context) => {
  const { services, session, signal } = context;
  const { db, table: name } = tableNameOf(statement.table, session);
  const table = await services.catalog.tables.get(db, name);
  if (!isReplicated(table)) {
    const why = 'it is not replicated';
    throw new SqlError('COOLDOWN_NOTHING', { table: `${db}.${name}`, why });
  }
  const tablets = services.catalog.tablets.ofTable(table.tableId).map(({ tabletId }) => tabletId);
  try {
    const { repair } = statement;
    const problems = await new CooldownChecks(services).check(tablets, { repair, signal });
    return { kind: 'rows', columns: COLUMNS, rows: problems.map(rowOf) };
  } catch (error) {
    if (signal.aborted && !(error instanceof SqlError)) throw new SqlError('QUERY_INTERRUPTED');
    throw error;
  }
};

function rowOf({ tabletId, key, kind, bytes, what, isRepaired }: CheckedProblem): SqlRow {
  const repaired = isRepaired === undefined ? null : isRepaired ? 'true' : 'false';
  return [BigInt(tabletId), key, kind.toLowerCase(), BigInt(bytes), what, repaired];
}
