/** Arbitrary names, expressions and clauses, for the round trip. */
import fc, { type Arbitrary } from 'fast-check';
import type { Expr, JobRef, Properties, ShowFilter, TableName } from '../../parser/statement.ts';

/** Reserved words, quotes, dots, digits and everything else a name may hold. */
export const name: Arbitrary<string> = fc.oneof(
  fc.constantFrom('a', 'tbl', 'Group', 'select', 'FROM', 'status', 'warm', 'job', '1a', 'a b', 'é'),
  fc.constantFrom(
    'a`b',
    'a.b',
    'on',
    'partition',
    'set',
    'key',
    'values',
    'read',
    '$x',
    '日本',
    '\\',
  ),
  fc
    .string({ minLength: 1, maxLength: 12, unit: 'grapheme' })
    .filter((text) => !text.includes('\0')),
);

export const text: Arbitrary<string> = fc.oneof(
  fc.constantFrom(
    '',
    "it's",
    'a\\b',
    '\\%',
    '%\\_',
    'x\ny',
    '\r\0\u001a',
    '"',
    '""',
    "''",
    '/* */',
  ),
  fc.string({ maxLength: 20, unit: 'binary' }),
);

export const optional = <T>(arbitrary: Arbitrary<T>): Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined, freq: 2 });

export const some = <T>(arbitrary: Arbitrary<T>): Arbitrary<T[]> =>
  fc.array(arbitrary, { minLength: 1, maxLength: 3 });

export const few = <T>(arbitrary: Arbitrary<T>): Arbitrary<T[]> =>
  fc.array(arbitrary, { maxLength: 3 });

export const id: Arbitrary<number> = fc.nat();
export const table: Arbitrary<TableName> = fc.record({ db: optional(name), name });

const property = fc.record({ key: text, value: text, at: fc.constant(0) });
export const someProperties: Arbitrary<Properties> = some(property);
export const properties: Arbitrary<Properties> = few(property);

const word = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,8}$/);

const leaf: Arbitrary<Expr> = fc.oneof(
  fc.constantFrom<Expr>(
    { kind: 'Null' },
    { kind: 'Bool', value: true },
    { kind: 'Bool', value: false },
    { kind: 'Default' },
    { kind: 'Call', name: 'now', args: [], distinct: false, star: false },
    { kind: 'Call', name: 'COUNT', args: [], distinct: false, star: true },
    { kind: 'Call', name: 'CURRENT_TIMESTAMP', args: [], distinct: false, star: false },
  ),
  fc
    .constantFrom('0', '17', '1.50', '.5', '1e3', '184467440737095516150')
    .map((digits): Expr => ({ kind: 'Number', text: digits })),
  text.map((value): Expr => ({ kind: 'String', value })),
  fc.stringMatching(/^([0-9A-F]{2}){0,4}$/).map((hex): Expr => ({ kind: 'Bytes', hex })),
  fc.array(name, { minLength: 1, maxLength: 3 }).map((path): Expr => ({ kind: 'Column', path })),
  name.map((user): Expr => ({ kind: 'UserVar', name: user })),
  fc.record({
    kind: fc.constant('SystemVar' as const),
    scope: fc.constantFrom('GLOBAL' as const, 'SESSION' as const, undefined),
    name: word,
  }),
);

const BINARY = ['OR', 'XOR', 'AND', '=', '<=>', '<>', '<', '<=', '>', '>='] as const;
const ARITHMETIC = ['|', '&', '<<', '>>', '+', '-', '*', '/', 'DIV', '%', '^'] as const;

const tree = fc.letrec<{ expr: Expr }>((tie) => {
  const expr = tie('expr');
  const negated = fc.boolean();
  const record = <T extends Expr>(fields: { [K in keyof T]: Arbitrary<T[K]> }): Arbitrary<Expr> =>
    fc.record(fields) as unknown as Arbitrary<Expr>;
  const kind = <K extends Expr['kind']>(value: K): Arbitrary<K> => fc.constant(value);
  return {
    expr: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      leaf,
      record({
        kind: kind('Unary'),
        op: fc.constantFrom('-', '+', '~', 'NOT'),
        operand: expr,
      }),
      record({
        kind: kind('Binary'),
        op: fc.constantFrom(...BINARY, ...ARITHMETIC),
        left: expr,
        right: expr,
      }),
      record({ kind: kind('In'), operand: expr, list: some(expr), negated }),
      record({ kind: kind('Between'), operand: expr, low: expr, high: expr, negated }),
      record({
        kind: kind('Like'),
        operand: expr,
        pattern: expr,
        escape: optional(text),
        negated,
      }),
      record({ kind: kind('Regexp'), operand: expr, pattern: expr, negated }),
      record({
        kind: kind('Is'),
        operand: expr,
        what: fc.constantFrom('NULL', 'TRUE', 'FALSE', 'UNKNOWN'),
        negated,
      }),
      record({
        kind: kind('Call'),
        name: fc.constantFrom('f', 'IF', 'replace', 'Concat', 'my fn'),
        args: few(expr),
        distinct: fc.constant(false),
        star: fc.constant(false),
      }),
      record({
        kind: kind('Case'),
        operand: optional(expr),
        whens: some(fc.record({ when: expr, result: expr })),
        otherwise: optional(expr),
      }),
      record({
        kind: kind('Cast'),
        operand: expr,
        type: fc.constantFrom('SIGNED', 'DECIMAL(10,2)', 'CHAR(5)', 'UNSIGNED INTEGER'),
      }),
    ),
  };
});

export const expr: Arbitrary<Expr> = tree.expr;

const big = fc.bigInt({ min: 0n, max: 18_446_744_073_709_551_615n });
export const limit = optional(fc.record({ count: big, offset: big }));

export const filter: Arbitrary<ShowFilter> = fc
  .record({
    like: optional(text),
    where: optional(expr),
    orderBy: few(fc.record({ expr, descending: fc.boolean() })),
    limit,
  })
  .map((one) => (one.where === undefined ? one : { ...one, like: undefined }));

export const job: Arbitrary<JobRef> = fc.oneof(
  fc.record({ kind: fc.constant('id' as const), id }),
  fc.record({ kind: fc.constant('where' as const), where: expr }),
  fc.constant({ kind: 'none' as const }),
);
