/** Bad, huge and hostile input: an error each time, never a crash, a stall or another exception. */
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { SqlError, type ErrorName } from '../../base/errors.ts';
import { formatStatement } from '../../parser/format.ts';
import { parseStatements, StatementReader } from '../../parser/parse.ts';
import { KINDS, statementOf } from './arbitrary_statements.ts';

const OPTIONS = { maxBytes: 2 ** 20, insertMaxBytes: 2 ** 26, allowMulti: true };
const MIB = 2 ** 20;

function errorOf(text: string, options = OPTIONS): ErrorName | 'none' {
  try {
    parseStatements(text, options);
    return 'none';
  } catch (error) {
    if (!(error instanceof SqlError)) throw error;
    expect(error.message.length).toBeLessThan(600);
    expect(error.message).not.toContain('\n');
    return error.code;
  }
}

describe('limits', () => {
  it.each<[string, string, ErrorName]>([
    ['nested parentheses', `SHOW TABLES WHERE ${'('.repeat(10_000)}`, 'STATEMENT_TOO_COMPLEX'],
    ['nested, closed', `DO ${'('.repeat(5000)}1${')'.repeat(5000)}`, 'STATEMENT_TOO_COMPLEX'],
    ['nested SELECT', `SELECT ${'('.repeat(10_000)}1`, 'STATEMENT_TOO_COMPLEX'],
    ['nested in INSERT', `INSERT INTO t VALUES (${'('.repeat(10_000)}`, 'STATEMENT_TOO_COMPLEX'],
    ['nested CASE', `DO ${'CASE WHEN '.repeat(5000)}`, 'STATEMENT_TOO_COMPLEX'],
    ['many NOTs', `DO ${'NOT '.repeat(100_000)}1`, 'STATEMENT_TOO_COMPLEX'],
    ['many minuses', `DO ${'- '.repeat(100_000)}1`, 'STATEMENT_TOO_COMPLEX'],
    ['many ANDs', `DO 1${' AND 1'.repeat(100_000)}`, 'STATEMENT_TOO_COMPLEX'],
    ['too long', `SHOW TABLES LIKE '${'x'.repeat(MIB)}'`, 'STATEMENT_TOO_LONG'],
    ['too long in bytes', `SHOW TABLES LIKE '${'é'.repeat(MIB / 2)}'`, 'STATEMENT_TOO_LONG'],
    ['too long a SELECT', `SELECT '${'x'.repeat(MIB)}'`, 'STATEMENT_TOO_LONG'],
    ['a name of 65', `DROP TABLE ${'x'.repeat(65)}`, 'IDENT_TOO_LONG'],
    ['a NUL', 'SHOW\0 TABLES', 'SYNTAX'],
    ['a NUL in a name', 'DROP TABLE `a\0b`', 'SYNTAX'],
    ['a lone surrogate', 'DROP TABLE \ud800 \udfff', 'SYNTAX'],
    ['a huge id', 'SHOW TABLET 99999999999999999999', 'NUMBER_TOO_BIG'],
    ['digits', `KILL ${'9'.repeat(MIB / 2)}`, 'NUMBER_TOO_BIG'],
    ['nothing', ' \n\t ', 'EMPTY_QUERY'],
    ['no error recovery', `CREATE TABLE t (${'a INT, '.repeat(100_000)}`, 'SYNTAX'],
  ])('%s', (_, text, code) => {
    expect(errorOf(text)).toBe(code);
  });

  it.each(['(', ')', "'", '"', '`', '/*', '/*!', '*/', '@', '@@', ',', '.', ';', '--', '\\', '#'])(
    'a megabyte of %s',
    (piece) => {
      const text = piece.repeat(Math.floor(MIB / piece.length) - 1);
      for (const head of ['', 'SHOW TABLES WHERE ', 'INSERT INTO t VALUES (', 'SELECT ']) {
        errorOf(head + text);
      }
    },
  );

  it('takes a name of 64 characters and a LIMIT beyond 64 bits', () => {
    expect(errorOf(`DROP TABLE ${'x'.repeat(64)}, \`${'é'.repeat(64)}\``)).toBe('none');
    const [parsed] = parseStatements('SHOW TABLES LIMIT 99999999999999999999999', OPTIONS);
    expect(parsed?.statement).toMatchObject({ filter: { limit: { count: 2n ** 64n - 1n } } });
  });

  it('takes an INSERT longer than other statements, with the same values as a short one', () => {
    const rows = Array.from({ length: 100_000 }, (_, i) => `(${i}, 'row ''${i}''', NULL, -1.5)`);
    const [parsed] = parseStatements(`INSERT INTO t VALUES ${rows.join(',')}`, OPTIONS);
    if (parsed?.statement.kind !== 'Insert') throw new Error('not an INSERT');
    expect(parsed.statement.rows).toHaveLength(100_000);
    expect(parsed.statement.rows.at(-1)).toEqual([
      { kind: 'Number', text: '99999' },
      { kind: 'String', value: "row '99999'" },
      { kind: 'Null' },
      { kind: 'Unary', op: '-', operand: { kind: 'Number', text: '1.5' } },
    ]);
    const small = { ...OPTIONS, insertMaxBytes: 1000 };
    expect(errorOf(`INSERT INTO t VALUES ${rows.join(',')}`, small)).toBe('STATEMENT_TOO_LONG');
  });
});

