/** FOUND_ROWS() behind SELECT SQL_CALC_FOUND_ROWS: the rows that there are without its LIMIT. */
import { type ScanModes, Scanner } from '../grammar/lexer.ts';
import { K, T } from '../grammar/tokens.ts';

/** As the first modifier, where MySQL's clients write it. */
const CALCULATES = /^\s*SELECT\s+SQL_CALC_FOUND_ROWS\s/i;

/** The query that counts what `sql` would have without its LIMIT; undefined: it need not be asked. */
export function countOfAll(sql: string, modes: ScanModes): string | undefined {
  if (!CALCULATES.test(sql)) return undefined;
  const scanner = new Scanner(sql, modes);
  let depth = 0;
  let limit: number | undefined;
  while (scanner.advance()) {
    if (scanner.type === T.LParen) depth += 1;
    else if (scanner.type === T.RParen) depth -= 1;
    else if (scanner.type === K.LIMIT && depth === 0) limit = scanner.start;
  }
  if (limit === undefined) return undefined;
  return `SELECT COUNT(*) FROM (${sql.slice(0, limit)}) AS found`;
}
