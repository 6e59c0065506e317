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

const BYTES_MAX = 2 ** 20;

it('gives back what was read, for the very same text alone', () => {
  const texts = new ShowTexts();
  const parsed = read('SHOW DATABASES');
  texts.keep('SHOW DATABASES', parsed);
  expect(texts.get('SHOW DATABASES', BYTES_MAX)).toBe(parsed);
  expect(texts.get('show databases', BYTES_MAX)).toBeUndefined();
  expect(texts.get('SHOW DATABASES ', BYTES_MAX)).toBeUndefined();
});

it('gives back nothing that may be longer than a statement may be by now', () => {
  const texts = new ShowTexts();
  const text = `SHOW TABLES LIKE '${'x'.repeat(400)}'`;
  texts.keep(text, read(text));
  expect(texts.get(text, BYTES_MAX)).toBeDefined();
  expect(texts.get(text, 1024)).toBeUndefined();
});

it('keeps no long text, and only so many', () => {
  const texts = new ShowTexts();
  const long = `SHOW TABLES LIKE '${'x'.repeat(2048)}'`;
  texts.keep(long, read(long));
  expect(texts.get(long, BYTES_MAX)).toBeUndefined();
  const parsed = read('SHOW TABLES');
  for (let at = 0; at < 1500; at += 1) {
    texts.keep(`SHOW TABLES -- ${at}`, parsed);
    // One that comes again and again stays.
    if (at % 100 === 0) {
      if (at === 0) texts.keep('SHOW TABLES', parsed);
      expect(texts.get('SHOW TABLES', BYTES_MAX)).toBe(parsed);
    }
  }
  expect(texts.get('SHOW TABLES -- 0', BYTES_MAX)).toBeUndefined();
  const kept = Array.from({ length: 1500 }, (_, at) =>
    texts.get(`SHOW TABLES -- ${at}`, BYTES_MAX),
  );
  expect(kept.filter((one) => one !== undefined).length).toBeLessThanOrEqual(1000);
});
