import { describe, expect, it } from '@jest/globals';
import { SqlError } from '../../../base/errors.ts';
import { id } from '../../../base/ids.ts';
import type { IndexDef, TableDef } from '../../../base/schema.ts';
import { typeText } from '../../../base/values.ts';
import { parseStatements } from '../../../parser/parse.ts';
import type { Statement } from '../../../parser/statement.ts';
import { createTableText } from '../../../server/create_table_text.ts';
import { isColumnAction, planColumns } from '../../../server/executors/alter_table_columns.ts';
import { planRollup, rollupShape } from '../../../server/executors/alter_table_rollup.ts';
import { refusedTypeChange } from '../../../server/executors/alter_table_types.ts';
import { defineTable } from '../../../server/table_definition.ts';

const LIMITS = { maxBytes: 1e6, insertMaxBytes: 1e6, allowMulti: false };

function parse<Kind extends Statement['kind']>(text: string, kind: Kind) {
  const [parsed] = parseStatements(text, LIMITS);
  if (parsed?.statement.kind !== kind) throw new Error(`not a ${kind}: ${text}`);
  return parsed.statement as Extract<Statement, { readonly kind: Kind }>;
}

function table(text: string): TableDef {
  const statement = parse(text, 'CreateTable');
  const { partitions, ...definition } = defineTable(statement);
  const base: IndexDef = { indexId: id(2), name: statement.table.name, kind: 'BASE' };
  const rollups = statement.rollups.map(({ name, columns }, at): IndexDef => ({
    indexId: id(3 + at),
    name,
    kind: 'ROLLUP',
    ...rollupShape(name, columns, definition.columns),
  }));
  return {
    ...definition,
    databaseId: id(1),
    databaseName: 'd',
    tableId: id(1),
    name: statement.table.name,
    keysType: 'DUPLICATE',
    vaultId: id(1),
    ttlSeconds: 0,
    properties: {},
    createdMs: 0,
    schemaVersion: 0,
    partitions: partitions.map((partition, at) => ({
      ...partition,
      partitionId: id(10 + at),
      buckets: definition.buckets,
      visibleVersion: 1,
    })),
    indexes: [base, ...rollups],
  };
}

const T =
  table(`CREATE TABLE t (day DATE NOT NULL, k INT, name VARCHAR(10) COMMENT 'c', price DECIMAL(9,2), note STRING)
  DUPLICATE KEY(day, k) PARTITION BY RANGE(day) (PARTITION p VALUES LESS THAN ('2026-01-01'))
  DISTRIBUTED BY HASH(k) BUCKETS 2 ROLLUP (r (name, price))`);

function plan(actions: string, of: TableDef = T) {
  const statement = parse(`ALTER TABLE t ${actions}`, 'AlterTable');
  return planColumns(of, statement.actions.filter(isColumnAction));
}

/** `name type` of each column afterwards, keys with a star. */
function columns(actions: string, of?: TableDef): string {
  return plan(actions, of)
    .columns.map(({ name, type, isKey }) => `${name}${isKey ? '*' : ''} ${typeText(type)}`)
    .join(', ');
}

function refusal(actions: string): string {
  try {
    plan(actions);
  } catch (error) {
    if (error instanceof SqlError) return `${error.errno} ${error.sqlState} ${error.message}`;
    throw error;
  }
  return 'allowed';
}

const BEFORE = 'day* date, k* int';
const AFTER = 'name varchar(10), price decimal(9,2), note text';

