/** Which words are no names, and what can be seen without reading on. */
import type { SpellerContext } from './speller_context.ts';

/** Words that end an expression; none of them is a name unless it is in backticks. */
// prettier-ignore
export const RESERVED: ReadonlySet<string> = new Set([
  'SELECT', 'FROM', 'WHERE', 'GROUP', 'HAVING', 'ORDER', 'LIMIT', 'UNION', 'EXCEPT', 'INTERSECT', 'ON', 'USING', 'JOIN', 'INNER',
  'LEFT', 'RIGHT', 'CROSS', 'NATURAL', 'STRAIGHT_JOIN', 'AS', 'AND', 'OR', 'XOR', 'NOT', 'IN', 'IS', 'LIKE', 'REGEXP', 'RLIKE', 'BETWEEN',
  'WHEN', 'THEN', 'ELSE', 'BY', 'ASC', 'DESC', 'DISTINCT', 'ALL', 'INTO', 'FOR', 'LOCK', 'WINDOW', 'OVER', 'DIV', 'MOD', 'COLLATE', 'SEPARATOR',
  'USE', 'FORCE', 'IGNORE', 'PARTITION', 'WITH', 'LATERAL', 'SET', 'TABLE', 'OUTER', 'FETCH', 'PROCEDURE',
]);

/** Whether `(SELECT ...`, however deep in parentheses, comes next. */
export function isQueryAhead(ctx: SpellerContext): boolean {
  let ahead = 0;
  while (ctx.peek(ahead).key === '(') ahead += 1;
  return ahead > 0 && ['SELECT', 'WITH', 'VALUES', 'TABLE'].includes(ctx.peek(ahead).key);
}
