/**
 * Who did what: the newest entries in memory (`information_schema.audit_log`), all of them as JSON
 * lines in `log/audit.jsonl` of the data directory, which rotates by size. Nobody waits for it:
 * entries are collected, and made into text and written a moment later. What a disk that is too
 * slow cannot take is dropped, and counted.
 */
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Config } from '../../base/config.ts';
import type { Clock, Log } from '../../base/ports.ts';
import { shownText } from '../../parser/shown_text.ts';

/** Milliseconds from an entry to its line in the file, as far as the disk keeps up. */
const FLUSH_MS = 500;
/** Entries that are collected at most before they are made into text. */
const COLLECTED_MAX = 200;
/** Between two warnings that lines are lost: a flood of statements is no flood of warnings. */
const WARN_MS = 10_000;
/** Texts whose shown form is kept. */
const TEXTS_MAX = 50;
/** Bytes that wait for the disk at most. */
const WAITING_BYTES_MAX = 16 * 2 ** 20;
/** Characters of a statement that are kept. */
export const TEXT_MAX = 4096;
const OWNER_ONLY = 0o600;

/** What was done; `login` is a connection, `load` a stream load. */
export interface AuditEntry {
  /** Wall clock at the beginning, milliseconds. */
  readonly atMs: number;
  readonly connectionId: number;
  readonly user: string;
  readonly host: string;
  readonly database: string;
  /** Kind of statement, `Connect`, `StreamLoad`; empty: it could not be read. */
  readonly kind: string;
  /** Beginning of the statement as it was sent; secrets are masked when it is made into text. */
  readonly text: string;
  /** 0: it succeeded. */
  readonly errno: number;
  readonly error: string;
  /** Returned or changed. */
  readonly rows: number;
  readonly durationMs: number;
  /** Of a job that it made or was about; empty: none. */
  readonly jobId: string;
}

interface ShownText {
  readonly text: string;
  readonly json: string;
}

export interface AuditLogOptions {
  /** Directory of the files; made when there is something to write. */
  readonly dir: string;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
}

export class AuditLog {
  readonly #options: AuditLogOptions;
  /** Newest last. */
  #recent: AuditEntry[] = [];
  #collected: AuditEntry[] = [];
  /** By text as it was sent. */
  readonly #texts = new Map<string, ShownText>();
  #stopTimer: (() => void) | undefined;
  #waitingBytes = 0;
  #dropped = 0;
  /** When it was last said that lines are lost, monotonic milliseconds. */
  #warnedMs = Number.NEGATIVE_INFINITY;
  #writing: Promise<void> = Promise.resolve();
  #isFailing = false;

  constructor(options: AuditLogOptions) {
    this.#options = options;
  }

  get isOn(): boolean {
    return this.#options.config.get('enable_audit_log');
  }

  /** Lines that the disk did not take, since the start. */
  get dropped(): number {
    return this.#dropped;
  }

