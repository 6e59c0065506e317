/** The audit log alone: bounds, order, rotation, and a disk that does not take it. */
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Config } from '../../../base/config.ts';
import { SILENT_LOG } from '../../../base/ports.ts';
import { type AuditEntry, AuditLog } from '../../../server/audit/audit_log.ts';
import { ManualClock } from '../../manual_clock.ts';

let dir: string;
let clock: ManualClock;
let config: Config;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'thermocline-audit-'));
  clock = new ManualClock();
  config = new Config();
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

const open = (): AuditLog =>
  new AuditLog({ dir: join(dir, 'log'), config, clock, log: SILENT_LOG });

const entry = (text: string): AuditEntry => ({
  atMs: clock.now(),
  connectionId: 1,
  user: 'u',
  host: '127.0.0.1',
  database: '',
  kind: 'Select',
  text,
  errno: 0,
  error: '',
  rows: 1,
  durationMs: 0.5,
  jobId: '',
});

async function statements(): Promise<string[]> {
  const files = (await readdir(join(dir, 'log'))).toSorted().toReversed();
  const texts = await Promise.all(files.map((file) => readFile(join(dir, 'log', file), 'utf8')));
  return texts
    .flatMap((text) => text.trimEnd().split('\n'))
    .map((line) => String((JSON.parse(line) as Record<string, unknown>)['stmt']));
}

const numbered = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, at) => `SELECT ${from + at}`);

describe('the audit log', () => {
  it('writes lines as JSON.stringify would, whatever is in them', async () => {
    const log = open();
    const odd = {
      ...entry(`SELECT 'a"b\\ \u2028 ü \u0001' FROM t`),
      user: 'o"brien',
      database: 'd\\b',
      error: 'it\'s\n"bad"',
      errno: 1064,
      jobId: '7',
      rows: 12,
      durationMs: 0.125,
    };
    for (let time = 0; time < 3; time += 1) {
      log.record(odd);
      clock.advance(1);
    }
    await log.flush();
    const [line] = (await readFile(join(dir, 'log', 'audit.jsonl'), 'utf8')).split('\n');
    const { user, database: db, kind, text: stmt, errno, error, rows } = odd;
    const expected = {
      time: new Date(odd.atMs).toISOString(),
      connection_id: 1,
      user,
      client_ip: '127.0.0.1',
      db,
      kind,
      stmt,
      error_code: errno,
      error_message: error,
      rows,
      duration_ms: 0.125,
      job_id: '7',
    };
    expect(line).toBe(JSON.stringify(expected));
    expect(log.recent().map(({ text }) => text)).toEqual([stmt, stmt, stmt]);
  });

  it('masks secrets each time', async () => {
    const log = open();
    const secret = "SET PASSWORD = 'very-secret'";
    for (const text of [secret, 'SELECT 1', secret]) log.record(entry(text));
    await log.flush();
    const texts = await statements();
    expect(texts).toHaveLength(3);
    expect(texts.join(' ')).not.toContain('very-secret');
    expect(texts[0]).toBe(texts[2]);
  });

  it('writes a moment later, in order, and only its owner reads it', async () => {
    const log = open();
    const texts = numbered(0, 950);
    for (const text of texts) log.record(entry(text));
    clock.advance(1000);
    await log.flush();
    expect(await statements()).toEqual(texts);
    expect((await stat(join(dir, 'log', 'audit.jsonl'))).mode & 0o777).toBe(0o600);
    expect(clock.pending).toBe(0);
  });

  it('keeps the newest in memory', () => {
    config.setLive('audit_log_memory_rows', '3');
    const log = open();
    for (const text of numbered(0, 10)) log.record(entry(text));
    expect(log.recent().map(({ text }) => text)).toEqual(numbered(7, 10));
    config.setLive('audit_log_memory_rows', '0');
    log.record(entry('SELECT 10'));
    expect(log.recent()).toEqual([]);
  });

  it('keeps so many older files, each as long as allowed', async () => {
    config.setLive('audit_log_max_bytes', '1024');
    config.setLive('audit_log_roll_num', '2');
    const log = open();
    for (const text of numbered(0, 40)) {
      log.record(entry(text));
      await log.flush();
    }
    const files = (await readdir(join(dir, 'log'))).toSorted();
    expect(files).toEqual(['audit.jsonl', 'audit.jsonl.1', 'audit.jsonl.2']);
    for (const file of files) {
      expect((await stat(join(dir, 'log', file))).size).toBeLessThanOrEqual(1024);
    }
    const kept = await statements();
    expect(kept).toEqual(numbered(40 - kept.length, 40));
    expect(kept.length).toBeGreaterThan(6);
  });

  it('goes on after a restart', async () => {
    for (const text of ['SELECT 1', 'SELECT 2']) {
      const log = open();
      log.record(entry(text));
      await log.flush();
    }
    expect(await statements()).toEqual(['SELECT 1', 'SELECT 2']);
  });

  it('counts what the disk does not take, and harms nobody', async () => {
    await writeFile(join(dir, 'log'), 'a file where the directory should be');
    const log = open();
    log.record(entry('SELECT 1'));
    await log.flush();
    expect(log.dropped).toBe(1);
    expect(log.recent()).toHaveLength(1);
    await rm(join(dir, 'log'));
    log.record(entry('SELECT 2'));
    await log.flush();
    expect(await statements()).toEqual(['SELECT 2']);
    expect(log.dropped).toBe(1);
  });

  it('drops rather than collect without end', async () => {
    let warnings = 0;
    const counting = {
      ...SILENT_LOG,
      warn: () => {
        warnings += 1;
      },
    };
    const log = new AuditLog({ dir: join(dir, 'log'), config, clock, log: counting });
    const long = `SELECT '${'x'.repeat(4000)}'`;
    // 40 MB, before the disk gets a turn.
    for (let at = 0; at < 10_000; at += 1) log.record(entry(long));
    await log.flush();
    expect(log.dropped).toBeGreaterThan(4000);
    expect((await statements()).length + log.dropped).toBe(10_000);
    expect(warnings).toBe(1);
  });

  it('is silent when it is off', async () => {
    config.setLive('enable_audit_log', 'false');
    const log = open();
    log.record(entry('SELECT 1'));
    await log.flush();
    expect(log.recent()).toEqual([]);
    expect(await readdir(dir)).toEqual([]);
  });
});
