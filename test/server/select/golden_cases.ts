/** The statements of test/golden/select/*.txt; `golden.test.ts` says what a file looks like. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const FOLDER = join(import.meta.dirname, '..', '..', 'golden', 'select');

export interface GoldenCase {
  readonly expectedErrno: number | undefined;
  readonly sql: string;
  readonly output: string;
}

/** Paths of the files. */
export function goldenFiles(): readonly string[] {
  return readdirSync(FOLDER)
    .filter((name) => name.endsWith('.txt'))
    .map((name) => join(FOLDER, name));
}

export function goldenCases(path: string): readonly GoldenCase[] {
  return readFileSync(path, 'utf8')
    .trim()
    .split(/\n\n+/)
    .map((block) => {
      const [head = '', output = ''] = block.split(/\n----\n?/);
      const error = /^error (\d+)\n/.exec(head);
      const sql = head.replace(/^error \d+\n/, '');
      return { expectedErrno: error === null ? undefined : Number(error[1]), sql, output };
    });
}
