/**
 * Thrown when a guarded UPDATE found the row in another state or version than it was read in:
 * somebody was faster. The transaction is rolled back; read again and decide again.
 */
export class StaleRow extends Error {
  /** For recognition across realms. */
  readonly code = 'STALE_ROW';

  constructor(what: string) {
    super(`${what} was changed by somebody else meanwhile`);
    this.name = 'StaleRow';
  }
}

/** `UPDATE ... WHERE id = ? AND state = ? AND version = ?` must have met exactly one row. */
export function expectOne(changed: bigint, what: string): void {
  if (changed !== 1n) throw new StaleRow(what);
}
