/** Conditions of SHOW statements, compiled to closures over rows. */
import { SqlError } from '../base/errors.ts';
import { nearest } from '../base/near_miss.ts';
import type { ResultColumn, SqlRow, SqlValue } from '../base/values.ts';
import type { BinaryOp, Expr, ExprOf } from '../parser/statement.ts';
import { likeMatcher, regexpMatcher } from './select/patterns.ts';

/** NULL is null; TRUE and FALSE are 1 and 0. */
export type Cell = (row: SqlRow) => SqlValue;

export interface ConditionOptions {
  /** `@x` and `@@x` in conditions; without it they are NULL. */
  readonly variable?: (expr: ExprOf<'UserVar'> | ExprOf<'SystemVar'>) => SqlValue;
}

/** Both not NULL. Text against text without case; as soon as one is a number, as numbers. */
export function compareValues(a: Exclude<SqlValue, null>, b: Exclude<SqlValue, null>): number {
  if (typeof a === 'string' && typeof b === 'string') {
    const [x, y] = [a.toLowerCase(), b.toLowerCase()];
    return x < y ? -1 : x > y ? 1 : 0;
  }
  if (typeof a === 'bigint' && typeof b === 'bigint') return a < b ? -1 : a > b ? 1 : 0;
  const [x, y] = [numeric(a), numeric(b)];
  return x < y ? -1 : x > y ? 1 : 0;
}

/** MySQL reads the number a text begins with, and 0 when there is none. */
function numeric(value: Exclude<SqlValue, null>): number {
  if (typeof value !== 'string') return Number(value);
  const number = Number.parseFloat(value);
  return Number.isNaN(number) ? 0 : number;
}

function truth(value: SqlValue): boolean | null {
  return value === null ? null : numeric(value) !== 0;
}

export function isTrue(value: SqlValue): boolean {
  return truth(value) === true;
}

function bool(value: boolean | null): SqlValue {
  return value === null ? null : value ? 1 : 0;
}

/** A whole result stays exact. */
function arithmetic(op: BinaryOp, a: SqlValue, b: SqlValue): SqlValue {
  if (a === null || b === null) return null;
  const [x, y] = [numeric(a), numeric(b)];
  switch (op) {
    case '+':
      return x + y;
    case '-':
      return x - y;
    case '*':
      return x * y;
    case '/':
      return y === 0 ? null : x / y;
    case 'DIV':
      return y === 0 ? null : Math.trunc(x / y);
    case '%':
      return y === 0 ? null : x % y;
    case '|':
      return BigInt.asUintN(64, BigInt(Math.round(x)) | BigInt(Math.round(y)));
    case '&':
      return BigInt.asUintN(64, BigInt(Math.round(x)) & BigInt(Math.round(y)));
    case '^':
      return BigInt.asUintN(64, BigInt(Math.round(x)) ^ BigInt(Math.round(y)));
    case '<<':
      return BigInt.asUintN(64, BigInt(Math.round(x)) << BigInt(Math.round(y) & 63));
    case '>>':
      return BigInt.asUintN(64, BigInt(Math.round(x))) >> BigInt(Math.round(y) & 63);
    case 'OR':
    case 'XOR':
    case 'AND':
    case '=':
    case '<=>':
    case '<>':
    case '<':
    case '<=':
    case '>':
    case '>=':
      throw new TypeError(`${op} is no arithmetic`);
  }
}

type Comparison = (order: number) => boolean;

const COMPARISONS: Readonly<Partial<Record<BinaryOp, Comparison>>> = {
  '=': (order) => order === 0,
  '<>': (order) => order !== 0,
  '<': (order) => order < 0,
  '<=': (order) => order <= 0,
  '>': (order) => order > 0,
  '>=': (order) => order >= 0,
};

const LOGIC: Readonly<Partial<Record<BinaryOp, (a: Cell, b: Cell) => Cell>>> = {
  AND: (a, b) => (row) => {
    const x = truth(a(row));
    if (x === false) return 0;
    const y = truth(b(row));
    return bool(y === false ? false : x === null || y === null ? null : true);
  },
  OR: (a, b) => (row) => {
    const x = truth(a(row));
    if (x === true) return 1;
    const y = truth(b(row));
    return bool(y === true ? true : x === null || y === null ? null : false);
  },
  XOR: (a, b) => (row) => {
    const [x, y] = [truth(a(row)), truth(b(row))];
    return bool(x === null || y === null ? null : x !== y);
  },
  '<=>': (a, b) => (row) => {
    const [x, y] = [a(row), b(row)];
    return bool(x === null || y === null ? x === y : compareValues(x, y) === 0);
  },
};

