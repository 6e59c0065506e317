import { expect, it } from '@jest/globals';
import { StatementReader } from '../../parser/parse.ts';
import type { ParsedStatement } from '../../parser/parse.ts';
import { ShowTexts } from '../../server/show_texts.ts';

function read(sql: string): ParsedStatement {
  const limits = { maxBytes: 2 ** 20, insertMaxBytes: 2 ** 20, allowMulti: false };
  const parsed = new StatementReader(sql, limits).next();
  if (parsed === undefined) throw new Error(`no statement: ${sql}`);
  return parsed;
}

it('gives back what was read, for the very same text alone', () => {
  const texts = new ShowTexts();
  const parsed = read('SHOW DATABASES');
  texts.keep('SHOW DATABASES', parsed);
  expect(texts.get('SHOW DATABASES')).toBe(parsed);
  expect(texts.get('show databases')).toBeUndefined();
  expect(texts.get('SHOW DATABASES ')).toBeUndefined();
});

it('keeps no long text, and only so many', () => {
  const texts = new ShowTexts();
  const long = `SHOW TABLES LIKE '${'x'.repeat(300)}'`;
  texts.keep(long, read(long));
  expect(texts.get(long)).toBeUndefined();
  const parsed = read('SHOW TABLES');
  for (let at = 0; at <= 500; at += 1) texts.keep(`SHOW TABLES -- ${at}`, parsed);
  const kept = Array.from({ length: 501 }, (_, at) => texts.get(`SHOW TABLES -- ${at}`));
  expect(kept.filter((one) => one !== undefined)).toHaveLength(1);
});
