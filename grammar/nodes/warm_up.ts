/** Statements about warm-up jobs and the block cache. */
import type { JobRef, Properties, ShowFilter, TableName } from './clauses.ts';

export interface WarmUpTable extends TableName {
  readonly partition: string | undefined;
}

export type WarmUpSource =
  | { readonly kind: 'computeGroup'; readonly name: string }
  | { readonly kind: 'tables'; readonly tables: readonly WarmUpTable[] };

export interface OnTablesRule {
  readonly action: 'INCLUDE' | 'EXCLUDE';
  readonly pattern: string;
  readonly at: number;
}

/** `WARM UP COMPUTE GROUP target WITH ...`. */
export interface WarmUp {
  readonly kind: 'WarmUp';
  readonly target: string;
  readonly source: WarmUpSource;
  readonly force: boolean;
  /** Empty: no ON TABLES clause (an empty clause is a syntax error). */
  readonly onTables: readonly OnTablesRule[];
  readonly properties: Properties;
}

export interface ExplainWarmUp {
  readonly kind: 'ExplainWarmUp';
  readonly warmUp: WarmUp;
}

/** `[EXPLAIN] WARM UP SELECT ...`; `text` begins with SELECT, `at` is its offset. */
export interface WarmUpSelect {
  readonly kind: 'WarmUpSelect';
  readonly explain: boolean;
  readonly text: string;
  readonly at: number;
}

export interface ShowWarmUpJobs {
  readonly kind: 'ShowWarmUpJobs';
  readonly filter: ShowFilter;
}

/** `SHOW WARM UP JOB [id] RUNS`. */
export interface ShowWarmUpJobRuns {
  readonly kind: 'ShowWarmUpJobRuns';
  readonly id: number | undefined;
  readonly filter: ShowFilter;
}

/** `SHOW WARM UP JOB [id] FAILURES`. */
export interface ShowWarmUpJobFailures {
  readonly kind: 'ShowWarmUpJobFailures';
  readonly id: number | undefined;
  readonly filter: ShowFilter;
}

export interface CancelWarmUpJob {
  readonly kind: 'CancelWarmUpJob';
  readonly job: JobRef;
}

export interface PauseWarmUpJob {
  readonly kind: 'PauseWarmUpJob';
  readonly job: JobRef;
}

export interface ResumeWarmUpJob {
  readonly kind: 'ResumeWarmUpJob';
  readonly job: JobRef;
}

export interface RetryWarmUpJob {
  readonly kind: 'RetryWarmUpJob';
  readonly job: JobRef;
}

/** `ALTER WARM UP JOB ref {SET ("k" = "v") | ON TABLES (...)}`. */
export interface AlterWarmUpJob {
  readonly kind: 'AlterWarmUpJob';
  readonly job: JobRef;
  readonly change:
    | { readonly kind: 'properties'; readonly properties: Properties }
    | { readonly kind: 'onTables'; readonly rules: readonly OnTablesRule[] };
}

/** `WAIT FOR WARM UP JOB ref [TIMEOUT seconds]`. */
export interface WaitForWarmUpJob {
  readonly kind: 'WaitForWarmUpJob';
  readonly job: JobRef;
  readonly timeoutSeconds: number | undefined;
}

/** `SHOW CACHE HOTSPOT '/[group[/db.table]]'`; the path as written. */
export interface ShowCacheHotspot {
  readonly kind: 'ShowCacheHotspot';
  readonly path: string;
  readonly filter: ShowFilter;
}

export type WarmUpStatement =
  | WarmUp
  | ExplainWarmUp
  | WarmUpSelect
  | ShowWarmUpJobs
  | ShowWarmUpJobRuns
  | ShowWarmUpJobFailures
  | CancelWarmUpJob
  | PauseWarmUpJob
  | ResumeWarmUpJob
  | RetryWarmUpJob
  | AlterWarmUpJob
  | WaitForWarmUpJob
  | ShowCacheHotspot;
