/**
 * EXPLAIN of a query: MySQL's table by default, so that tools can read it, and FORMAT=TREE and
 * FORMAT=JSON. EXPLAIN ANALYZE runs the query and says how long it took.
 */
import { SqlError } from '../../base/errors.ts';
import {
  type ResultColumn,
  type RowsResult,
  type SqlRow,
  bigintColumn,
  textColumn,
} from '../../base/values.ts';
import { bytesText } from '../../base/units.ts';
import { type PlannedTable, type QueryPlan, predicateText } from '../select/query_plan.ts';
import type { Executor } from './executor.ts';

const TEXT = textColumn('EXPLAIN');

// prettier-ignore
const COLUMNS: readonly ResultColumn[] = [
  bigintColumn('id'), textColumn('select_type'), textColumn('table'), textColumn('partitions'), textColumn('type'),
  textColumn('possible_keys'), textColumn('key'), textColumn('key_len'), textColumn('ref'), bigintColumn('rows'),
  { name: 'filtered', type: { kind: 'DOUBLE' }, nullable: true }, textColumn('Extra'),
];

/** Throws what the query would throw before its first row, and UNKNOWN_EXPLAIN_FORMAT. */
export const explain: Executor<'Explain'> = async ({ option, text }, context) => {
  const format = formatOf(option);
  const plan = await context.selects.explain(text, context);
  if (option.startsWith('ANALYZE')) {
    const clock = context.services.clock;
    const startedMs = clock.monotonic();
    let rows = 0;
    const result = await context.selects.run(text, context);
    if (Array.isArray(result.rows)) rows = result.rows.length;
    else
      for await (const batch of result.rows as AsyncIterable<readonly SqlRow[]>)
        rows += batch.length;
    const took = (clock.monotonic() - startedMs).toFixed(3);
    return lines([`-> ${rows} rows in ${took} ms`, ...tree(plan)]);
  }
  switch (format) {
    case 'TRADITIONAL':
      return { kind: 'rows', columns: COLUMNS, rows: tableRows(plan) };
    case 'TREE':
      return lines(tree(plan));
    case 'JSON':
      return { kind: 'rows', columns: [TEXT], rows: [[JSON.stringify(json(plan), undefined, 2)]] };
  }
};

type Format = 'TRADITIONAL' | 'TREE' | 'JSON';

/** Words of Doris (VERBOSE, SHAPE, ... PLAN) ask for more than a table has room for. */
const DETAILED =
  /^(?:VERBOSE|TREE|GRAPH|LOGICAL|OPTIMIZED|PARSED|PHYSICAL|REWRITTEN|SHAPE|ANALYZED)/;

function formatOf(option: string): Format {
  const named = /^FORMAT=(.*)$/.exec(option)?.[1]?.replaceAll(/['"`]/g, '');
  if (named === undefined) return DETAILED.test(option) ? 'TREE' : 'TRADITIONAL';
  if (named === 'TRADITIONAL' || named === 'TREE' || named === 'JSON') return named;
  throw new SqlError('UNKNOWN_EXPLAIN_FORMAT', { name: named });
}

/** As MySQL: one text with line ends between. */
function lines(texts: readonly string[]): RowsResult {
  return { kind: 'rows', columns: [TEXT], rows: [[`${texts.join('\n')}\n`]] };
}

function tableRows(plan: QueryPlan): SqlRow[] {
  const { tables, steps } = plan;
  if (tables.length === 0) {
    const nothing = Array.from({ length: 9 }, () => null);
    return [[1n, 'SIMPLE', ...nothing, 'No tables used']];
  }
  const nested = steps.some((step) => /SUBQUERY|CO-ROUTINE|MATERIALIZE|COMPOUND|UNION/.test(step));
  return tables.map((table, at): SqlRow => {
    const { source } = table;
    const extra = [
      ...(table.predicates.length > 0 ? ['Using where'] : []),
      ...(at === 0 ? sorting(steps) : []),
      ...facts(table, plan),
    ];
    return [
      1n,
      nested ? 'PRIMARY' : 'SIMPLE',
      table.table,
      source === undefined ? null : source.partitions.join(','),
      'ALL',
      null,
      source?.rollup ?? null,
      null,
      null,
      source === undefined ? null : BigInt(source.rows),
      100,
      extra.join('; '),
    ];
  });
}

/** MySQL's words for what SQLite does with a temporary tree. */
function sorting(steps: readonly string[]): string[] {
  const uses = (clause: string): boolean =>
    steps.some((step) => step.includes(`USE TEMP B-TREE FOR`) && step.includes(clause));
  return [
    ...(uses('GROUP BY') || uses('DISTINCT') ? ['Using temporary'] : []),
    ...(uses('ORDER BY') ? ['Using filesort'] : []),
  ];
}

function facts({ columns, predicates, source }: PlannedTable, { streaming }: QueryPlan): string[] {
  if (source === undefined) return ['rows made in memory'];
  const { tabletsRead, tabletsAll, backends, computeGroup, bytes } = source;
  return [
    `tablets=${tabletsRead}/${tabletsAll}`,
    `bytes=${bytesText(bytes)}`,
    `compute group=${computeGroup}`,
    `backends=${backends.map(({ name, tablets }) => `${name}(${tablets})`).join(', ')}`,
    `columns=${columns.join(', ')}`,
    ...(predicates.length > 0 ? [`predicates=${predicates.map(predicateText).join(' AND ')}`] : []),
    streaming ? 'streamed' : 'copied',
  ];
}

function tree(plan: QueryPlan): string[] {
  return [
    ...plan.steps.map((step) => `-> ${step}`),
    ...plan.tables.flatMap((table) => [
      `-> Scan ${table.database}.${table.table}`,
      ...facts(table, plan).map((fact) => `     ${fact}`),
      ...(table.source === undefined
        ? []
        : [
            `     partitions=${table.source.partitions.join(', ')}`,
            `     rows=${table.source.rows}`,
          ]),
    ]),
  ];
}

function json({ tables, steps, streaming }: QueryPlan): unknown {
  const described = tables.map(({ database, table, columns, predicates, source }) => ({
    table: {
      table_name: table,
      schema: database,
      access_type: 'ALL',
      used_columns: columns,
      ...(predicates.length === 0
        ? {}
        : { attached_condition: predicates.map(predicateText).join(' and ') }),
      ...(source === undefined
        ? {}
        : {
            partitions: source.partitions,
            rows_examined_per_scan: source.rows,
            data_read_per_join: bytesText(source.bytes),
            tablets_read: source.tabletsRead,
            tablets: source.tabletsAll,
            compute_group: source.computeGroup,
            backends: source.backends,
            ...(source.rollup === undefined ? {} : { key: source.rollup }),
          }),
    },
  }));
  const [only] = described;
  const inner =
    only === undefined
      ? { message: 'No tables used' }
      : described.length === 1
        ? only
        : { nested_loop: described };
  return { query_block: { select_id: 1, ...inner, streamed: streaming, steps } };
}
