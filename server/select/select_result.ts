/** What a SELECT leaves behind: columns of its result, warnings, user variables. */
import type { ColumnType, ResultColumn, RowsResult, SqlValue } from '../../base/values.ts';
import type { Counted } from './function_library.ts';
import type { SpelledStatement } from './speller.ts';
import type { ScopeColumn } from './speller_context.ts';
import type { SelectSession } from './table_provider.ts';

/** A result whose one row goes into user variables instead of to the client. */
export interface SelectResult extends RowsResult {
  readonly into?: readonly string[];
}

/** As MySQL does; more of them than it counts are as many as it counts. */
export function warnOf({ zeroDivisions, cutGroups }: Counted, session: SelectSession): void {
  for (let at = 0; at < Math.min(zeroDivisions, WARNINGS_MAX); at += 1) {
    session.warn({ level: 'Warning', code: 1365, message: 'Division by 0' });
  }
  for (let at = 1; at <= Math.min(cutGroups, WARNINGS_MAX); at += 1) {
    const message = `Row ${at} was cut by GROUP_CONCAT()`;
    session.warn({ level: 'Warning', code: 1260, message });
  }
}

/** MySQL counts warnings in 16 bits. */
const WARNINGS_MAX = 65_535;

export function withInto(result: RowsResult, { into }: SpelledStatement): SelectResult {
  return into === undefined ? result : { ...result, into };
}

export function keepVariables(
  values: ReadonlyMap<string, SqlValue> | undefined,
  session: SelectSession,
): void {
  for (const [name, value] of values ?? []) session.setUserVariable(name, value);
}

/** Of statements whose spelling is kept (spellings.ts). */
const typesOf = new WeakMap<SpelledStatement, readonly (ColumnType | undefined)[]>();

/** Types of expressions that are known from the text; NULL literals count as unknown. */
export function staticTypes(spelled: SpelledStatement): readonly (ColumnType | undefined)[] {
  let types = typesOf.get(spelled);
  if (types === undefined) {
    types = spelled.columns.map((column) => {
      const type = column.type();
      return type === undefined || type.kind === 'NULL' ? undefined : type;
    });
    typesOf.set(spelled, types);
  }
  return types;
}

export function resultColumns(
  columns: readonly ScopeColumn[],
  types: readonly ColumnType[],
): readonly ResultColumn[] {
  return columns.map(({ name, origin }, at) => {
    const type = types[at] ?? { kind: 'STRING' };
    if (origin === undefined) return { name, type, nullable: true };
    return {
      name,
      type,
      nullable: origin.nullable,
      schema: origin.database,
      table: origin.alias,
      orgTable: origin.table,
      orgName: origin.column,
    };
  });
}
