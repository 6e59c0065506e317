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

/** Times that a statement is decided again. */
const TRIES_MAX = 5;

/** Reads and decides again when somebody was faster; in the end throws the `StaleRow`. */
export async function retryStale<T>(attempt: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await attempt();
    } catch (error) {
      const isStale = (error as { readonly code?: unknown }).code === 'STALE_ROW';
      if (!isStale || tries === TRIES_MAX) throw error;
    }
  }
}