  record(entry: AuditEntry): void {
    if (!this.isOn) return;
    this.#collected.push(entry);
    if (this.#collected.length >= COLLECTED_MAX) this.#settle();
    this.#stopTimer ??= this.#options.clock.after(FLUSH_MS, () => {
      this.#settle();
    });
  }

  /** Newest last, at most `audit_log_memory_rows`. */
  recent(): readonly AuditEntry[] {
    this.#settle();
    return this.#recent;
  }

  /** Resolves when everything recorded so far is in the file, or given up. */
  async flush(): Promise<void> {
    this.#settle();
    await this.#writing;
  }

  /** What was collected becomes text: rows in memory, and a piece to be written. */
  #settle(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
    if (this.#collected.length === 0) return;
    const lines: string[] = [];
    const entries = this.#collected.map((entry): AuditEntry => {
      const shown = this.#shown(entry.text);
      lines.push(lineOf(entry, shown));
      return { ...entry, text: shown.text };
    });
    this.#collected = [];
    const { config } = this.#options;
    const rows = config.get('audit_log_memory_rows');
    this.#recent = [...this.#recent, ...entries].slice(-rows);
    if (rows === 0) this.#recent = [];
    this.#write(Buffer.from(lines.join('')), entries.length);
  }

  /** Dashboards send the same few texts again and again. */
  #shown(text: string): ShownText {
    let known = this.#texts.get(text);
    if (known === undefined) {
      const shown = copied(shownText(text));
      known = { text: shown, json: JSON.stringify(shown) };
      if (this.#texts.size >= TEXTS_MAX) this.#texts.clear();
      // What is kept must not hold on to the request that it is a part of.
      this.#texts.set(copied(text), known);
    }
    return known;
  }

  #write(piece: Uint8Array, lines: number): void {
    const { clock, log } = this.#options;
    if (this.#waitingBytes + piece.byteLength > WAITING_BYTES_MAX) {
      this.#dropped += lines;
      const now = clock.monotonic();
      if (now - this.#warnedMs < WARN_MS) return;
      this.#warnedMs = now;
      log.warn('the audit log is not written fast enough: lines are lost', {
        dropped: this.#dropped,
      });
      return;
    }
    this.#waitingBytes += piece.byteLength;
    this.#writing = this.#writing.then(async () => {
      try {
        await this.#append(piece);
        this.#isFailing = false;
      } catch (error) {
        this.#dropped += lines;
        if (!this.#isFailing) {
          log.error('the audit log cannot be written', { error: String(error) });
        }
        this.#isFailing = true;
      } finally {
        this.#waitingBytes -= piece.byteLength;
      }
    });
  }

  async #append(piece: Uint8Array): Promise<void> {
    const { dir, config } = this.#options;
    const file = join(dir, FILE_NAME);
    let handle = await openIn(dir, file);
    try {
      const { size } = await handle.stat();
      if (size > 0 && size + piece.byteLength > config.get('audit_log_max_bytes')) {
        await handle.close();
        await this.#rotate(file);
        handle = await openIn(dir, file);
      }
      await handle.appendFile(piece);
    } finally {
      await handle.close();
    }
  }

  /** `audit.jsonl` becomes `audit.jsonl.1`, that one `.2`, and so on; the last one goes. */
  async #rotate(file: string): Promise<void> {
    const kept = this.#options.config.get('audit_log_roll_num');
    await rm(kept === 0 ? file : `${file}.${kept}`, { force: true });
    for (let number = kept - 1; number >= 0; number -= 1) {
      const from = number === 0 ? file : `${file}.${number}`;
      if ((await sizeOf(from)) >= 0) await rename(from, `${file}.${number + 1}`);
    }
  }
}

const FILE_NAME = 'audit.jsonl';

/** A part of a string holds on to all of it: one statement of a request would keep the others. */
function copied(text: string): string {
  return Buffer.from(text).toString();
}

/** For appending; the directory is made when it is not there. */
async function openIn(dir: string, file: string): Promise<FileHandle> {
  try {
    return await open(file, 'a', OWNER_ONLY);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    await mkdir(dir, { recursive: true });
    return await open(file, 'a', OWNER_ONLY);
  }
}

/** -1: there is no such file. */
async function sizeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size;
  } catch {
    return -1;
  }
}

/** As JSON.stringify of an object writes it, of which the statement's text is the largest part. */
function lineOf(entry: AuditEntry, { json }: ShownText): string {
  const { atMs, connectionId, user, host, database, kind, error, jobId } = entry;
  const quoted = JSON.stringify;
  return (
    `{"time":"${timeOf(atMs)}","connection_id":${connectionId},"user":${quoted(user)},` +
    `"client_ip":${quoted(host)},"db":${quoted(database)},"kind":${quoted(kind)},"stmt":${json},` +
    `"error_code":${entry.errno},"error_message":${quoted(error)},"rows":${entry.rows},` +
    `"duration_ms":${entry.durationMs},"job_id":${quoted(jobId)}}\n`
  );
}

/** Of many entries in a row the time is the same. */
const lastTime = { atMs: Number.NaN, text: '' };

function timeOf(atMs: number): string {
  if (lastTime.atMs !== atMs) {
    lastTime.text = new Date(atMs).toISOString();
    lastTime.atMs = atMs;
  }
  return lastTime.text;
}
