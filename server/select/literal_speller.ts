/** Literals and variables. */
import type { SqlValue } from '../../base/values.ts';
import {
  BIGINT,
  DATE,
  DATETIME,
  DOUBLE,
  STRING,
  TIME,
  decimal,
  quoteText,
  typed,
  type Spelled,
  type StaticType,
} from './spelled.ts';
import type { SpellerContext } from './speller_context.ts';

const INT64_MAX = 2n ** 63n - 1n;

/** The literal that comes next, if one does. */
export function spellLiteral(ctx: SpellerContext): Spelled | undefined {
  const { token } = ctx;
  if (token.kind === 'number') {
    ctx.next();
    return spellNumber(token.text);
  }
  if (token.kind === 'string') return spellString(ctx);
  if (token.kind === 'hex') {
    ctx.next();
    return typed(`CAST(x'${token.text}' AS TEXT)`, STRING);
  }
  return token.kind === 'word' ? spellWord(ctx) : undefined;
}

function spellNumber(text: string): Spelled {
  if (/^\d+$/.test(text)) {
    const value = BigInt(text);
    if (value > INT64_MAX) return { sql: `${value}.0`, type: () => decimal(0), literal: text };
    return { sql: String(value), type: () => BIGINT, literal: value };
  }
  if (/e/i.test(text)) return { sql: text, type: () => DOUBLE };
  const scale = text.length - text.indexOf('.') - 1;
  const sql = text.startsWith('.') ? `0${text}` : text;
  return { sql, type: () => decimal(scale), literal: sql };
}

/** Adjacent strings are one string. */
function spellString(ctx: SpellerContext): Spelled {
  let value = ctx.next().text;
  while (ctx.token.kind === 'string') value += ctx.next().text;
  return { sql: quoteText(value), type: () => STRING, literal: value };
}

const CONSTANTS: Readonly<Record<string, Spelled>> = {
  NULL: { sql: 'NULL', type: () => ({ kind: 'NULL' }), literal: null },
  TRUE: { sql: '1', type: () => BIGINT, literal: 1n },
  FALSE: { sql: '0', type: () => BIGINT, literal: 0n },
};
const TYPED_STRINGS: Readonly<Record<string, StaticType>> = {
  DATE,
  TIMESTAMP: DATETIME,
  TIME,
  N: STRING,
};

/** NULL, TRUE, FALSE; DATE '...'; _utf8mb4'...'. */
function spellWord(ctx: SpellerContext): Spelled | undefined {
  const { token } = ctx;
  const constant = Object.hasOwn(CONSTANTS, token.key) ? CONSTANTS[token.key] : undefined;
  if (constant !== undefined) {
    ctx.next();
    return constant;
  }
  const follower = ctx.peek(1).kind;
  if (follower !== 'string' && !(follower === 'hex' && token.text.startsWith('_')))
    return undefined;
  const introducer = token.text.startsWith('_');
  if (!introducer && !Object.hasOwn(TYPED_STRINGS, token.key)) return undefined;
  ctx.next();
  const literal = spellLiteral(ctx);
  if (literal === undefined) return undefined;
  if (introducer) return literal;
  const type = TYPED_STRINGS[token.key];
  const digits = /\.(\d{1,6})\d*$/.exec(String(literal.literal))?.[1]?.length ?? 0;
  const precise = type?.kind === 'DATETIME' ? { ...type, precision: digits } : type;
  return { ...literal, type: () => precise };
}

/** `@x`, `@@x`, `@@session.x`, `@@global.x`. */
export function spellVariable(ctx: SpellerContext): Spelled | undefined {
  const { token } = ctx;
  if (token.kind === 'userVariable') {
    ctx.next();
    const name = token.text.toLowerCase();
    if (ctx.accept(':=')) return spellAssignment(ctx, name);
    // As of this row, whatever that is: undefined in MySQL, too.
    if (ctx.assignedVariables.has(name))
      return typed(`mysql_variable(${quoteText(name)})`, undefined);
    const value = ctx.session.userVariable(token.text);
    return typed(ctx.bind(value), typeOfValue(value));
  }
  if (token.kind !== 'systemVariable') return undefined;
  ctx.next();
  const match = /^(?:(global|session|local|persist)\.)?(.+)$/i.exec(token.text);
  const scope = match?.[1]?.toLowerCase();
  const name = match?.[2] ?? token.text;
  const wanted =
    scope === undefined
      ? undefined
      : scope === 'global' || scope === 'persist'
        ? 'global'
        : 'session';
  const { value, type } = ctx.session.systemVariable(name, wanted);
  return typed(ctx.bind(value), type);
}

/** `@x := expr`, which has the value of the expression, for every row anew. */
function spellAssignment(ctx: SpellerContext, name: string): Spelled {
  const value = ctx.grammar.expression(ctx);
  const { literal } = value;
  // SQLite leaves out columns of a derived table that nobody asks for.
  if (literal !== undefined && ctx.derivedDepth > 0) ctx.startValues.set(name, literal);
  return { sql: `mysql_assign(${quoteText(name)}, ${value.sql})`, type: value.type };
}

function typeOfValue(value: SqlValue): StaticType {
  if (value === null) return STRING;
  if (typeof value === 'bigint') return BIGINT;
  return typeof value === 'number' ? DOUBLE : STRING;
}