const FUNCTIONS: Readonly<Record<string, (args: readonly SqlValue[]) => SqlValue>> = {
  LOWER: ([value = null]) => (value === null ? null : String(value).toLowerCase()),
  UPPER: ([value = null]) => (value === null ? null : String(value).toUpperCase()),
  LENGTH: ([value = null]) => (value === null ? null : Buffer.byteLength(String(value))),
  CHAR_LENGTH: ([value = null]) => (value === null ? null : Array.from(String(value)).length),
  ABS: ([value = null]) => (value === null ? null : Math.abs(numeric(value))),
  TRIM: ([value = null]) => (value === null ? null : String(value).trim()),
  IFNULL: ([value = null, other = null]) => value ?? other,
  COALESCE: (values) => values.find((value) => value !== null) ?? null,
  CONCAT: (values) => (values.includes(null) ? null : values.map(String).join('')),
  IF: ([condition = null, yes = null, no = null]) => (truth(condition) === true ? yes : no),
  ISNULL: ([value = null]) => bool(value === null),
};

/**
 * Words, places, classes and alternatives of them take as long as text and pattern together are.
 * Anything that repeats or nests can run for ever, and this runs on the main thread.
 */
const QUICK_PATTERN = /^[^*+?{}()\\]{1,1000}$/;

function quickPattern(pattern: string): string {
  if (QUICK_PATTERN.test(pattern)) return pattern;
  throw new SqlError(
    'NOT_SUPPORTED',
    { what: 'REGEXP with repetition or groups in SHOW' },
    { hint: 'use LIKE, or SELECT from information_schema' },
  );
}

export class RowConditions {
  readonly #columns: readonly ResultColumn[];
  readonly #options: ConditionOptions;
  readonly #clause: string;

  constructor(columns: readonly ResultColumn[], options: ConditionOptions, clause: string) {
    this.#columns = columns;
    this.#options = options;
    this.#clause = clause;
  }

  /** ORDER BY 2 means the second column. */
  compileOrder(expr: Expr): Cell {
    if (expr.kind !== 'Number' || !/^\d+$/.test(expr.text)) return this.compile(expr);
    const place = Number(expr.text) - 1;
    if (place < 0 || place >= this.#columns.length) throw this.#unknown(expr.text);
    return (row) => row[place] ?? null;
  }

  compile(expr: Expr): Cell {
    switch (expr.kind) {
      case 'Null':
        return () => null;
      case 'Bool':
        return constant(expr.value ? 1 : 0);
      case 'Number':
        return constant(/^\d+$/.test(expr.text) ? BigInt(expr.text) : Number(expr.text));
      case 'String':
        return constant(expr.value);
      case 'Bytes':
        return constant(Buffer.from(expr.hex, 'hex').toString('utf8'));
      case 'Column':
        return this.#column(expr);
      case 'UserVar':
      case 'SystemVar':
        return constant(this.#options.variable?.(expr) ?? null);
      case 'Unary':
        return this.#unary(expr);
      case 'Binary':
        return this.#binary(expr);
      case 'In':
        return this.#in(expr);
      case 'Between':
        return this.#between(expr);
      case 'Like':
        return this.#like(expr);
      case 'Regexp':
        return this.#regexp(expr);
      case 'Is':
        return this.#is(expr);
      case 'Call':
        return this.#call(expr);
      case 'Case':
        return this.#case(expr);
      case 'Cast':
        return this.#cast(expr);
      case 'Default':
      case 'Subquery':
        throw new SqlError('NOT_SUPPORTED', { what: `${expr.kind} in ${this.#clause} of SHOW` });
    }
  }

  #column(expr: ExprOf<'Column'>): Cell {
    const name = expr.path.at(-1) ?? '';
    const wanted = name.toLowerCase();
    const place = this.#columns.findIndex((column) => column.name.toLowerCase() === wanted);
    if (place < 0) {
      // `SHOW WARM UP JOB WHERE ID = 1` is Doris's own spelling of JobId.
      const job = wanted === 'id' ? this.#columns.findIndex(({ name }) => name === 'JobId') : -1;
      if (job < 0) throw this.#unknown(expr.path.join('.'));
      return (row) => row[job] ?? null;
    }
    return (row) => row[place] ?? null;
  }

  #unknown(name: string): SqlError {
    const names = this.#columns.map((column) => column.name);
    const near = nearest(name, names);
    const meant = near === undefined ? '' : `did you mean '${near}'? `;
    const hint = `${meant}columns: ${names.join(', ')}`;
    return new SqlError('UNKNOWN_COLUMN', { name, where: this.#clause }, { hint });
  }

  #unary({ op, operand }: ExprOf<'Unary'>): Cell {
    const cell = this.compile(operand);
    switch (op) {
      case 'NOT':
        return (row) => {
          const value = truth(cell(row));
          return bool(value === null ? null : !value);
        };
      case '-':
        return (row) => {
          const value = cell(row);
          if (value === null) return null;
          return typeof value === 'bigint' ? -value : -numeric(value);
        };
      case '+':
        return cell;
      case '~':
        return (row) => {
          const value = cell(row);
          return value === null ? null : BigInt.asUintN(64, ~BigInt(Math.round(numeric(value))));
        };
    }
  }

  #binary({ op, left, right }: ExprOf<'Binary'>): Cell {
    const [a, b] = [this.compile(left), this.compile(right)];
    const comparison = COMPARISONS[op];
    if (comparison !== undefined) {
      return (row) => {
        const [x, y] = [a(row), b(row)];
        return x === null || y === null ? null : bool(comparison(compareValues(x, y)));
      };
    }
    const logic = LOGIC[op];
    if (logic !== undefined) return logic(a, b);
    return (row) => arithmetic(op, a(row), b(row));
  }

