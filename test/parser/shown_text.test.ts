import { describe, expect, it } from '@jest/globals';
import { readStatements } from '../../parser/parse.ts';
import { shownText } from '../../parser/shown_text.ts';

const VAULT = `CREATE STORAGE VAULT v PROPERTIES("type"="s3", "s3.access_key"="AKIA1", "s3.secret_key"="hunter2")`;

describe('shownText', () => {
  it('leaves a text without secrets as it was sent', () => {
    for (const text of [
      'select  1 -- so be it',
      "SELECT 'password'",
      'CREATE TABLE t (token INT) DUPLICATE KEY(token) DISTRIBUTED BY HASH(token) BUCKETS 1',
    ]) {
      expect(shownText(text)).toBe(text);
    }
  });

  it('masks keys and passwords', () => {
    for (const [text, secret] of [
      [VAULT, 'hunter2'],
      [VAULT, 'AKIA1'],
      ["ALTER USER root IDENTIFIED BY 'hunter2'", 'hunter2'],
      ["CREATE USER u IDENTIFIED BY 'hunter2'", 'hunter2'],
      ["SET PASSWORD = PASSWORD('hunter2')", 'hunter2'],
      ['ALTER RESOURCE r PROPERTIES("s3.endpoint"="https://me:hunter2@h:1")', 'hunter2'],
    ] as const) {
      expect(shownText(text)).not.toContain(secret);
      expect(shownText(text)).toContain('******');
    }
  });

  it('masks in a request of several statements, and keeps the others', () => {
    const shown = shownText(`select  1; ${VAULT}; select  2`);
    expect(shown).toContain('select  1; CREATE STORAGE VAULT');
    expect(shown).toContain('; select  2');
    expect(shown).not.toContain('hunter2');
  });

  it.each([
    'CREATE EXTERNAL TABLE t (k INT) PROPERTIES("s3.secret_key"="hunter2")',
    'CREATE CATALOG c PROPERTIES("s3.access_key"="AKIA1", "s3.secret_key"="hunter2")',
    'CREATE REPOSITORY r WITH S3 ON LOCATION "s3://b" PROPERTIES("s3.secret_key"="hunter2")',
    'LOAD LABEL l (DATA INFILE("s3://b/f") INTO TABLE t) WITH S3 ("AWS_SECRET_KEY"="hunter2")',
    `EXECUTE IMMEDIATE 'CREATE USER u IDENTIFIED BY "hunter2"'`,
    'SELECT * FROM S3("uri"="s3://b/f", "s3.access_key"="AKIA1", "s3.secret_key"="hunter2")',
    "INSERT INTO t SELECT * FROM S3('uri' = 's3://b/f', 's3.secret_key' = 'hunter2')",
    'CREATE TABLE t AS SELECT * FROM S3("s3.secret_key"="hunter2")',
  ])('ends before the secret of a statement that there is not: %s', (text) => {
    const shown = shownText(text);
    expect(shown).not.toMatch(/hunter2|AKIA1/);
    expect(shown.endsWith('...')).toBe(true);
    expect(text.startsWith(shown.slice(0, -3))).toBe(true);
  });

  it('ends before the secret of what it cannot read or what is too long', () => {
    expect(shownText(`SELECT SLEEP(9); ${VAULT} oops`)).toBe(
      'SELECT SLEEP(9); CREATE STORAGE VAULT v PROPERTIES("type"="s3", "s3....',
    );
    expect(shownText(`${VAULT} /* ${'x'.repeat(70_000)} */`)).not.toContain('hunter2');
  });
});

describe('a syntax error', () => {
  it.each([
    'CREATE RESOURCE r PROPERTIES("s3.access_key" = "a" "s3.secret_key" = "hunter2")',
    'CREATE RESOURCE r ("s3.access_key" = "a", "s3.secret_key" = "hunter2")',
    'CREATE RESOURCE r PROPERTEIS("s3.secret_key" = "hunter2")',
    'CREATE RESOURCE r PROPERTIES("s3.secret_key" = "hunter2',
    'CREATE RESOURCE r PROPERTIES("s3.secret_key" "hunter2" "x")',
    'CREATE USER u IDENTIFIED BY hunter2',
    "CREATE USER u IDENTIFIED 'hunter2'",
  ])('does not quote a secret: %s', (text) => {
    const limits = { maxBytes: 1000, insertMaxBytes: 1000, allowMulti: true };
    const read = (): unknown => [...readStatements(text, limits)];
    expect(read).toThrow(/You have an error in your SQL syntax; .* at line 1, column \d+: /);
    expect(read).not.toThrow(/hunter2/);
  });
});