describe('several statements', () => {
  const single = { ...OPTIONS, allowMulti: false };

  it('are read one by one, so that those before a bad one can run', () => {
    const reader = new StatementReader('SELECT 1;; SHOW TABLES ; WRM UP', OPTIONS);
    expect(reader.next()).toMatchObject({ text: 'SELECT 1', start: 0, end: 8 });
    expect(reader.next()).toMatchObject({ text: 'SHOW TABLES', start: 11, end: 22 });
    expect(() => reader.next()).toThrow("near 'WRM UP' at line 1, column 26");
  });

  it('need the capability; a trailing semicolon and NUL do not', () => {
    expect(errorOf('SELECT 1;\n \0', single)).toBe('none');
    const reader = new StatementReader('SELECT 1; SELECT 2', single);
    expect(reader.next()?.text).toBe('SELECT 1');
    expect(() => reader.next()).toThrow(/near 'SELECT 2' at line 1, column 11.*one statement/);
  });

  it('keep what follows a semicolon in strings, comments and version comments apart', () => {
    const text = "SELECT ';' -- ;\n; /* ; */ SHOW TABLES LIKE ';' /*!40000 ; SELECT 3 */";
    const parsed = parseStatements(text, OPTIONS);
    expect(parsed.map(({ statement }) => statement.kind)).toEqual([
      'Select',
      'ShowTables',
      'Select',
    ]);
    for (const { statement } of parsed) {
      if (statement.kind === 'Select') expect(errorOf(statement.text)).toBe('none');
    }
  });
});

describe('secrets', () => {
  it('are masked on demand', () => {
    const text =
      "CREATE STORAGE VAULT v PROPERTIES ('s3.secret_key' = 'hush', 's3.access_key' = 'hush', 'AWS_SECRET_KEY' = 'hush', 's3.bucket' = 'b'); CREATE USER u IDENTIFIED BY 'hush'; SET PASSWORD = 'hush'; SET PASSWORD = 'hush', a = 1";
    for (const { statement } of parseStatements(text, OPTIONS)) {
      expect(formatStatement(statement)).toContain('hush');
      expect(formatStatement(statement, { maskSecrets: true })).not.toContain('hush');
      expect(formatStatement(statement, { maskSecrets: true })).toContain("'******'");
    }
  });
});

describe('fuzz', () => {
  it('arbitrary text yields statements or an SqlError', () => {
    const piece = fc.oneof(
      fc.constantFrom('SHOW', 'WARM', 'UP', 'TABLE', 'WHERE', 'INSERT INTO t VALUES', 'CREATE'),
      fc.constantFrom('(', ')', ',', ';', "'", '"', '`', '/*', '*/', '/*!', '--', '@', '@@', '.'),
      fc.constantFrom('a', '1', "'x'", '=', 'AND', 'NOT', 'CASE', 'END', 'ALTER', 'SET', 'GRANT'),
      fc.string({ maxLength: 8, unit: 'binary' }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
        errorOf(pieces.join(' '));
      }),
      { numRuns: 5000, seed: 7 },
    );
  });

  it('statements with a piece cut out or put in yield statements or an SqlError', () => {
    const mutated = fc
      .tuple(
        fc.constantFrom(...KINDS).chain(statementOf),
        fc.nat(),
        fc.nat(20),
        fc.string({ maxLength: 3 }),
      )
      .map(([statement, at, cut, put]) => {
        const text = formatStatement(statement);
        const place = at % (text.length + 1);
        return text.slice(0, place) + put + text.slice(place + cut);
      });
    fc.assert(
      fc.property(mutated, (text) => {
        errorOf(text);
      }),
      { numRuns: 3000, seed: 11 },
    );
  });
});
