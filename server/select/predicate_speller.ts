/** Predicates that stand behind their operand: IS, IN, LIKE, REGEXP, BETWEEN. */
import type { ScanPredicate } from '../../base/agent_messages.ts';
import { canonicalPredicate, comparable, rowEquality } from './comparison.ts';
import { plainText } from './exact_decimal.ts';
import { BIGINT, typed, type Spelled } from './spelled.ts';
import type { SpellerContext } from './speller_context.ts';
import { isQueryAhead } from './words.ts';

/** Binding power of comparisons: their right sides bind more strongly. */
const COMPARE = 6;

/** IS, [NOT] IN, LIKE, REGEXP, BETWEEN after an operand. */
export function spellPredicate(ctx: SpellerContext, left: Spelled): Spelled | undefined {
  if (ctx.accept('IS')) {
    const not = ctx.accept('NOT') ? 'NOT ' : '';
    const what = ctx.acceptAny(['NULL', 'TRUE', 'FALSE', 'UNKNOWN']);
    if (what === undefined) throw ctx.unexpected('NULL, TRUE, FALSE or UNKNOWN');
    return typed(`(${left.sql} IS ${not}${what === 'UNKNOWN' ? 'NULL' : what})`, BIGINT);
  }
  const negated =
    ctx.is('NOT') && ['IN', 'LIKE', 'REGEXP', 'RLIKE', 'BETWEEN'].includes(ctx.peek(1).key);
  if (negated) ctx.next();
  const not = negated ? 'NOT ' : '';
  const wrap = (sql: string, conjuncts?: () => readonly ScanPredicate[]): Spelled => ({
    sql: negated ? `(NOT ${sql})` : sql,
    type: () => BIGINT,
    ...(conjuncts === undefined || negated ? {} : { conjuncts }),
  });
  if (ctx.accept('IN')) return spellIn(ctx, left, not);
  if (ctx.accept('LIKE')) return wrap(spellLike(ctx, left));
  if (ctx.acceptAny(['REGEXP', 'RLIKE']) !== undefined) {
    ctx.heavy = true;
    const pattern = ctx.grammar.expression(ctx, COMPARE);
    return wrap(`mysql_regexp(${plainText(left)}, ${pattern.sql})`);
  }
  if (ctx.accept('BETWEEN')) {
    const low = ctx.grammar.expression(ctx, COMPARE);
    ctx.expect('AND');
    const high = ctx.grammar.expression(ctx, COMPARE);
    const [a, from] = comparable(left, low);
    const [b, to] = comparable(left, high);
    const sql =
      a === b ? `(${a} BETWEEN ${from} AND ${to})` : `(${a} >= ${from} AND ${b} <= ${to})`;
    return wrap(sql, () => [
      ...canonicalPredicate('>=', left, [low]),
      ...canonicalPredicate('<=', left, [high]),
    ]);
  }
  return undefined;
}

/** `left [NOT ]IN (query)`. */
export function spellMembership(left: Spelled, not: string, query: Spelled): Spelled {
  const { items } = left;
  const fits = query.keyRows?.keyed.every(
    (keyed, at) => keyed === (items?.[at]?.key !== undefined),
  );
  if (items !== undefined && query.keyRows !== undefined && fits === true) {
    const row = items.map((item) => item.key ?? item.sql).join(', ');
    return typed(`((${row}) ${not}IN ${query.keyRows.sql})`, BIGINT);
  }
  const keys = left.key !== undefined && query.key !== undefined;
  const sql = keys ? `${left.key} ${not}IN ${query.key}` : `${left.sql} ${not}IN ${query.sql}`;
  return typed(`(${sql})`, BIGINT);
}

function spellIn(ctx: SpellerContext, left: Spelled, not: string): Spelled {
  if (isQueryAhead(ctx)) {
    return spellMembership(left, not, ctx.grammar.subquery(ctx));
  }
  ctx.expect('(');
  const items: Spelled[] = [];
  do items.push(ctx.grammar.expression(ctx));
  while (ctx.accept(','));
  ctx.expect(')');
  const rows = items.map((item) => rowEquality('=', left, item));
  if (rows.length > 0 && rows.every((row) => row !== undefined)) {
    return typed(`(${not}(${rows.join(' OR ')}))`, BIGINT);
  }
  const pairs = items.map((item) => comparable(left, item));
  const list = pairs.map(([, item]) => item).join(', ');
  const operand = pairs[0]?.[0] ?? left.sql;
  const keys = [left, ...items].some((side) => side.key !== undefined);
  const mixed = keys && pairs.some(([other]) => other !== operand);
  const equal = pairs.map(([a, b]) => `${a} = ${b}`).join(' OR ');
  return {
    sql: mixed ? `(${not}(${equal}))` : `(${operand} ${not}IN (${list}))`,
    type: () => BIGINT,
    ...(not === '' ? { conjuncts: () => canonicalPredicate('in', left, items) } : {}),
  };
}

function spellLike(ctx: SpellerContext, left: Spelled): string {
  ctx.heavy = true;
  const pattern = ctx.grammar.expression(ctx, COMPARE);
  const escape = ctx.accept('ESCAPE') ? ctx.grammar.expression(ctx, COMPARE).sql : String.raw`'\'`;
  if (left.nocase?.() !== true && pattern.nocase?.() !== true) {
    return `mysql_like(${plainText(left)}, ${pattern.sql}, ${escape})`;
  }
  return `(${left.sql} LIKE ${pattern.sql} ESCAPE ${escape})`;
}
