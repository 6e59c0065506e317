/** Expression → text that parses to the same expression. */
import { nameText, stringText } from '../grammar/literals.ts';
import type { Expr, ExprKind, ExprOf } from '../grammar/nodes/expr.ts';

type Formatters = { readonly [Kind in ExprKind]: (expr: ExprOf<Kind>) => string };

const not = (negated: boolean): string => (negated ? 'NOT ' : '');

const FORMATTERS: Formatters = {
  Null: () => 'NULL',
  Bool: ({ value }) => (value ? 'TRUE' : 'FALSE'),
  Number: ({ text }) => text,
  String: ({ value }) => stringText(value),
  Bytes: ({ hex }) => `x'${hex}'`,
  Default: () => 'DEFAULT',
  Column: ({ path }) => path.map(nameText).join('.'),
  UserVar: ({ name }) => userVarText(name),
  SystemVar: ({ scope, name }) =>
    `@@${scope === undefined ? '' : `${scope}.`}${variableText(name)}`,
  Unary: ({ op, operand }) => `${op === 'NOT' ? 'NOT ' : op}${nested(operand)}`,
  Binary: ({ op, left, right }) => `${nested(left)} ${op} ${nested(right)}`,
  In: ({ operand, list, negated }) =>
    `${nested(operand)} ${not(negated)}IN (${list.map(formatExpr).join(', ')})`,
  Between: ({ operand, low, high, negated }) =>
    `${nested(operand)} ${not(negated)}BETWEEN ${nested(low)} AND ${nested(high)}`,
  Like: ({ operand, pattern, escape, negated }) =>
    `${nested(operand)} ${not(negated)}LIKE ${nested(pattern)}${
      escape === undefined ? '' : ` ESCAPE ${stringText(escape)}`
    }`,
  Regexp: ({ operand, pattern, negated }) =>
    `${nested(operand)} ${not(negated)}REGEXP ${nested(pattern)}`,
  Is: ({ operand, what, negated }) => `${nested(operand)} IS ${not(negated)}${what}`,
  Call: ({ name, args, distinct, star }) => {
    const list = args.map(formatExpr).join(', ');
    return `${callName(name)}(${star ? '*' : ''}${distinct ? 'DISTINCT ' : ''}${list})`;
  },
  Case: ({ operand, whens, otherwise }) => {
    const head = operand === undefined ? 'CASE' : `CASE ${formatExpr(operand)}`;
    const arms = whens.map(
      ({ when, result }) => ` WHEN ${formatExpr(when)} THEN ${formatExpr(result)}`,
    );
    const tail = otherwise === undefined ? '' : ` ELSE ${formatExpr(otherwise)}`;
    return `${head}${arms.join('')}${tail} END`;
  },
  Cast: ({ operand, type }) => `CAST(${formatExpr(operand)} AS ${type})`,
  Subquery: ({ text }) => text,
};

export function formatExpr(expr: Expr): string {
  return (FORMATTERS[expr.kind] as (node: Expr) => string)(expr);
}

/** In parentheses unless it is one thing: always right, without knowing precedences. */
function nested(expr: Expr): string {
  switch (expr.kind) {
    case 'Unary':
    case 'Binary':
    case 'In':
    case 'Between':
    case 'Like':
    case 'Regexp':
    case 'Is':
      return `(${formatExpr(expr)})`;
    case 'Null':
    case 'Bool':
    case 'Number':
    case 'String':
    case 'Bytes':
    case 'Default':
    case 'Column':
    case 'UserVar':
    case 'SystemVar':
    case 'Call':
    case 'Case':
    case 'Cast':
    case 'Subquery':
      return formatExpr(expr);
  }
}

/** Reserved words that are functions all the same. */
const RESERVED_CALLS = new Set([
  'CURRENT_TIMESTAMP',
  'CURRENT_USER',
  'DATABASE',
  'IF',
  'MOD',
  'REPLACE',
  'SCHEMA',
]);

function callName(name: string): string {
  return RESERVED_CALLS.has(name.toUpperCase()) ? name : nameText(name);
}

export function userVarText(name: string): string {
  return /^[A-Za-z0-9_$]+$/.test(name) ? `@${name}` : `@\`${name.replaceAll('`', '``')}\``;
}

/** `sql_mode`, `cache.size`: dots separate names. */
export function variableText(name: string): string {
  return name.split('.').map(nameText).join('.');
}
