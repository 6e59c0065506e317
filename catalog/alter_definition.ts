/** Changes of a table's columns and rollups that rewrite nothing: done when they are committed. */
import { SqlError } from '../base/errors.ts';
import type { IndexId, TableId } from '../base/ids.ts';
import { expectNoAlterJob } from './alter_jobs.ts';
import { fromJson, toJson } from './json_text.ts';
import { checkName } from './names.ts';
import type { Session } from './session.ts';
import { StaleRow, expectOne } from './stale_row.ts';
import { type TableBody, type TableMemory, alterTable, liveTable } from './tables.ts';

export class AlterDefinition {
  readonly #session: Session;
  readonly #memory: TableMemory;

  constructor(session: Session, memory: TableMemory) {
    this.#session = session;
    this.#memory = memory;
  }

  /**
   * Changes of the definition that no segment need follow. `StaleRow` when the table is no longer
   * the one that the change was made for. Throws BAD_TABLE, ALTER_JOB_ACTIVE.
   */
  async redefine(
    tableId: TableId,
    schemaVersion: number,
    change: Partial<Pick<TableBody, 'columns' | 'partitionColumns' | 'distributionColumns'>>,
  ): Promise<void> {
    await this.#session.write(async (tx) => {
      const before = await liveTable(tx, tableId);
      await expectNoAlterJob(tx, tableId);
      if (before.schema_version !== schemaVersion) throw new StaleRow(`table ${before.name}`);
      const body: TableBody = { ...fromJson<TableBody>(before.definition), ...change };
      await alterTable(tx, before, { definition: toJson(body) });
      tx.onCommit(() => {
        this.#memory.cache.forget(tableId);
      });
    });
  }

  /** Its tablets become garbage in the background. Throws BAD_TABLE, ALTER_JOB_ACTIVE. */
  async dropRollups(tableId: TableId, indexIds: readonly IndexId[]): Promise<void> {
    await this.#session.write(async (tx) => {
      const before = await liveTable(tx, tableId);
      await expectNoAlterJob(tx, tableId);
      for (const indexId of indexIds) {
        const result = await tx.db
          .updateTable('index_def')
          .set({ state: 'DROPPED' })
          .where('table_id', '=', tableId)
          .where('index_id', '=', indexId)
          .where('kind', '=', 'ROLLUP')
          .where('state', '=', 'NORMAL')
          .executeTakeFirst();
        expectOne(result.numUpdatedRows, `rollup ${indexId}`);
      }
      await alterTable(tx, before, {});
      tx.onCommit(() => {
        this.#memory.cache.forget(tableId);
      });
      tx.onCommit(() => {
        const { tablets, dropped } = this.#memory;
        for (const indexId of indexIds) tablets.removeIndexOf(tableId, indexId);
        dropped();
      });
    });
  }

  /** Throws BAD_TABLE, ALTER_JOB_ACTIVE, DUP_KEYNAME. */
  async renameRollup(tableId: TableId, indexId: IndexId, name: string): Promise<void> {
    checkName('table', name);
    await this.#session.write(async (tx) => {
      const before = await liveTable(tx, tableId);
      await expectNoAlterJob(tx, tableId);
      const taken = await tx.db
        .selectFrom('index_def')
        .select('index_id')
        .where('table_id', '=', tableId)
        .where('name', '=', name)
        .where('state', '=', 'NORMAL')
        .executeTakeFirst();
      if (taken !== undefined) throw new SqlError('DUP_KEYNAME', { name });
      const result = await tx.db
        .updateTable('index_def')
        .set({ name })
        .where('table_id', '=', tableId)
        .where('index_id', '=', indexId)
        .where('state', '=', 'NORMAL')
        .executeTakeFirst();
      expectOne(result.numUpdatedRows, `rollup ${indexId}`);
      await alterTable(tx, before, {});
      tx.onCommit(() => {
        this.#memory.cache.forget(tableId);
      });
    });
  }
}
