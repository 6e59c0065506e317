/** SHOW of the server's own state, in MySQL's columns. */
import { type RowsResult, type SqlRow, bigintColumn, textColumn } from '../../base/values.ts';
import type { ShowFilter, ShowVariables } from '../../parser/statement.ts';
import { PRIVILEGES } from '../listings/privileges.ts';
import { SchemaSource } from '../schema_source.ts';
import type { ExecContext, Executor } from './executor.ts';
import { type SchemaView, filtered, showListing, showView } from './filtered.ts';

const VARIABLES = {
  columns: ['Variable_name', 'Value'].map(textColumn),
  likeColumns: ['Variable_name'],
};

function scopeOf(scope: ShowVariables['scope']): 'session' | 'global' {
  return scope === 'GLOBAL' ? 'global' : 'session';
}

export const showVariables: Executor<'ShowVariables'> = ({ scope, filter }, context) =>
  filtered(VARIABLES, new SchemaSource(context).variables(scopeOf(scope)), filter, context);

export const showStatus: Executor<'ShowStatus'> = ({ filter }, context) =>
  filtered(VARIABLES, new SchemaSource(context).status(), filter, context);

// ---------------------------------------------------------------------------------------------
// Warnings. They show what the statement before left, and leave it there.

export const showWarnings: Executor<'ShowWarnings'> = ({ count, filter }, context) => {
  const { warnings, warningCount } = context.session;
  if (count) return oneCount('@@session.warning_count', warningCount);
  return filtered(WARNINGS, warningRows(warnings), filter, context);
};

export const showErrors: Executor<'ShowErrors'> = ({ count, filter }, context) => {
  const errors = context.session.warnings.filter(({ level }) => level === 'Error');
  if (count) return oneCount('@@session.error_count', errors.length);
  return filtered(WARNINGS, warningRows(errors), filter, context);
};

const WARNINGS = {
  columns: [textColumn('Level'), bigintColumn('Code'), textColumn('Message')],
  likeColumns: ['Message'],
};

function oneCount(name: string, count: number): RowsResult {
  return { kind: 'rows', columns: [bigintColumn(name)], rows: [[BigInt(count)]] };
}

function warningRows(warnings: ExecContext['session']['warnings']): SqlRow[] {
  return warnings.map(({ level, code, message }) => [level, BigInt(code), message]);
}

// ---------------------------------------------------------------------------------------------
// Processes

/** Characters of a statement without FULL, as in MySQL. */
const INFO_LENGTH = 100;
/** Its place among the columns. */
const INFO_COLUMN = 7;

// prettier-ignore
const PROCESSLIST: SchemaView = {
  table: 'PROCESSLIST',
  like: 'User',
  columns: [
    ['Id', 'ID'], ['User', 'USER'], ['Host', 'HOST'], ['db', 'DB'], ['Command', 'COMMAND'], ['Time', 'TIME'], ['State', 'STATE'],
    ['Info', 'INFO'], ['Progress', 'PROGRESS'],
  ],
};

export const showProcesslist: Executor<'ShowProcesslist'> = async ({ full, filter }, context) => {
  const result = await showView(PROCESSLIST, new SchemaSource(context), filter);
  const { rows } = result;
  if (full || !Array.isArray(rows)) return result;
  const shortened = (rows as readonly (readonly (string | bigint | null)[])[]).map((row) =>
    row.map((cell, at) =>
      at === INFO_COLUMN && typeof cell === 'string' ? cell.slice(0, INFO_LENGTH) : cell,
    ),
  );
  return { ...result, rows: shortened };
};

// ---------------------------------------------------------------------------------------------
// Fixed lists: information_schema under the names of SHOW

const view =
  (what: SchemaView) =>
  async ({ filter }: { readonly filter: ShowFilter }, context: ExecContext): Promise<RowsResult> =>
    await showView(what, new SchemaSource(context), filter);

export const showEngines: Executor<'ShowEngines'> = view({
  table: 'ENGINES',
  like: 'Engine',
  columns: [
    ['Engine', 'ENGINE'],
    ['Support', 'SUPPORT'],
    ['Comment', 'COMMENT'],
    ['Transactions', 'TRANSACTIONS'],
    ['XA', 'XA'],
    ['Savepoints', 'SAVEPOINTS'],
  ],
});

export const showCollation: Executor<'ShowCollation'> = view({
  table: 'COLLATIONS',
  like: 'Collation',
  columns: [
    ['Collation', 'COLLATION_NAME'],
    ['Charset', 'CHARACTER_SET_NAME'],
    ['Id', 'ID'],
    ['Default', 'IS_DEFAULT'],
    ['Compiled', 'IS_COMPILED'],
    ['Sortlen', 'SORTLEN'],
  ],
});

export const showCharset: Executor<'ShowCharset'> = view({
  table: 'CHARACTER_SETS',
  like: 'Charset',
  columns: [
    ['Charset', 'CHARACTER_SET_NAME'],
    ['Description', 'DESCRIPTION'],
    ['Default collation', 'DEFAULT_COLLATE_NAME'],
    ['Maxlen', 'MAXLEN'],
  ],
});

export const showPlugins: Executor<'ShowPlugins'> = view({
  table: 'PLUGINS',
  like: 'Name',
  columns: [
    ['Name', 'PLUGIN_NAME'],
    ['Status', 'PLUGIN_STATUS'],
    ['Type', 'PLUGIN_TYPE'],
    ['Library', 'PLUGIN_LIBRARY'],
    ['License', 'PLUGIN_LICENSE'],
  ],
});

const ROUTINES: SchemaView = {
  table: 'ROUTINES',
  like: 'Name',
  columns: [
    ['Db', 'ROUTINE_SCHEMA'],
    ['Name', 'ROUTINE_NAME'],
    ['Type', 'ROUTINE_TYPE'],
    ['Definer', 'DEFINER'],
    ['Modified', 'LAST_ALTERED'],
    ['Created', 'CREATED'],
    ['Security_type', 'SECURITY_TYPE'],
    ['Comment', 'ROUTINE_COMMENT'],
    ['character_set_client', 'CHARACTER_SET_CLIENT'],
    ['collation_connection', 'COLLATION_CONNECTION'],
    ['Database Collation', 'DATABASE_COLLATION'],
  ],
};
export const showProcedureStatus: Executor<'ShowProcedureStatus'> = view(ROUTINES);
export const showFunctionStatus: Executor<'ShowFunctionStatus'> = view(ROUTINES);

export const showPrivileges: Executor<'ShowPrivileges'> = async ({ filter }, context) =>
  await showListing(PRIVILEGES, undefined, filter, context);

/** The engines of other servers have no status here. */
/** One row for InnoDB as always: monitors take it and look for figures in its text. */
export const showEngineStatus: Executor<'ShowEngineStatus'> = ({ engine, what }) => {
  const isInnodb = engine.toUpperCase() === 'INNODB' && what === 'STATUS';
  return {
    kind: 'rows',
    columns: ['Type', 'Name', 'Status'].map(textColumn),
    rows: isInnodb ? [['InnoDB', '', 'There is no InnoDB in this server.']] : [],
  };
};

export const showProfiles: Executor<'ShowProfiles'> = () => ({
  kind: 'rows',
  columns: [
    bigintColumn('Query_ID'),
    { name: 'Duration', type: { kind: 'DOUBLE' } },
    textColumn('Query'),
  ],
  rows: [],
});
