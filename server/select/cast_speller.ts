/** CAST(x AS type), CONVERT(x, type), CONVERT(x USING charset). */
import { keyed, plainText } from './exact_decimal.ts';
import { BIGINT, DATE, DATETIME, DOUBLE, STRING, decimal, typed, type Spelled } from './spelled.ts';
import type { SpellerContext } from './speller_context.ts';

/** Behind the opening parenthesis. */
export function spellCast(ctx: SpellerContext, name: string): Spelled {
  const value = ctx.grammar.expression(ctx);
  if (name.toUpperCase() === 'CONVERT' && ctx.accept('USING')) {
    ctx.name();
    ctx.expect(')');
    return { sql: `CAST(${value.sql} AS TEXT)`, type: () => STRING, ...nocaseOf(value) };
  }
  ctx.expect(name.toUpperCase() === 'CAST' ? 'AS' : ',');
  const cast = spellType(ctx, value);
  ctx.expect(')');
  return cast;
}

function nocaseOf(value: Spelled): { readonly nocase?: () => boolean } {
  return value.nocase === undefined ? {} : { nocase: value.nocase };
}

function spellType(ctx: SpellerContext, value: Spelled): Spelled {
  const { key } = ctx.token;
  ctx.next();
  switch (key) {
    case 'SIGNED':
    case 'UNSIGNED':
      ctx.acceptAny(['INTEGER', 'INT']);
      return typed(integerCast(value), BIGINT);
    case 'INT':
    case 'INTEGER':
    case 'BIGINT':
    case 'TINYINT':
    case 'SMALLINT':
    case 'LARGEINT':
    case 'BOOLEAN':
      return typed(integerCast(value), BIGINT);
    case 'DOUBLE':
    case 'REAL':
    case 'FLOAT':
      ctx.accept('PRECISION');
      return typed(`CAST(${value.sql} AS REAL)`, DOUBLE);
    case 'DECIMAL':
    case 'DEC':
    case 'NUMERIC':
      return spellDecimal(ctx, value);
    case 'CHAR':
    case 'NCHAR':
    case 'VARCHAR':
    case 'STRING':
    case 'TEXT':
    case 'BINARY':
    case 'JSON':
      return spellText(ctx, value);
    case 'DATE':
      return typed(`mysql_date(${value.sql})`, DATE);
    case 'DATETIME':
    case 'TIMESTAMP': {
      const [digits = 0] = numbers(ctx);
      const type = digits === 0 ? DATETIME : ({ kind: 'DATETIME', precision: digits } as const);
      return typed(`mysql_datetime(${value.sql}, ${digits})`, type);
    }
    case 'TIME':
      numbers(ctx);
      return typed(`mysql_time(${value.sql})`, STRING);
    default:
      ctx.at -= 1;
      throw ctx.unexpected('a type such as SIGNED, CHAR, DECIMAL(10,2) or DATE');
  }
}

/** MySQL rounds a number, SQLite cuts it; a text gives its leading whole number in both. */
function integerCast(value: Spelled): string {
  const type = value.type();
  const exact = type?.kind === 'DOUBLE' || type?.kind === 'FLOAT' || type?.kind === 'DECIMAL';
  return exact ? `CAST(mysql_round(${value.sql}) AS INTEGER)` : `CAST(${value.sql} AS INTEGER)`;
}

/** MySQL's precision when none is written. */
const DECIMAL_PRECISION = 10;
const PRECISION_MAX = 38;

function spellDecimal(ctx: SpellerContext, value: Spelled): Spelled {
  const [precision = DECIMAL_PRECISION, scale = 0] = numbers(ctx);
  if (precision > PRECISION_MAX || scale > precision) throw ctx.unexpected('DECIMAL(1..38, scale)');
  const [type, from] = [decimal(scale, precision), value.type()];
  const fits =
    from?.kind === 'DECIMAL' &&
    from.scale <= scale &&
    from.precision - from.scale <= precision - scale;
  if (value.key !== undefined && fits) return keyed(value.key, () => type);
  return typed(`mysql_round(CAST(${value.sql} AS REAL), ${scale})`, type);
}

function spellText(ctx: SpellerContext, value: Spelled): Spelled {
  const [length] = numbers(ctx);
  if (ctx.accept('CHARACTER', 'SET') || ctx.accept('CHARSET')) ctx.name();
  const cast = `CAST(${plainText(value)} AS TEXT)`;
  const sql = length === undefined ? cast : `substr(${cast}, 1, ${length})`;
  return { sql, type: () => STRING, ...nocaseOf(value) };
}

/** `(n[, m])`, if it comes next. */
function numbers(ctx: SpellerContext): readonly number[] {
  const found: number[] = [];
  if (!ctx.accept('(')) return found;
  do {
    const token = ctx.next();
    if (token.kind !== 'number' || !/^\d{1,5}$/.test(token.text)) {
      ctx.at -= 1;
      throw ctx.unexpected('a number');
    }
    found.push(Number(token.text));
  } while (ctx.accept(','));
  ctx.expect(')');
  return found;
}
