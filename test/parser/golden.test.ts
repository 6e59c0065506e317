/**
 * SQL in, text out: after a line that begins with `> ` (more lines of the statement are indented)
 * stands the statement as it is formatted, or its error. UPDATE_GOLDEN=1 writes the answers.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { SqlError } from '../../base/errors.ts';
import { formatStatement } from '../../parser/format.ts';
import { parseStatements } from '../../parser/parse.ts';

const FOLDER = new URL('../golden/parser/', import.meta.url);
const OPTIONS = { maxBytes: 2 ** 20, insertMaxBytes: 2 ** 26, allowMulti: true };

function statements(text: string): string[] {
  const list: string[] = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('> ') || line === '>') list.push(line.slice(2));
    else if (line.startsWith('  ')) list.push(`${list.pop() ?? ''}\n${line.slice(2)}`);
  }
  return list;
}

function answer(sql: string): string {
  try {
    return parseStatements(sql, OPTIONS)
      .map(({ statement }) => {
        const text = formatStatement(statement).replaceAll(/\s*\n\s*/g, ' ');
        return statement.kind === 'Unsupported'
          ? `Unsupported ${statement.what}: ${text}`
          : `${statement.kind}: ${text}`;
      })
      .join('\n');
  } catch (error) {
    if (!(error instanceof SqlError)) throw error;
    return `ERROR ${error.errno} (${error.sqlState}): ${error.message}`;
  }
}

function render(list: readonly string[]): string {
  return list.map((sql) => `> ${sql.replaceAll('\n', '\n  ')}\n${answer(sql)}\n`).join('\n');
}

describe('golden statements', () => {
  it.each(readdirSync(FOLDER))('%s', (file) => {
    const url = new URL(file, FOLDER);
    const text = readFileSync(url, 'utf8');
    const now = render(statements(text));
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(url, now);
    else expect(now).toBe(text);
  });
});
