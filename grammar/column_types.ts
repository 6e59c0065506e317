/** Column types as they are written, MySQL's and Doris's names, to the types we have. */
import { SqlError } from '../base/errors.ts';
import { nearest } from '../base/near_miss.ts';
import type { ColumnType } from '../base/values.ts';

export interface WrittenType {
  /** As written. */
  readonly name: string;
  /** Numbers in parentheses; null: none. VARCHAR(*) is the longest. */
  readonly args: readonly number[] | null;
  readonly unsigned: boolean;
}

const VARCHAR_MAX = 65_533;
const CHAR_MAX = 255;
const PRECISION_MAX = 38;

type Build = (args: readonly number[] | null) => ColumnType;

const fixed =
  (kind: 'BOOLEAN' | 'SMALLINT' | 'INT' | 'BIGINT' | 'LARGEINT' | 'FLOAT' | 'DOUBLE' | 'DATE') =>
  (): ColumnType => ({ kind });
const text = (): ColumnType => ({ kind: 'STRING' });
const json = (): ColumnType => ({ kind: 'JSON' });

/** TINYINT(1) is what SHOW CREATE TABLE prints for BOOLEAN, and what MySQL's BOOL is. */
const tinyint: Build = (args) => (args?.[0] === 1 ? { kind: 'BOOLEAN' } : { kind: 'TINYINT' });

const decimal: Build = (args) => {
  const precision = args?.[0] ?? 10;
  const scale = args?.[1] ?? 0;
  check(precision >= 1 && precision <= PRECISION_MAX, `DECIMAL precision 1 to ${PRECISION_MAX}`);
  check(scale <= precision, 'a DECIMAL scale that is not greater than its precision');
  return { kind: 'DECIMAL', precision, scale };
};

const datetime: Build = (args) => {
  const precision = args?.[0] ?? 0;
  check(precision <= 6, 'DATETIME precision 0 to 6');
  return { kind: 'DATETIME', precision };
};

const char: Build = (args) => {
  const length = args?.[0] ?? 1;
  check(length >= 1 && length <= CHAR_MAX, `CHAR length 1 to ${CHAR_MAX}`);
  return { kind: 'CHAR', length };
};

const varchar: Build = (args) => {
  const length = args?.[0] ?? VARCHAR_MAX;
  check(length >= 1 && length <= VARCHAR_MAX, `VARCHAR length 1 to ${VARCHAR_MAX}`);
  return { kind: 'VARCHAR', length };
};

function check(good: boolean, allowed: string): void {
  if (!good) throw new SqlError('INVALID_TABLE', { what: `allowed is ${allowed}` });
}

/** By upper-case name: how to build it, and how many numbers may stand in parentheses. */
const TYPES: Readonly<Record<string, readonly [Build, number]>> = {
  BOOLEAN: [fixed('BOOLEAN'), 0],
  BOOL: [fixed('BOOLEAN'), 0],
  TINYINT: [tinyint, 1],
  SMALLINT: [fixed('SMALLINT'), 1],
  MEDIUMINT: [fixed('INT'), 1],
  INT: [fixed('INT'), 1],
  INTEGER: [fixed('INT'), 1],
  BIGINT: [fixed('BIGINT'), 1],
  LARGEINT: [fixed('LARGEINT'), 1],
  FLOAT: [fixed('FLOAT'), 2],
  DOUBLE: [fixed('DOUBLE'), 2],
  REAL: [fixed('DOUBLE'), 2],
  DECIMAL: [decimal, 2],
  DECIMALV2: [decimal, 2],
  DECIMALV3: [decimal, 2],
  NUMERIC: [decimal, 2],
  DEC: [decimal, 2],
  DATE: [fixed('DATE'), 0],
  DATEV2: [fixed('DATE'), 0],
  DATETIME: [datetime, 1],
  DATETIMEV2: [datetime, 1],
  TIMESTAMP: [datetime, 1],
  CHAR: [char, 1],
  VARCHAR: [varchar, 1],
  STRING: [text, 0],
  TEXT: [text, 1],
  TINYTEXT: [text, 0],
  MEDIUMTEXT: [text, 0],
  LONGTEXT: [text, 0],
  JSON: [json, 0],
  JSONB: [json, 0],
};

/** Types that MySQL or Doris has and this server does not. */
// prettier-ignore
const KNOWN_ELSEWHERE = new Set([
  'BINARY', 'VARBINARY', 'BLOB', 'TINYBLOB', 'MEDIUMBLOB', 'LONGBLOB', 'BIT', 'ENUM', 'SET', 'TIME', 'YEAR', 'GEOMETRY',
  'POINT', 'ARRAY', 'MAP', 'STRUCT', 'VARIANT', 'HLL', 'BITMAP', 'QUANTILE_STATE', 'AGG_STATE', 'IPV4', 'IPV6', 'SERIAL',
]);

/** Throws NOT_SUPPORTED, INVALID_TABLE. */
export function columnType(written: WrittenType): ColumnType {
  const name = written.name.toUpperCase();
  const known = TYPES[name];
  if (known === undefined) throw unknownType(written.name);
  if (written.unsigned) {
    throw new SqlError('NOT_SUPPORTED', { what: `${name} UNSIGNED; take the next larger type` });
  }
  const [build, argsMax] = known;
  const count = written.args?.length ?? 0;
  check(count <= argsMax, `${name} with ${argsMax === 0 ? 'no' : `at most ${argsMax}`} numbers`);
  return build(written.args);
}

function unknownType(name: string): SqlError {
  const upper = name.toUpperCase();
  if (KNOWN_ELSEWHERE.has(upper)) {
    return new SqlError('NOT_SUPPORTED', { what: `column type ${upper}` });
  }
  const near = nearest(name, Object.keys(TYPES));
  const hint = near === undefined ? '' : `; did you mean ${near}?`;
  return new SqlError('INVALID_TABLE', { what: `unknown column type '${name}'${hint}` });
}

/** The type as a statement spells it; `columnType` reads it back to the same. */
export function columnTypeText(type: ColumnType): string {
  switch (type.kind) {
    case 'DECIMAL':
      return `DECIMAL(${type.precision}, ${type.scale})`;
    case 'DATETIME':
      return type.precision === 0 ? 'DATETIME' : `DATETIME(${type.precision})`;
    case 'CHAR':
    case 'VARCHAR':
      return `${type.kind}(${type.length})`;
    case 'BOOLEAN':
    case 'STRING':
    case 'TINYINT':
    case 'SMALLINT':
    case 'INT':
    case 'BIGINT':
    case 'LARGEINT':
    case 'FLOAT':
    case 'DOUBLE':
    case 'DATE':
    case 'JSON':
      return type.kind;
  }
}
