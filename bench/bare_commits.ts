/**
 * What creating jobs is compared with: one insert of a job's row per transaction, straight through
 * better-sqlite3, in a database of its own beside the catalog, with the catalog's settings.
 */
import { join } from 'node:path';
import Database from 'better-sqlite3';

export class BareCommits {
  readonly #database: Database.Database;
  readonly #insert: Database.Statement;
  readonly #row: unknown[];

  /** In the directory of a catalog that has a warm-up job at least: its row is what is written. */
  constructor(dataDir: string) {
    const catalog = new Database(join(dataDir, 'catalog.db'), { readonly: true });
    const table = catalog
      .prepare("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'warm_up_job'")
      .pluck()
      .get() as string;
    const row = catalog.prepare('SELECT * FROM warm_up_job LIMIT 1').raw().get() as
      | unknown[]
      | undefined;
    catalog.close();
    if (row === undefined) throw new Error('the catalog has no warm-up job');
    this.#row = row;
    this.#database = new Database(join(dataDir, 'bare.db'));
    this.#database.pragma('journal_mode = WAL');
    this.#database.pragma('synchronous = FULL');
    this.#database.exec(table);
    const values = row.map((_, place) => (place === 0 ? 'NULL' : '?')).join(', ');
    this.#insert = this.#database.prepare(`INSERT INTO warm_up_job VALUES (${values})`);
  }

  /** Milliseconds of each of `count` commits. */
  run(count: number): number[] {
    const values = this.#row.slice(1);
    return Array.from({ length: count }, () => {
      const from = performance.now();
      this.#database.exec('BEGIN IMMEDIATE');
      this.#insert.run(values);
      this.#database.exec('COMMIT');
      return performance.now() - from;
    });
  }

  /** What decides about the price of a commit. */
  settings(): { readonly journalMode: unknown; readonly synchronous: unknown } {
    return {
      journalMode: this.#database.pragma('journal_mode', { simple: true }),
      synchronous: this.#database.pragma('synchronous', { simple: true }),
    };
  }

  close(): void {
    this.#database.close();
  }
}
