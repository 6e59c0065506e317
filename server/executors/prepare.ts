/** PREPARE, EXECUTE and DEALLOCATE PREPARE: prepared statements that SQL itself names. */
import { SqlError } from '../../base/errors.ts';
import { OK } from '../../base/values.ts';
import { StatementReader } from '../../parser/parse.ts';
import type { PrepareStatement, Statement, StatementOf } from '../../parser/statement.ts';
import { PreparedText } from '../prepared_text.ts';
import type { ExecContext, Executor } from './executor.ts';

/** Names that one session may keep. */
const PREPARED_MAX = 1000;
/** Of their texts together. */
const TEXT_BYTES_MAX = 16 * 2 ** 20;

/** They cannot be prepared themselves, in MySQL neither. */
const NOT_PREPARED: ReadonlySet<Statement['kind']> = new Set([
  'PrepareStatement',
  'ExecuteStatement',
  'DeallocateStatement',
] as const);

/** Throws what is wrong with the text, UNSUPPORTED_PREPARED, TOO_MANY_PREPARED. */
export const prepareStatement: Executor<'PrepareStatement'> = ({ name, source }, context) => {
  const { prepared } = context.session;
  const key = name.toLowerCase();
  prepared.delete(key);
  const text = new PreparedText(sourceText(source, context), context.session.variables.scanModes);
  const sample = text.sample((sql) => readOne(sql, context));
  if (sample !== undefined && NOT_PREPARED.has(sample.kind)) {
    throw new SqlError('UNSUPPORTED_PREPARED');
  }
  const max = Math.min(PREPARED_MAX, context.services.config.get('max_prepared_stmt_count'));
  if (prepared.size >= max) throw new SqlError('TOO_MANY_PREPARED', { max });
  let bytes = text.bytes;
  for (const other of prepared.values()) bytes += other.bytes;
  if (bytes > TEXT_BYTES_MAX) {
    throw new SqlError('TOO_MANY_PREPARED', { max: `${TEXT_BYTES_MAX} bytes a session` });
  }
  prepared.set(key, text);
  return OK;
};

/** NULL is the text `NULL`, as in MySQL. */
function sourceText(source: PrepareStatement['source'], { session }: ExecContext): string {
  if (source.kind === 'text') return source.text;
  return String(session.variables.userVariable(source.name) ?? 'NULL');
}

/** The statement to run instead. Throws UNKNOWN_PREPARED, WRONG_ARGUMENTS, the parser's errors. */
export function boundStatement(
  { name, using }: StatementOf<'ExecuteStatement'>,
  context: ExecContext,
): Statement {
  const { prepared, variables } = context.session;
  const text = prepared.get(name.toLowerCase());
  if (text === undefined) throw new SqlError('UNKNOWN_PREPARED', { id: name, command: 'EXECUTE' });
  const values = using.map((variable) => variables.userVariable(variable));
  const sql = text.bind(values, !variables.sqlModeHas('NO_BACKSLASH_ESCAPES'));
  const statement = readOne(sql, context);
  if (NOT_PREPARED.has(statement.kind)) throw new SqlError('UNSUPPORTED_PREPARED');
  return statement;
}

export const deallocateStatement: Executor<'DeallocateStatement'> = ({ name }, { session }) => {
  if (!session.prepared.delete(name.toLowerCase())) {
    throw new SqlError('UNKNOWN_PREPARED', { id: name, command: 'DEALLOCATE PREPARE' });
  }
  return OK;
};

function readOne(sql: string, { services: { config }, session }: ExecContext): Statement {
  const reader = new StatementReader(sql, {
    maxBytes: config.get('max_statement_bytes'),
    insertMaxBytes: config.get('max_allowed_packet'),
    allowMulti: false,
    modes: session.variables.scanModes,
  });
  const parsed = reader.next();
  if (parsed === undefined) throw new SqlError('EMPTY_QUERY');
  // Throws when another statement follows.
  reader.next();
  return parsed.statement;
}
