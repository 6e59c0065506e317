/**
 * Expressions outside SELECT: WHERE of SHOW, values of INSERT and SET, defaults of columns.
 * Literals keep the text as written, so that nothing is lost before the column type is known.
 */
export type Expr =
  | { readonly kind: 'Null' }
  | { readonly kind: 'Bool'; readonly value: boolean }
  /** `text` is digits as written (`1`, `1.50`, `1e3`), without a sign. */
  | { readonly kind: 'Number'; readonly text: string }
  | { readonly kind: 'String'; readonly value: string }
  /** x'..', 0x.. and b'..': `hex` is an even number of upper-case hex digits. */
  | { readonly kind: 'Bytes'; readonly hex: string }
  /** DEFAULT as a value of INSERT or SET. */
  | { readonly kind: 'Default' }
  /** One to three names: column, table.column, database.table.column. */
  | { readonly kind: 'Column'; readonly path: readonly string[] }
  | { readonly kind: 'UserVar'; readonly name: string }
  | {
      readonly kind: 'SystemVar';
      /** undefined: no scope was written. */
      readonly scope: VariableScope | undefined;
      readonly name: string;
    }
  | { readonly kind: 'Unary'; readonly op: UnaryOp; readonly operand: Expr }
  | {
      readonly kind: 'Binary';
      readonly op: BinaryOp;
      readonly left: Expr;
      readonly right: Expr;
    }
  | {
      readonly kind: 'In';
      readonly operand: Expr;
      readonly list: readonly Expr[];
      readonly negated: boolean;
    }
  | {
      readonly kind: 'Between';
      readonly operand: Expr;
      readonly low: Expr;
      readonly high: Expr;
      readonly negated: boolean;
    }
  | {
      readonly kind: 'Like';
      readonly operand: Expr;
      readonly pattern: Expr;
      /** Text after ESCAPE; undefined: the backslash. */
      readonly escape: string | undefined;
      readonly negated: boolean;
    }
  | {
      readonly kind: 'Regexp';
      readonly operand: Expr;
      readonly pattern: Expr;
      readonly negated: boolean;
    }
  | {
      readonly kind: 'Is';
      readonly operand: Expr;
      readonly what: 'NULL' | 'TRUE' | 'FALSE' | 'UNKNOWN';
      readonly negated: boolean;
    }
  /** `name` as written; `star` is COUNT(*). */
  | {
      readonly kind: 'Call';
      readonly name: string;
      readonly args: readonly Expr[];
      readonly distinct: boolean;
      readonly star: boolean;
    }
  | {
      readonly kind: 'Case';
      readonly operand: Expr | undefined;
      readonly whens: readonly { readonly when: Expr; readonly result: Expr }[];
      readonly otherwise: Expr | undefined;
    }
  /** `type` in upper case, e.g. `SIGNED`, `DECIMAL(10,2)`, `CHAR(5)`. */
  | { readonly kind: 'Cast'; readonly operand: Expr; readonly type: string }
  /** A query with its parentheses, in SET and DO. */
  | { readonly kind: 'Subquery'; readonly text: string };

export type ExprKind = Expr['kind'];
export type ExprOf<Kind extends ExprKind> = Extract<Expr, { readonly kind: Kind }>;

export type VariableScope = 'GLOBAL' | 'SESSION';

export type UnaryOp = '-' | '+' | '~' | 'NOT';

export type BinaryOp =
  | 'OR'
  | 'XOR'
  | 'AND'
  | '='
  | '<=>'
  | '<>'
  | '<'
  | '<='
  | '>'
  | '>='
  | '|'
  | '&'
  | '<<'
  | '>>'
  | '+'
  | '-'
  | '*'
  | '/'
  | 'DIV'
  | '%'
  | '^';