describe('columns after ALTER TABLE', () => {
  it.each([
    ['ADD COLUMN a INT', `${BEFORE}, ${AFTER}, a int`],
    ['ADD COLUMN a INT AFTER k', `${BEFORE}, a int, ${AFTER}`],
    ['ADD COLUMN a INT KEY', `${BEFORE}, a* int, ${AFTER}`],
    ['ADD COLUMN a INT KEY FIRST', `a* int, ${BEFORE}, ${AFTER}`],
    ['ADD COLUMN (a INT, b DATE)', `${BEFORE}, ${AFTER}, a int, b date`],
    [
      "ADD COLUMN a INT NOT NULL DEFAULT '1', ADD COLUMN b INT AFTER a",
      `${BEFORE}, ${AFTER}, a int, b int`,
    ],
    ['DROP COLUMN NOTE', `${BEFORE}, name varchar(10), price decimal(9,2)`],
    [
      'DROP COLUMN note, ADD COLUMN note INT',
      `${BEFORE}, name varchar(10), price decimal(9,2), note int`,
    ],
    [
      'MODIFY COLUMN name VARCHAR(11) AFTER note',
      `${BEFORE}, price decimal(9,2), note text, name varchar(11)`,
    ],
    [
      'MODIFY COLUMN price DECIMAL(12,3)',
      `${BEFORE}, name varchar(10), price decimal(12,3), note text`,
    ],
    [
      'ORDER BY (k, day, note, name, price)',
      'k* int, day* date, note text, name varchar(10), price decimal(9,2)',
    ],
  ])('%s', (actions, expected) => {
    expect(columns(actions)).toBe(expected);
    expect(plan(actions).indexes.length).toBeGreaterThan(0);
  });

  it.each([
    ['ADD COLUMN Name INT', "1060 42S21 Duplicate column name 'Name'"],
    ['ADD COLUMN a INT AFTER z', "1054 42S22 Unknown column 'z' in 't'"],
    [
      'ADD COLUMN a INT FIRST',
      "1105 HY000 Table t cannot be altered: key columns come before the others, but 'a' is before 'k'",
    ],
    [
      'ADD COLUMN a INT KEY AFTER name',
      "1105 HY000 Table t cannot be altered: key columns come before the others, but 'name' is before 'a'",
    ],
    [
      'ADD COLUMN a DOUBLE KEY',
      "1105 HY000 Table t cannot be altered: column 'a' of type double cannot be a key column",
    ],
    [
      'ADD COLUMN a INT NOT NULL',
      "1364 HY000 Field 'a' doesn't have a default value (the rows that are there need a value: add DEFAULT, or allow NULL)",
    ],
    [
      "ADD COLUMN a INT DEFAULT 'x'",
      "1366 HY000 Incorrect integer value: 'x' for column 'a' at row 1",
    ],
    ['ADD COLUMN a INT SUM', '1235 42000 not supported yet: AGGREGATE KEY tables'],
    ['ADD COLUMN a INT TO r', '1235 42000 not supported yet: changing the columns of a rollup'],
    ['DROP COLUMN z', "1091 42000 Can't DROP 'z'; check that column/key exists"],
    [
      'DROP COLUMN day',
      "1105 HY000 Table t cannot be altered: partition column 'day' cannot be dropped",
    ],
    [
      'DROP COLUMN k',
      "1105 HY000 Table t cannot be altered: distribution column 'k' cannot be dropped",
    ],
    [
      'DROP COLUMN name, DROP COLUMN price',
      '1105 HY000 Table t cannot be altered: rollup r would have no key column left; drop it first',
    ],
    ['MODIFY COLUMN z INT', "1054 42S22 Unknown column 'z' in 't'"],
    [
      'MODIFY COLUMN day DATETIME',
      "1105 HY000 Table t cannot be altered: partition column 'day' cannot be modified",
    ],
    [
      'MODIFY COLUMN K BIGINT',
      "1105 HY000 Table t cannot be altered: distribution column 'K' cannot be modified",
    ],
    [
      'MODIFY COLUMN name VARCHAR(9)',
      "1105 HY000 Can not change varchar(10) to varchar(9) for column 'name'; allowed: char and varchar of 10 characters or more, string, tinyint, smallint, int, bigint, largeint, float, double, date, datetime, json",
    ],
    [
      'MODIFY COLUMN price INT',
      "1105 HY000 Can not change decimal(9,2) to int for column 'price'; allowed: decimal with 7 digits or more before and 2 or more behind the point, varchar, string",
    ],
    [
      'MODIFY COLUMN note STRING NOT NULL',
      "1105 HY000 Table t cannot be altered: 'note' may be NULL and cannot become NOT NULL",
    ],
    [
      'MODIFY COLUMN note VARCHAR(9) KEY',
      "1105 HY000 Table t cannot be altered: 'note' is no key column",
    ],
    [
      'MODIFY COLUMN name STRING',
      "1105 HY000 Table t cannot be altered: column 'name' of type text cannot be a key column",
    ],
    [
      'ORDER BY (k, day, note, name)',
      "1105 HY000 Table t cannot be altered: ORDER BY names all columns, 'price' is missing",
    ],
    ['ORDER BY (k, k, day, note, name, price)', "1060 42S21 Duplicate column name 'k'"],
    ['ORDER BY (k, day, note, name, cost)', "1054 42S22 Unknown column 'cost' in 't'"],
  ])('%s is refused', (actions, expected) => {
    expect(refusal(actions)).toBe(expected);
  });

  it('the last column and the last key column stay', () => {
    const one = table(
      'CREATE TABLE t (a INT, b INT) DUPLICATE KEY(a) DISTRIBUTED BY HASH(b) BUCKETS 1',
    );
    expect(() => plan('DROP COLUMN a', one)).toThrow("'a' is its last key column");
  });

  it('a comment or a default rewrites nothing', () => {
    const actions = "MODIFY COLUMN name VARCHAR(10) DEFAULT 'x' COMMENT 'new'";
    const { columns: after, indexes } = plan(actions);
    expect(indexes).toEqual([]);
    expect(after[2]).toMatchObject({ defaultValue: 'x', comment: 'new' });
  });

  it('a rollup is rewritten when its columns change, and only then', () => {
    const names = (actions: string): string[] => plan(actions).indexes.map(({ name }) => name);
    expect(names('ADD COLUMN a INT')).toEqual(['t']);
    expect(names('MODIFY COLUMN note VARCHAR(100)')).toEqual(['t']);
    expect(names('MODIFY COLUMN name VARCHAR(100)')).toEqual(['t', 'r']);
    const [, rollup] = plan('DROP COLUMN price').indexes;
    expect(rollup?.shape).toEqual({ columns: ['name'], keyColumns: 1 });
  });

  it('a new column does not take a name that is in the segments already', () => {
    const renamed = {
      ...T,
      columns: T.columns.map((column) =>
        column.name === 'note' ? { ...column, name: 'text', storedName: 'note' } : column,
      ),
    };
    const added = plan('ADD COLUMN note INT', renamed).columns.at(-1);
    expect(added).toMatchObject({ name: 'note', storedName: 'note#2' });
  });
});

