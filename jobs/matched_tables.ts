/**
 * Which tables the ON TABLES filter of each event-driven job matches now: for MatchedTables, for
 * WaitReason and for the check at creation. Delivery does not ask here: it matches the name that an
 * event carries, so what this knows may be a moment old without anything being lost.
 *
 * Exact after every change of a table: only the name that changed is matched again. The full
 * evaluation at the interval is for what no commit of this server tells. The server's own databases
 * have no tables in the catalog, so no filter matches them.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Config } from '../base/config.ts';
import type { DatabaseId, JobId, TableId } from '../base/ids.ts';
import type { Clock, Log } from '../base/ports.ts';
import { type TableFilter, readTableFilter } from '../base/table_filter.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { TableChange } from '../catalog/table_cache.ts';
import type { TableName } from '../catalog/tables.ts';
import { type TableMatcher, compileTableFilter, matching } from './table_filter.ts';

/** Names read at once; 5,000 take 6 ms. */
const NAMES_PER_READ = 2000;

export interface MatchedTablesDeps {
  readonly catalog: Catalog;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
}

interface Tracked {
  readonly filterText: string;
  readonly matcher: TableMatcher;
  tables: Map<TableId, TableName>;
}

export class MatchedTables {
  readonly #deps: MatchedTablesDeps;
  readonly #jobs = new Map<JobId, Tracked>();
  readonly #changes: TableChange[] = [];
  #evaluateAll = false;
  #working: Promise<void> | undefined;
  #stopTimer: () => void = () => undefined;
  #stopListening: (() => void)[] = [];
  #closed = false;

  constructor(deps: MatchedTablesDeps) {
    this.#deps = deps;
  }

  /** Evaluates the filters of all jobs there are, and follows changes from now on. */
  start(): void {
    const { catalog, config } = this.#deps;
    this.#stopListening = [
      catalog.onTableChange((change) => {
        // Without filters nobody wants to know, and the next job's evaluation sees all.
        if (this.#jobs.size === 0 && this.#working === undefined) return;
        this.#changes.push(change);
        this.#work();
      }),
      config.onChange((key) => {
        if (key === 'cloud_warm_up_table_filter_refresh_interval_ms') this.#arm();
      }),
    ];
    this.#evaluate();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopTimer();
    for (const stop of this.#stopListening) stop();
    await this.#working;
  }

  /** Names of the tables that a filter matches now, sorted. */
  async matchNow(filter: TableFilter): Promise<readonly string[]> {
    const matcher = compileTableFilter(filter);
    const names: string[] = [];
    for await (const tables of this.#pages()) {
      const found = await matching(matcher, tables, (table) => table.name);
      for (const { name } of found) names.push(name);
    }
    return names.toSorted();
  }

  /** A job was made or has another filter: `settled` waits until its tables are known. */
  jobsChanged(): void {
    this.#evaluate();
  }

  /** Resolves when all changes of jobs and tables so far are in what the other methods answer. */
  async settled(): Promise<void> {
    while (this.#working !== undefined) await this.#working;
  }

  /** Sorted names; undefined for a job without a filter, an ended one and a too new one. */
  names(jobId: JobId): readonly string[] | undefined {
    const tables = this.#jobs.get(jobId)?.tables.values();
    return tables === undefined ? undefined : [...tables].map(({ name }) => name).toSorted();
  }

  /** Whether the job has a filter and no table matches it now. */
  isEmpty(jobId: JobId): boolean {
    return this.#jobs.get(jobId)?.tables.size === 0;
  }

  /** What MatchedTables shows. */
  text(jobId: JobId): string {
    const limit = this.#deps.config.get('cloud_warm_up_matched_tables_display_limit');
    return matchedTablesText(this.names(jobId) ?? [], limit);
  }

  #evaluate(): void {
    this.#evaluateAll = true;
    this.#work();
  }

  #arm(): void {
    const { clock, config } = this.#deps;
    this.#stopTimer();
    if (this.#closed) return;
    const ms = config.get('cloud_warm_up_table_filter_refresh_interval_ms');
    this.#stopTimer = clock.after(ms, () => {
      this.#evaluate();
    });
  }

  #work(): void {
    if (this.#closed || this.#working !== undefined) return;
    this.#working = this.#workLoop();
  }

  /** One at a time, and changes after evaluations: the last word is always the newest. */
  async #workLoop(): Promise<void> {
    try {
      while (!this.#closed && (this.#evaluateAll || this.#changes.length > 0)) {
        if (this.#evaluateAll) {
          this.#evaluateAll = false;
          await this.#evaluateJobs();
        } else {
          const change = this.#changes.shift();
          if (change !== undefined) await this.#apply(change);
        }
      }
    } catch (error) {
      this.#deps.log.warn('tables of ON TABLES filters could not be read', {
        error: String(error),
      });
    } finally {
      this.#working = undefined;
      this.#arm();
    }
  }

  async #evaluateJobs(): Promise<void> {
    const active = await this.#deps.catalog.warmUpJobs.active();
    const wanted = new Map<JobId, Tracked>();
    for (const { jobId, tableFilter } of active) {
      if (tableFilter === null) continue;
      const known = this.#jobs.get(jobId);
      const matcher =
        known?.filterText === tableFilter
          ? known.matcher
          : compileTableFilter(readTableFilter(tableFilter));
      wanted.set(jobId, { filterText: tableFilter, matcher, tables: new Map() });
    }
    if (wanted.size > 0) {
      for await (const tables of this.#pages()) {
        for (const tracked of wanted.values()) {
          const found = await matching(tracked.matcher, tables, (table) => table.name);
          for (const table of found) tracked.tables.set(table.tableId, table);
        }
      }
    }
    this.#jobs.clear();
    for (const [jobId, tracked] of wanted) this.#jobs.set(jobId, tracked);
  }

  async *#pages(): AsyncGenerator<readonly TableName[]> {
    let after = 0;
    for (;;) {
      const tables = await this.#deps.catalog.tables.names(after, NAMES_PER_READ);
      yield tables;
      if (tables.length < NAMES_PER_READ) return;
      after = tables.at(-1)?.tableId ?? 0;
      await nextTurn();
    }
  }

  async #apply(change: TableChange): Promise<void> {
    if ('databaseId' in change) {
      this.#dropDatabase(change.databaseId);
      return;
    }
    const { tableId } = change;
    const now = await this.#deps.catalog.tables.nameOf(tableId);
    for (const { matcher, tables } of this.#jobs.values()) {
      if (now !== undefined && matcher.matches(now.name)) {
        tables.set(tableId, now);
      } else {
        tables.delete(tableId);
      }
    }
  }

  #dropDatabase(databaseId: DatabaseId): void {
    for (const { tables } of this.#jobs.values()) {
      for (const table of tables.values()) {
        if (table.databaseId === databaseId) tables.delete(table.tableId);
      }
    }
  }
}

/** `a.b, a.c`, at most `limit` names, then how many more there are. */
export function matchedTablesText(names: readonly string[], limit: number): string {
  const shown = names.slice(0, limit).join(', ');
  return names.length <= limit ? shown : `${shown} ... and ${names.length - limit} more`;
}
