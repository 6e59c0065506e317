/** To which types MODIFY COLUMN may change a column: Doris's rules, by kind and parameters. */
import { type ColumnKind, type ColumnType, typeText } from '../../base/values.ts';

const TEXTS = ['VARCHAR', 'STRING'] as const;
const INTS = ['SMALLINT', 'INT', 'BIGINT', 'LARGEINT'] as const;
/** Rows whose text is no such value end the job; the table stays as it is. */
const OF_TEXT = [
  'TINYINT',
  'SMALLINT',
  'INT',
  'BIGINT',
  'LARGEINT',
  'FLOAT',
  'DOUBLE',
  'DATE',
  'DATETIME',
  'JSON',
] as const;

/** Other kinds that a kind can become. */
// prettier-ignore
const CONVERSIONS: Readonly<Record<ColumnKind, readonly ColumnKind[]>> = {
  BOOLEAN:  ['TINYINT', ...INTS, 'FLOAT', 'DOUBLE', ...TEXTS],
  TINYINT:  [...INTS, 'FLOAT', 'DOUBLE', 'DECIMAL', ...TEXTS],
  SMALLINT: ['INT', 'BIGINT', 'LARGEINT', 'FLOAT', 'DOUBLE', 'DECIMAL', ...TEXTS],
  INT:      ['BIGINT', 'LARGEINT', 'DOUBLE', 'DECIMAL', ...TEXTS],
  BIGINT:   ['LARGEINT', 'DOUBLE', 'DECIMAL', ...TEXTS],
  LARGEINT: [...TEXTS],
  FLOAT:    ['DOUBLE', ...TEXTS],
  DOUBLE:   [...TEXTS],
  DECIMAL:  [...TEXTS],
  DATE:     ['DATETIME', ...TEXTS],
  DATETIME: ['DATE', ...TEXTS],
  CHAR:     ['VARCHAR', 'STRING', ...OF_TEXT],
  VARCHAR:  ['CHAR', 'STRING', ...OF_TEXT],
  STRING:   ['VARCHAR', ...OF_TEXT],
  JSON:     [...TEXTS],
};

/** What is allowed, in words; undefined: the change is. */
export function refusedTypeChange(from: ColumnType, to: ColumnType): string | undefined {
  if (typeText(from) === typeText(to)) return undefined;
  const isText = (type: ColumnType) => type.kind === 'CHAR' || type.kind === 'VARCHAR';
  if (from.kind === to.kind || (isText(from) && isText(to))) {
    if (isWider(from, to)) return undefined;
  } else if (CONVERSIONS[from.kind].includes(to.kind)) return undefined;
  return allowedTypes(from);
}

function isWider(from: ColumnType, to: ColumnType): boolean {
  if ('length' in from && 'length' in to) return to.length >= from.length;
  if (from.kind === 'DECIMAL' && to.kind === 'DECIMAL') {
    const digits = (type: typeof from): number => type.precision - type.scale;
    return to.scale >= from.scale && digits(to) >= digits(from);
  }
  if (from.kind === 'DATETIME' && to.kind === 'DATETIME') return to.precision >= from.precision;
  return true;
}

function allowedTypes(from: ColumnType): string {
  const kinds = CONVERSIONS[from.kind].map((kind) => kind.toLowerCase());
  switch (from.kind) {
    case 'CHAR':
    case 'VARCHAR':
      return [`char and varchar of ${from.length} characters or more`, ...kinds.slice(1)].join(
        ', ',
      );
    case 'DECIMAL': {
      const least = `decimal with ${from.precision - from.scale} digits or more before and ${from.scale} or more behind the point`;
      return [least, ...kinds].join(', ');
    }
    case 'DATETIME':
      return [`datetime with ${from.precision} fraction digits or more`, ...kinds].join(', ');
    case 'BOOLEAN':
    case 'TINYINT':
    case 'SMALLINT':
    case 'INT':
    case 'BIGINT':
    case 'LARGEINT':
    case 'FLOAT':
    case 'DOUBLE':
    case 'DATE':
    case 'STRING':
    case 'JSON':
      return kinds.join(', ');
  }
}
