/**
 * Statements in, text out, on a real server: each file of test/golden/e2e runs on a server of its
 * own. UPDATE_GOLDEN=1 writes the answers.
 *
 * A block is: directives, one statement, `----`, what came back. Directives:
 * - `error N`: the statement must fail with this number
 * - `job`: the statement makes a job; the answer is how the job ended
 * - `load TABLE N`: stream load of N rows (no statement)
 * - `clear GROUP`: empties the caches (no statement)
 * - `capacity GROUP BYTES`: of each cache of the group (no statement)
 * - `ttl GROUP GROUP`: compares the sums of the metric ttl_cache_size (no statement)
 * `$job1` stands for the id of the first job, in statements and answers.
 */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { request } from 'undici';
import { type Row, ServerProcess, until } from './server_process.ts';
import { backendsOf, csvLines, groupMetric, jobEnd, loadRows } from './warm_up_steps.ts';

const GOLDEN = new URL('../golden/e2e/', import.meta.url);
const TEXT_CHARS = 200;

interface Block {
  readonly directives: readonly string[];
  readonly sql: string;
  readonly answer: string;
}

function readBlocks(text: string): Block[] {
  return text
    .split(/\n\n+/)
    .filter((block) => block.trim() !== '')
    .map((block) => {
      const [head = '', answer = ''] = block.trimEnd().split(/^----\n?/m);
      const lines = head.trimEnd().split('\n');
      const isDirective = (line: string): boolean =>
        /^(error \d+|job|load .*|clear .*|capacity .*|ttl .*|#.*)$/.test(line);
      const directives = lines.filter(isDirective);
      const sql = lines.filter((line) => !isDirective(line)).join('\n');
      return { directives, sql, answer: answer.trimEnd() };
    });
}

class Runner {
  readonly #server: ServerProcess;
  readonly #jobs: string[] = [];
  #nextId = 1;

  constructor(server: ServerProcess) {
    this.#server = server;
  }

  async run({ directives, sql }: Block): Promise<string> {
    const words = (name: string): string[] | undefined =>
      directives.find((line) => line.split(' ')[0] === name)?.split(' ');
    const load = words('load');
    if (load !== undefined) return await this.#load(load[1] ?? '', Number(load[2]));
    const clear = words('clear');
    if (clear !== undefined) return await this.#clear(clear[1] ?? '');
    const capacity = words('capacity');
    if (capacity !== undefined) return await this.#capacity(capacity[1] ?? '', capacity[2] ?? '');
    const ttl = words('ttl');
    if (ttl !== undefined) return await this.#ttl(ttl[1] ?? '', ttl[2] ?? '');
    const statement = sql.replaceAll(/\$job(\d+)/g, (_, n) => this.#jobs[Number(n) - 1] ?? '0');
    const error = words('error');
    if (error !== undefined) {
      const { errno, sqlState, message } = await this.#server.error(statement);
      return this.#mask(`${errno} ${sqlState} ${message}`);
    }
    const rows = await this.#server.sql(statement);
    const warnings = await this.#server.sql('SHOW WARNINGS');
    for (const row of rows) {
      const id = row['JobId'];
      if (typeof id === 'string' && !this.#jobs.includes(id)) this.#jobs.push(id);
    }
    const lines = words('job') === undefined ? rowLines(rows) : await this.#jobLines(rows);
    for (const { Level, Code, Message } of warnings) lines.push(`${Level} ${Code}: ${Message}`);
    return this.#mask(lines.join('\n'));
  }

  async #jobLines(rows: readonly Row[]): Promise<string[]> {
    const row = await jobEnd(this.#server, String(rows[0]?.['JobId']));
    const { JobId, Status, Type, SyncMode, SrcComputeGroup, DstComputeGroup } = row;
    const { FinishBytes, AllBytes, FinishBatch, AllBatch, Tables, ErrMsg, Progress } = row;
    const batches = FinishBatch === AllBatch ? 'all batches' : `${FinishBatch} of ${AllBatch}`;
    const bytes =
      FinishBytes === AllBytes ? (AllBytes === 0 ? 'no bytes' : 'all bytes') : 'bytes differ';
    return [
      `${JobId}: ${Status} ${Progress}, ${batches}, ${bytes}`,
      `${Type} ${SyncMode}, from ${SrcComputeGroup} to ${DstComputeGroup}, tables '${Tables}'`,
      ...(ErrMsg === '' ? [] : [String(ErrMsg)]),
    ];
  }

  async #load(table: string, rows: number): Promise<string> {
    const text = csvLines(this.#nextId, rows, TEXT_CHARS);
    this.#nextId += rows;
    const headers = { format: 'csv', column_separator: ',' };
    const answer = await loadRows(this.#server, table, { text, headers });
    return `${answer['Status']} ${answer['NumberLoadedRows']}`;
  }

  async #fileCache(group: string, query: string): Promise<void> {
    for (const backend of await backendsOf(this.#server, group)) {
      const url = `http://127.0.0.1:${String(backend['HttpPort'])}/api/file_cache?${query}`;
      const answer = await request(url);
      expect(await answer.body.json()).toMatchObject({ status: 'OK' });
    }
  }

  async #clear(group: string): Promise<string> {
    await this.#fileCache(group, 'op=clear&sync=true');
    return `ttl_cache_size ${await groupMetric(this.#server, group, 'ttl_cache_size')}`;
  }

  /** The server hears of it with the next heartbeat. */
  async #capacity(group: string, bytes: string): Promise<string> {
    const before = (await backendsOf(this.#server, group)).map((row) => row['CacheCapacity']);
    await this.#fileCache(group, `op=reset&capacity=${bytes}`);
    let now: unknown[] = [];
    await until('the new capacity', async () => {
      now = (await backendsOf(this.#server, group)).map((row) => row['CacheCapacity']);
      return now.every((text, place) => text !== before[place]);
    });
    return now.join(', ');
  }

  async #ttl(a: string, b: string): Promise<string> {
    const first = await groupMetric(this.#server, a, 'ttl_cache_size');
    const second = await groupMetric(this.#server, b, 'ttl_cache_size');
    if (first === second) return first === 0 ? 'both 0' : 'equal, more than 0';
    return `${a} ${first === 0 ? '0' : 'more than 0'}, ${b} ${second === 0 ? '0' : 'another'}`;
  }

  #mask(text: string): string {
    let masked = text
      .replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?/g, '<time>')
      .replaceAll(/[0-9a-f]{32}/g, '<rowset>');
    for (const [place, id] of this.#jobs.entries()) {
      masked = masked.replaceAll(new RegExp(`\\b${id}\\b`, 'g'), `$job${place + 1}`);
    }
    return masked;
  }
}

function rowLines(rows: readonly Row[]): string[] {
  const [first] = rows;
  if (first === undefined) return [];
  const cell = (value: string | number | null): string => (value === null ? 'NULL' : String(value));
  return [
    Object.keys(first).join('\t'),
    ...rows.map((row) =>
      Object.values(row as Record<string, string | number | null>)
        .map(cell)
        .join('\t'),
    ),
  ];
}

describe.each(readdirSync(GOLDEN).filter((name) => /^(warm_up|errors).*\.txt$/.test(name)))(
  '%s',
  (name) => {
    let server: ServerProcess;

    beforeAll(async () => {
      server = await ServerProcess.start();
    });
    afterAll(async () => {
      await server.stop();
    });

    it('answers as written', async () => {
      const url = new URL(name, GOLDEN);
      const blocks = readBlocks(readFileSync(url, 'utf8'));
      const runner = new Runner(server);
      const got: string[] = [];
      const expected: string[] = [];
      for (const block of blocks) {
        const question = [...block.directives, ...(block.sql === '' ? [] : [block.sql])].join('\n');
        let answer: string;
        try {
          answer = await runner.run(block);
        } catch (error) {
          answer = `!! ${error instanceof Error ? error.message : String(error)}`;
        }
        got.push(`${question}\n----\n${answer}`.trimEnd());
        expected.push(`${question}\n----\n${block.answer}`.trimEnd());
      }
      if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(url, `${got.join('\n\n')}\n`);
      else expect(got).toEqual(expected);
      expect(got.filter((text) => text.includes('!! '))).toEqual([]);
    });
  },
);
