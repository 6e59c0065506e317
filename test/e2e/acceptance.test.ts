/**
 * Statements in, text out, on a real server: each file of test/golden/e2e runs on a server of its
 * own. UPDATE_GOLDEN=1 writes the answers.
 *
 * A block is: directives, one statement, `----`, what came back. Directives:
 * - `server ARG ...`: arguments of `serve` (in the first block, no statement)
 * - `until`: again and again until the answer is the one that is written
 * - `repeat N`: so many times; the answer is the last one's
 * - `columns A B ...`: only these columns of the answer
 * - `error N`: the statement must fail with this number
 * - `shell`: by the mysql program, whose output and exit code are the answer
 * - `job`: the statement makes a job; the answer is how the job ended
 * - `load TABLE N`: stream load of N rows (no statement)
 * - `clear GROUP`: empties the caches (no statement)
 * - `capacity GROUP BYTES`: of each cache of the group (no statement)
 * - `ttl GROUP GROUP`: compares the sums of the metric ttl_cache_size (no statement)
 * - `grown GROUP METRIC`: by how much it has grown since it was asked for last (no statement)
 * `$job1` stands for the id of the first job, `$dir` for the server's data directory, in statements
 * and answers.
 */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from '@jest/globals';
import { request } from 'undici';
import { programPath } from '../clients/programs.ts';
import { mysqlProgram } from './mysql_program.ts';
import { type Row, ServerProcess, until } from './server_process.ts';
import { backendsOf, csvLines, groupMetric, jobEnd, loadRows } from './warm_up_steps.ts';

const GOLDEN = new URL('../golden/e2e/', import.meta.url);
const TEXT_CHARS = 200;

/** How long `until` tries. */
const UNTIL_MS = 20_000;
const POLL_MS = 50;

interface Block {
  readonly directives: readonly string[];
  readonly sql: string;
  readonly answer: string;
}

const DIRECTIVE = new RegExp(
  '^(?:(?:until|job|shell|(?:error|repeat) \\d+)$' +
    '|(?:server|columns|load|clear|capacity|ttl|grown) .*$|#.*$)',
);

function readBlocks(text: string): Block[] {
  return text
    .split(/\n\n+/)
    .filter((block) => block.trim() !== '')
    .map((block) => {
      const [head = '', answer = ''] = block.trimEnd().split(/^----\n?/m);
      const lines = head.trimEnd().split('\n');
      const directives = lines.filter((line) => DIRECTIVE.test(line));
      const sql = lines.filter((line) => !DIRECTIVE.test(line)).join('\n');
      return { directives, sql, answer: answer.trimEnd() };
    });
}

/** The words of one directive, without its name; undefined: it is not there. */
function wordsOf({ directives }: Block, name: string): string[] | undefined {
  return directives
    .find((line) => line.split(' ')[0] === name)
    ?.split(' ')
    .slice(1);
}

class Runner {
  readonly #server: ServerProcess;
  readonly #jobs: string[] = [];
  readonly #metrics = new Map<string, number>();
  #nextId = 1;