describe('types', () => {
  it('every type can stay, and what is not wider or convertible is refused with what is', () => {
    expect(refusedTypeChange({ kind: 'INT' }, { kind: 'INT' })).toBeUndefined();
    expect(refusedTypeChange({ kind: 'INT' }, { kind: 'SMALLINT' })).toContain('bigint');
    const time = (precision: number) => ({ kind: 'DATETIME', precision }) as const;
    expect(refusedTypeChange(time(0), time(6))).toBeUndefined();
    expect(refusedTypeChange(time(6), time(0))).toContain('6 fraction digits or more');
    expect(
      refusedTypeChange({ kind: 'VARCHAR', length: 5 }, { kind: 'CHAR', length: 5 }),
    ).toBeUndefined();
    expect(refusedTypeChange({ kind: 'STRING' }, { kind: 'DATE' })).toBeUndefined();
  });
});

describe('rollups', () => {
  const add = (text: string) => {
    const [action] = parse(`ALTER TABLE t ADD ROLLUP ${text}`, 'AlterTable').actions;
    if (action?.kind !== 'AddRollup') throw new Error('no rollup');
    return planRollup(T, action.rollup.name, action.rollup.columns, action.from);
  };

  it('take columns of the table, or of another rollup, sorted by the leading ones', () => {
    expect(add('n (PRICE, note, k)')).toMatchObject({
      originIndexId: 2,
      kind: 'ROLLUP',
      shape: { columns: ['price', 'note', 'k'], keyColumns: 1 },
    });
    expect(add('n (price) FROM r')).toMatchObject({ originIndexId: 3 });
  });

  it.each([
    ['n (z)', "Unknown column 'z' in 'n'"],
    ['n (k, K)', "Duplicate column name 'k'"],
    ['r (k)', "Duplicate key name 'r'"],
    ['t (k)', "Duplicate key name 't'"],
    ['n (note)', "column 'note' of type STRING cannot be its first column"],
    ['n (k) FROM r', "Unknown column 'k' in 'n'"],
    ['n (k) FROM z', "it has no index 'z'; there are: t, r"],
  ])('%s is refused', (text, message) => {
    expect(() => add(text)).toThrow(message);
  });

  it('SHOW CREATE TABLE makes them again', () => {
    const again = table(createTableText(T));
    expect(again.indexes).toEqual(T.indexes);
    expect(again.columns).toEqual(T.columns);
  });
});
