/**
 * The one place that knows the driver's error codes. By `.code`, not by class: an error of a
 * native addon is an instance of another realm's Error in tests and workers.
 */
import { SqlError } from '../base/errors.ts';
import type { ErrorName } from '../base/errors.ts';

/** Primary result code → what it means for us. Extended codes (`SQLITE_IOERR_FSYNC`) follow it. */
const MEANING: readonly (readonly [prefix: string, name: ErrorName])[] = [
  ['SQLITE_FULL', 'CATALOG_FULL'],
  ['SQLITE_READONLY', 'CATALOG_READ_ONLY'],
  ['SQLITE_PERM', 'CATALOG_READ_ONLY'],
  ['SQLITE_AUTH', 'CATALOG_READ_ONLY'],
  ['SQLITE_CORRUPT', 'CATALOG_DAMAGED'],
  ['SQLITE_NOTADB', 'CATALOG_DAMAGED'],
  ['SQLITE_FORMAT', 'CATALOG_DAMAGED'],
  ['SQLITE_BUSY', 'CATALOG_BUSY'],
  ['SQLITE_LOCKED', 'CATALOG_BUSY'],
  ['SQLITE_IOERR', 'CATALOG_IO'],
  ['SQLITE_CANTOPEN', 'CATALOG_IO'],
  ['SQLITE_NOMEM', 'CATALOG_IO'],
];

/** The driver's code, e.g. `SQLITE_CONSTRAINT_PRIMARYKEY`; undefined for any other error. */
export function driverCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  const { code } = error;
  return typeof code === 'string' && code.startsWith('SQLITE_') ? code : undefined;
}

/** A UNIQUE or PRIMARY KEY was violated: the row is there already. */
export function isDuplicateKey(error: unknown): boolean {
  const code = driverCode(error);
  return code === 'SQLITE_CONSTRAINT_PRIMARYKEY' || code === 'SQLITE_CONSTRAINT_UNIQUE';
}

/** What a client should read for a driver's error; anything else comes back unchanged. */
export function toCatalogError(error: unknown): unknown {
  const code = driverCode(error);
  if (code === undefined) return error;
  const meaning = MEANING.find(([prefix]) => code === prefix || code.startsWith(`${prefix}_`));
  if (meaning === undefined) return error;
  const message = String((error as { message?: unknown }).message);
  return new SqlError(meaning[1], { what: `${message} [${code}]` }, { cause: error });
}
