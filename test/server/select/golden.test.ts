/**
 * SQL in, text out: test/golden/select/*.txt. A file is a list of cases, an empty line between
 * two. A case is the statement, `----`, and what comes back: `name TYPE` of each column, then the
 * rows. Before a statement that must fail stands `error <number>`, and its message comes back.
 * UPDATE_GOLDEN=1 writes what comes back into the files.
 */
import { writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { afterAll, describe, expect, it } from '@jest/globals';
import { SqlError } from '../../../base/errors.ts';
import { typeText } from '../../../base/values.ts';
import { goldenCases, goldenFiles } from './golden_cases.ts';
import { allRows, makeFixture } from './select_fixture.ts';

const fixture = makeFixture();

afterAll(() => {
  fixture.engine.close();
});

async function outputOf(sql: string): Promise<{ readonly text: string; readonly errno?: number }> {
  try {
    const result = await fixture.run(sql);
    const columns = result.columns.map(({ name, type }) => `${name} ${typeText(type)}`);
    const rows = await allRows(result);
    const lines = rows.map((row) =>
      row.map((value) => (value === null ? 'NULL' : String(value))).join(' | '),
    );
    return { text: [columns.join(' | '), ...lines].join('\n') };
  } catch (error) {
    if (!(error instanceof SqlError)) throw error;
    return { text: error.message, errno: error.errno };
  }
}

const FILES = goldenFiles().map((path) => ({ name: basename(path), path }));

describe.each(FILES)('$name', ({ path }) => {
  const cases = goldenCases(path);

  if (process.env['UPDATE_GOLDEN'] === '1') {
    it('is written anew', async () => {
      const blocks: string[] = [];
      for (const { sql } of cases) {
        const { text, errno } = await outputOf(sql);
        blocks.push(`${errno === undefined ? '' : `error ${errno}\n`}${sql}\n----\n${text}`);
      }
      writeFileSync(path, `${blocks.join('\n\n')}\n`);
      expect(blocks.length).toBeGreaterThan(0);
    });
    return;
  }

  it.each(cases)('$sql', async ({ sql, output, expectedErrno }) => {
    const { text, errno } = await outputOf(sql);
    expect(text).toBe(output);
    expect(errno).toBe(expectedErrno);
  });
});
