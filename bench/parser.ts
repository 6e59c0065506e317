/** Statements per second of one core, text to typed statement, nothing remembered in between. */
import { type ParsedStatement, parseStatements } from '../parser/parse.ts';
import type { Bench, Figure } from './bench.ts';
import { STATEMENTS } from './parser_statements.ts';
import { median } from './statistics.ts';

const OPTIONS = { maxBytes: 2 ** 20, insertMaxBytes: 2 ** 26, allowMulti: false };
const ROUNDS = 5;
const ROUND_MS = 100;
const ROUND_MS_QUICK = 20;
/** Statements between two looks at the clock. */
const STEP = 200;
/** What issue 2 asks of short statements. */
const GOAL_PER_SECOND = 100_000;
const SHORT_BYTES_MAX = 120;
/** Buckets of the figure for an INSERT with many rows. */
const INSERT_ROWS = 1000;

export const PARSER: Bench = {
  name: 'parser',
  about: 'statements per second per kind',
  run: async ({ quick }) => {
    const roundMs = quick ? ROUND_MS_QUICK : ROUND_MS;
    const all = Object.entries(STATEMENTS);
    // Every rule is warm before the first is measured, as in a server that runs for a while.
    for (const [, text] of all) rate(() => parse(text), roundMs / 2);
    const figures: Figure[] = [];
    const short: number[] = [];
    for (const [kind, text] of all) {
      const found = parse(text)?.statement.kind;
      if (found !== kind) throw new Error(`${text} is a ${found}, not a ${kind}`);
      const perSecond = medianRate(() => parse(text), roundMs);
      if (text.length <= SHORT_BYTES_MAX) short.push(perSecond);
      figures.push({ name: kind, value: perSecond, unit: '1/s', note: `${text.length} bytes` });
    }
    const rows = Array.from({ length: INSERT_ROWS }, (_, id) => `(${id}, 'name ${id}', 1.5)`);
    const insert = `INSERT INTO t VALUES ${rows.join(', ')}`;
    const inserts = medianRate(() => parse(insert), roundMs, 1);
    const note = `one INSERT of ${INSERT_ROWS} rows`;
    figures.push({ name: 'INSERT rows', value: inserts * INSERT_ROWS, unit: 'rows/s', note });
    figures.unshift({
      name: 'short statements, median of kinds',
      value: median(short),
      unit: '1/s',
      goal: { is: 'at least', value: GOAL_PER_SECOND },
      note: `${short.length} kinds of at most ${SHORT_BYTES_MAX} bytes`,
    });
    return figures;
  },
};

function parse(text: string): ParsedStatement | undefined {
  return parseStatements(text, OPTIONS)[0];
}

function medianRate(work: () => unknown, roundMs: number, step = STEP): number {
  return median(Array.from({ length: ROUNDS }, () => rate(work, roundMs, step)));
}

/** Calls per second. */
function rate(work: () => unknown, roundMs: number, step = STEP): number {
  const startMs = performance.now();
  let calls = 0;
  let elapsedMs: number;
  do {
    for (let one = 0; one < step; one += 1) work();
    calls += step;
    elapsedMs = performance.now() - startMs;
  } while (elapsedMs < roundMs);
  return (calls * 1000) / elapsedMs;
}
