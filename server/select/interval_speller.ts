/** `INTERVAL amount unit` and what is added with it. */
import { isIntervalUnit } from './date_math.ts';
import { STRING, type Spelled } from './spelled.ts';
import type { SpellerContext } from './speller_context.ts';

/** Binding power of `|`, the weakest operator an amount may have without parentheses. */
const BIT_OR = 7;

/** `INTERVAL amount unit`. */
export function spellInterval(ctx: SpellerContext): readonly [Spelled, string] {
  ctx.expect('INTERVAL');
  const amount = ctx.grammar.expression(ctx, BIT_OR);
  const unit = ctx.next().key;
  if (!isIntervalUnit(unit)) {
    ctx.at -= 1;
    throw ctx.unexpected('a unit such as DAY');
  }
  return [amount, unit];
}

export function spellDateAdd(date: Spelled, amount: Spelled, unit: string, sign: 1 | -1): Spelled {
  const keepsDate = ['DAY', 'WEEK', 'MONTH', 'QUARTER', 'YEAR', 'YEAR_MONTH'].includes(unit);
  return {
    sql: `mysql_date_add(${date.sql}, ${amount.sql}, '${unit}', ${sign})`,
    type: () => {
      const type = date.type();
      if (type?.kind === 'DATE') return keepsDate ? type : { kind: 'DATETIME', precision: 0 };
      return type?.kind === 'DATETIME' ? type : STRING;
    },
  };
}