  #in({ operand, list, negated }: ExprOf<'In'>): Cell {
    const cell = this.compile(operand);
    const items = list.map((item) => this.compile(item));
    return (row) => {
      const value = cell(row);
      if (value === null) return null;
      let sawNull = false;
      for (const item of items) {
        const other = item(row);
        if (other === null) sawNull = true;
        else if (compareValues(value, other) === 0) return negated ? 0 : 1;
      }
      return sawNull ? null : negated ? 1 : 0;
    };
  }

  #between({ operand, low, high, negated }: ExprOf<'Between'>): Cell {
    const [cell, from, to] = [this.compile(operand), this.compile(low), this.compile(high)];
    return (row) => {
      const [value, a, b] = [cell(row), from(row), to(row)];
      if (value === null) return null;
      const above = a === null ? null : compareValues(value, a) >= 0;
      const below = b === null ? null : compareValues(value, b) <= 0;
      if (above === false || below === false) return negated ? 1 : 0;
      return above === null || below === null ? null : negated ? 0 : 1;
    };
  }

  #like({ operand, pattern, escape, negated }: ExprOf<'Like'>): Cell {
    const [cell, wanted] = [this.compile(operand), this.compile(pattern)];
    return (row) => {
      const [value, text] = [cell(row), wanted(row)];
      if (value === null || text === null) return null;
      return bool(likeMatcher(String(text), escape, true)(String(value)) !== negated);
    };
  }

  #regexp({ operand, pattern, negated }: ExprOf<'Regexp'>): Cell {
    const [cell, wanted] = [this.compile(operand), this.compile(pattern)];
    return (row) => {
      const [value, text] = [cell(row), wanted(row)];
      if (value === null || text === null) return null;
      return bool(regexpMatcher(quickPattern(String(text)))(String(value)) !== negated);
    };
  }

  #is({ operand, what, negated }: ExprOf<'Is'>): Cell {
    const cell = this.compile(operand);
    const wanted = what === 'TRUE' ? true : what === 'FALSE' ? false : null;
    return (row) => bool((truth(cell(row)) === wanted) !== negated);
  }

  #call({ name, args }: ExprOf<'Call'>): Cell {
    const key = name.toUpperCase();
    const fn = Object.hasOwn(FUNCTIONS, key) ? FUNCTIONS[key] : undefined;
    if (fn === undefined) throw new SqlError('UNKNOWN_FUNCTION', { name });
    const cells = args.map((arg) => this.compile(arg));
    return (row) => fn(cells.map((cell) => cell(row)));
  }

  #case({ operand, whens, otherwise }: ExprOf<'Case'>): Cell {
    const subject = operand === undefined ? undefined : this.compile(operand);
    const branches = whens.map(
      ({ when, result }) => [this.compile(when), this.compile(result)] as const,
    );
    const last = otherwise === undefined ? constant(null) : this.compile(otherwise);
    return (row) => {
      const value = subject?.(row) ?? null;
      for (const [when, then] of branches) {
        const test = when(row);
        const met =
          subject === undefined
            ? truth(test) === true
            : value !== null && test !== null && compareValues(value, test) === 0;
        if (met) return then(row);
      }
      return last(row);
    };
  }

  #cast({ operand, type }: ExprOf<'Cast'>): Cell {
    const cell = this.compile(operand);
    const whole = /^(UN)?SIGNED/.test(type);
    const decimal = /^(DECIMAL|DOUBLE|FLOAT|REAL)/.test(type);
    return (row) => {
      const value = cell(row);
      if (value === null) return null;
      if (whole) return typeof value === 'bigint' ? value : BigInt(Math.round(numeric(value)));
      return decimal ? numeric(value) : String(value);
    };
  }
}

function constant(value: SqlValue): Cell {
  return () => value;
}
