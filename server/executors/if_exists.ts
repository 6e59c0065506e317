/** IF EXISTS and IF NOT EXISTS. */
import { type ErrorName, SqlError } from '../../base/errors.ts';
import { OK, type StatementResult } from '../../base/values.ts';
import type { ExecContext } from './executor.ts';

/**
 * Makes a note of the error that the clause, if it is `given`, is against. Wherever the error comes
 * from: another session may create or drop the thing between this one's look and its change.
 */
export async function noteOf(
  code: ErrorName,
  given: boolean,
  { session }: ExecContext,
  work: () => Promise<StatementResult | undefined>,
): Promise<StatementResult> {
  try {
    return (await work()) ?? OK;
  } catch (error) {
    if (!given || !(error instanceof SqlError) || error.code !== code) throw error;
    session.warn({ level: 'Note', code: error.errno, message: error.message });
    return OK;
  }
}
