import { describe, expect, it } from '@jest/globals';
import { bigintColumn, textColumn, type SqlRow } from '../../base/values.ts';
import type { BinaryOp, Expr, ShowFilter } from '../../parser/statement.ts';
import { filterRows } from '../../server/row_filter.ts';

const COLUMNS = [textColumn('JobId'), textColumn('Status'), bigintColumn('Bytes')];
const ROWS: readonly SqlRow[] = [
  ['9', 'RUNNING', 10n],
  ['10', 'FINISHED', null],
  ['11', 'finished', 2n],
];

const column = (name: string): Expr => ({ kind: 'Column', path: [name] });
const text = (value: string): Expr => ({ kind: 'String', value });
const number = (value: string): Expr => ({ kind: 'Number', text: value });
const binary = (op: BinaryOp, left: Expr, right: Expr): Expr => ({
  kind: 'Binary',
  op,
  left,
  right,
});
const NULL: Expr = { kind: 'Null' };

function ids(filter: Partial<ShowFilter>): readonly unknown[] {
  const full = { like: undefined, where: undefined, orderBy: [], limit: undefined, ...filter };
  return filterRows(COLUMNS, ROWS, full, { likeColumns: ['Status'], likeLists: [] }).map(
    ([id]) => id,
  );
}

describe('WHERE', () => {
  it('compares text without case and numbers as numbers', () => {
    expect(ids({ where: binary('=', column('status'), text('Finished')) })).toEqual(['10', '11']);
    expect(ids({ where: binary('>', column('JobId'), number('9')) })).toEqual(['10', '11']);
    expect(ids({ where: binary('>', column('JobId'), text('9')) })).toEqual([]);
    expect(ids({ where: binary('=', column('ID'), number('9')) })).toEqual(['9']);
  });

  it('knows three truth values', () => {
    const isTen = binary('=', column('Bytes'), number('10'));
    expect(ids({ where: isTen })).toEqual(['9']);
    expect(ids({ where: { kind: 'Unary', op: 'NOT', operand: isTen } })).toEqual(['11']);
    expect(ids({ where: binary('<=>', column('Bytes'), NULL) })).toEqual(['10']);
    expect(ids({ where: binary('OR', isTen, binary('=', NULL, NULL)) })).toEqual(['9']);
    expect(ids({ where: binary('XOR', isTen, { kind: 'Bool', value: true }) })).toEqual(['11']);
    expect(
      ids({ where: { kind: 'Is', operand: column('Bytes'), what: 'NULL', negated: true } }),
    ).toEqual(['9', '11']);
    const list = [number('9'), NULL];
    expect(ids({ where: { kind: 'In', operand: column('JobId'), list, negated: false } })).toEqual([
      '9',
    ]);
    expect(ids({ where: { kind: 'In', operand: column('JobId'), list, negated: true } })).toEqual(
      [],
    );
    const between: Expr = {
      kind: 'Between',
      operand: column('Bytes'),
      low: number('2'),
      high: number('9'),
      negated: false,
    };
    expect(ids({ where: between })).toEqual(['11']);
    expect(ids({ where: { ...between, negated: true } })).toEqual(['9']);
  });

  it('has LIKE with escapes', () => {
    const like = (pattern: string, negated = false): Partial<ShowFilter> => ({
      where: {
        kind: 'Like',
        operand: column('Status'),
        pattern: text(pattern),
        escape: undefined,
        negated,
      },
    });
    expect(ids(like('fin%'))).toEqual(['10', '11']);
    expect(ids(like('fin%', true))).toEqual(['9']);
    expect(ids(like(String.raw`fin\%`))).toEqual([]);
  });

  it('names the columns there are', () => {
    expect(() => ids({ where: binary('=', column('Stats'), text('x')) })).toThrow(
      "Unknown column 'Stats' in 'WHERE' (did you mean 'Status'? columns: JobId, Status, Bytes)",
    );
  });

  it('has REGEXP as far as it cannot run for ever', () => {
    const regexp = (pattern: string, negated = false): Expr => ({
      kind: 'Regexp',
      operand: column('Status'),
      pattern: text(pattern),
      negated,
    });
    expect(ids({ where: regexp('^fin|nothing') })).toEqual(['10', '11']);
    expect(ids({ where: regexp('^fin|nothing', true) })).toEqual(['9']);
    for (const pattern of ['(a+)+$', 'a*', 'a{9}', String.raw`\d`, 'x'.repeat(1001)]) {
      expect(() => ids({ where: regexp(pattern) })).toThrow('not supported yet: REGEXP with rep');
    }
  });
});

describe('ORDER BY of text', () => {
  const order = (values: readonly (string | null)[], descending = false): unknown[] =>
    filterRows(
      [textColumn('Value')],
      values.map((value) => [value]),
      {
        like: undefined,
        where: undefined,
        limit: undefined,
        orderBy: [{ expr: column('Value'), descending }],
      },
      { likeColumns: [], likeLists: [] },
    ).map(([value]) => value);

  it('has numbers and sizes in the order of what they are', () => {
    expect(order(['10', '9', null, '-1'])).toEqual([null, '-1', '9', '10']);
    expect(order(['1.980 KB', '1016.000 B', '0.000 B', '1.000 TB'], true)).toEqual([
      '1.000 TB',
      '1.980 KB',
      '1016.000 B',
      '0.000 B',
    ]);
    expect(order(['9.50 %', '70.14 %', '0.00 %'])).toEqual(['0.00 %', '9.50 %', '70.14 %']);
    expect(order(['9007199254740993', '9007199254740992'])).toEqual([
      '9007199254740992',
      '9007199254740993',
    ]);
  });

  it('is that of text as soon as one is something else', () => {
    expect(order(['10', '9', 'ten'])).toEqual(['10', '9', 'ten']);
    expect(order(['10 B', '9 B', ''])).toEqual(['', '10 B', '9 B']);
  });
});

describe('LIKE, ORDER BY and LIMIT', () => {
  it('work alone and together', () => {
    expect(ids({ like: '%RUN%' })).toEqual(['9']);
    const byBytes = [{ expr: column('Bytes'), descending: false }];
    expect(ids({ orderBy: byBytes })).toEqual(['10', '11', '9']);
    expect(ids({ orderBy: [{ expr: number('3'), descending: true }] })).toEqual(['9', '11', '10']);
    expect(ids({ orderBy: byBytes, limit: { count: 1n, offset: 1n } })).toEqual(['11']);
    expect(ids({ limit: { count: 18_446_744_073_709_551_615n, offset: 2n } })).toEqual(['11']);
    expect(ids({ limit: { count: 1n, offset: 18_446_744_073_709_551_615n } })).toEqual([]);
    expect(() => ids({ orderBy: [{ expr: number('4'), descending: false }] })).toThrow(
      "Unknown column '4' in 'ORDER BY'",
    );
  });
});
