/** The one way to insert or update: portable, without a dialect's own clause. */
import type { InsertResult, UpdateResult } from 'kysely';

/**
 * The one way to insert or update: UPDATE first, INSERT when there was no such row. Knows no
 * dialect's ON CONFLICT or ON DUPLICATE KEY; safe because transactions that write are serialised.
 */
export async function upsert(
  update: { executeTakeFirst(): Promise<UpdateResult | undefined> },
  insert: { execute(): Promise<InsertResult[]> },
): Promise<void> {
  const result = await update.executeTakeFirst();
  if (result === undefined || result.numUpdatedRows === 0n) await insert.execute();
}
