/** One statement on its way into the audit log: from its beginning until its last row was read. */
import { SqlError } from '../../base/errors.ts';
import type { Clock } from '../../base/ports.ts';
import type { SqlRow, StatementResult } from '../../base/values.ts';
import { jobIdOf } from '../../parser/job_ref.ts';
import type { Statement } from '../../parser/statement.ts';
import type { SessionState } from '../session_state.ts';
import { type AuditLog, TEXT_MAX } from './audit_log.ts';

export class AuditedStatement {
  readonly #log: AuditLog;
  readonly #clock: Clock;
  readonly #state: SessionState;
  readonly #statement: Statement | undefined;
  readonly #text: string;
  readonly #atMs: number;
  readonly #startedMs: number;
  /** Before the statement: USE and DROP DATABASE change it. */
  readonly #database: string;
  #rows = 0;
  #jobId = '';
  #failure: { readonly errno: number; readonly message: string } | undefined;

  /** `statement` undefined: the text could not be read. */
  constructor(
    { log, clock, state }: { log: AuditLog; clock: Clock; state: SessionState },
    statement: Statement | undefined,
    text: string,
  ) {
    this.#log = log;
    this.#clock = clock;
    this.#state = state;
    this.#statement = statement;
    this.#text = beginning(text);
    this.#atMs = clock.now();
    this.#startedMs = clock.monotonic();
    this.#database = state.database;
  }

  /** Rows that were read, or that were changed. */
  get rows(): number {
    return this.#rows;
  }

  /** The result, whose rows are counted when they are read. */
  counted(result: StatementResult): StatementResult {
    if (result.kind === 'ok') {
      this.#rows = result.affectedRows;
      return result;
    }
    const { rows, columns } = result;
    if (!Array.isArray(rows)) {
      return { ...result, rows: this.#count(rows as AsyncIterable<readonly SqlRow[]>) };
    }
    this.#rows = rows.length;
    const [first] = rows as readonly SqlRow[];
    const isNewJob = columns.length === 1 && columns[0]?.name === 'JobId';
    if (isNewJob && first !== undefined) this.#jobId = String(first[0]);
    return result;
  }

  async *#count(rows: AsyncIterable<readonly SqlRow[]>): AsyncGenerator<readonly SqlRow[]> {
    try {
      for await (const batch of rows) {
        this.#rows += batch.length;
        yield batch;
      }
    } catch (error) {
      this.failed(error);
      throw error;
    }
  }

  failed(error: unknown): void {
    this.#failure =
      error instanceof SqlError
        ? { errno: error.errno, message: error.message }
        : { errno: INTERNAL_ERRNO, message: 'internal error' };
  }

  /** To be called once, when nothing more comes. */
  end(): void {
    const { connectionId, user, host } = this.#state;
    this.#log.record({
      atMs: this.#atMs,
      connectionId,
      user,
      host,
      database: this.#database,
      kind: this.#statement?.kind ?? '',
      text: this.#text,
      errno: this.#failure?.errno ?? 0,
      error: this.#failure?.message ?? '',
      rows: this.#rows,
      durationMs: Math.round((this.#clock.monotonic() - this.#startedMs) * 1000) / 1000,
      jobId: this.#jobId === '' ? jobNamed(this.#statement) : this.#jobId,
    });
  }
}

const INTERNAL_ERRNO = 1105;

/** A long text is copied, so that the log does not hold on to all of it. */
function beginning(text: string): string {
  if (text.length <= TEXT_MAX) return text;
  return `${Buffer.from(text.slice(0, TEXT_MAX)).toString()}...`;
}

/** The job that CANCEL, PAUSE, ... is about. */
function jobNamed(statement: Statement | undefined): string {
  if (statement === undefined || !('job' in statement)) return '';
  try {
    return String(jobIdOf(statement.job));
  } catch {
    return '';
  }
}