  readonly #withoutStatement: Readonly<Record<string, (...words: string[]) => Promise<string>>> = {
    server: async () => await Promise.resolve(''),
    load: async (table = '', rows = '') => await this.#load(table, Number(rows)),
    clear: async (group = '') => await this.#clear(group),
    capacity: async (group = '', bytes = '') => await this.#capacity(group, bytes),
    ttl: async (a = '', b = '') => await this.#ttl(a, b),
    grown: async (group = '', metric = '') => await this.#grown(group, metric),
  };

  constructor(server: ServerProcess) {
    this.#server = server;
  }

  /** The answer; with `until` the last one there was. */
  async run(block: Block): Promise<string> {
    if (wordsOf(block, 'until') === undefined) return await this.#answer(block);
    const deadline = performance.now() + UNTIL_MS;
    for (;;) {
      const answer = await this.#answer(block);
      if (answer === block.answer || performance.now() > deadline) return answer;
      await sleep(POLL_MS);
    }
  }

  async #answer(block: Block): Promise<string> {
    for (const [name, answer] of Object.entries(this.#withoutStatement)) {
      const words = wordsOf(block, name);
      if (words !== undefined) return await answer(...words);
    }
    const statement = block.sql
      .replaceAll(/\$job(\d+)/g, (_, n) => this.#jobs[Number(n) - 1] ?? '0')
      .replaceAll('$dir', () => this.#server.dataDir);
    const times = Number(wordsOf(block, 'repeat')?.[0] ?? 1);
    for (let i = 1; i < times; i += 1) await this.#server.sql(statement);
    if (wordsOf(block, 'shell') !== undefined) {
      const { code, output } = await mysqlProgram(this.#server.mysqlPort, statement);
      return this.#mask(`${output}exit ${code}`);
    }
    if (wordsOf(block, 'error') !== undefined) {
      const { errno, sqlState, message } = await this.#server.error(statement);
      return this.#mask(`${errno} ${sqlState} ${message}`);
    }
    return await this.#rowsAnswer(block, statement);
  }

  async #rowsAnswer(block: Block, statement: string): Promise<string> {
    const rows = await this.#server.sql(statement);
    const warnings = await this.#server.sql('SHOW WARNINGS');
    for (const row of rows) {
      const id = row['JobId'];
      if (typeof id === 'string' && !this.#jobs.includes(id)) this.#jobs.push(id);
    }
    const lines =
      wordsOf(block, 'job') === undefined
        ? rowLines(rows, wordsOf(block, 'columns'))
        : await this.#jobLines(rows);
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

  /** What was counted before is forgotten only when the answer is looked at the next time. */
  async #grown(group: string, metric: string): Promise<string> {
    const key = `${group} ${metric}`;
    const now = await groupMetric(this.#server, group, metric);
    const before = this.#metrics.get(key) ?? 0;
    this.#metrics.set(key, now);
    return String(now - before);
  }

  #mask(text: string): string {
    let masked = text
      .replaceAll(this.#server.dataDir, '$$dir')
      .replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?/g, '<time>')
      .replaceAll(/[0-9a-f]{32}/g, '<rowset>')
      .replaceAll(/127\.0\.0\.1:\d+/g, '<address>');
    for (const [place, id] of this.#jobs.entries()) {
      masked = masked.replaceAll(new RegExp(`\\b${id}\\b`, 'g'), `$job${place + 1}`);
    }
    return masked;
  }
}

/** Of all columns, or of those named. */
function rowLines(rows: readonly Row[], columns: readonly string[] | undefined): string[] {
  const [first] = rows;
  if (first === undefined) return [];
  const names = columns ?? Object.keys(first);
  const cell = (value: string | number | null | undefined): string =>
    value === null ? 'NULL' : value === undefined ? '(no such column)' : String(value);
  return [
    names.join('\t'),
    ...rows.map((row) =>
      names.map((name) => cell((row as Record<string, string | number | null>)[name])).join('\t'),
    ),
  ];
}

const FILES = readdirSync(GOLDEN).filter((name) => /^(warm_up|cooldown|errors).*\.txt$/.test(name));

describe.each(FILES)('%s', (name) => {
  let server: ServerProcess | undefined;
  afterEach(async () => {
    await server?.stop();
  });

  const url = new URL(name, GOLDEN);
  const blocks = readBlocks(readFileSync(url, 'utf8'));
  const needsProgram = blocks.some((block) => wordsOf(block, 'shell') !== undefined);
  const test = needsProgram && programPath('mysql') === undefined ? it.skip : it;

  test('answers as written', async () => {
    const [first] = blocks;
    server = await ServerProcess.start({ args: (first && wordsOf(first, 'server')) ?? [] });
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
});
