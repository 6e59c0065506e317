/**
 * Expressions. Three rules instead of one per precedence level: a ladder of ten rules costs ten
 * calls for every literal; here a flat list of operators is folded by their precedence.
 */
import { EmbeddedActionsParser, type IOrAlt, type IToken } from 'chevrotain';
import { SqlError } from '../../base/errors.ts';
import { bitsToHex, hexDigits, nameValue, stringValue, userVarName } from '../literals.ts';
import type { BinaryOp, Expr, ExprOf, UnaryOp, VariableScope } from '../nodes/expr.ts';
import { ALL_TOKENS, K, Name, T } from '../tokens.ts';

/** Most operators in one statement or INSERT row: bounds the depth of left-deep trees. */
export const OPERATORS_MAX = 4000;

const PRECEDENCE: Readonly<Record<BinaryOp, number>> = {
  OR: 1,
  XOR: 2,
  AND: 3,
  '=': 4,
  '<=>': 4,
  '<>': 4,
  '<': 4,
  '<=': 4,
  '>': 4,
  '>=': 4,
  '|': 5,
  '&': 6,
  '<<': 7,
  '>>': 7,
  '+': 8,
  '-': 8,
  '*': 9,
  '/': 9,
  DIV: 9,
  '%': 9,
  '^': 10,
};

const NULL: Expr = Object.freeze({ kind: 'Null' });
const TRUE: Expr = Object.freeze({ kind: 'Bool', value: true });
const FALSE: Expr = Object.freeze({ kind: 'Bool', value: false });
const DEFAULT: Expr = Object.freeze({ kind: 'Default' });
/** Literals that the fast path of INSERT shares. */
export const CONSTANTS = { NULL, TRUE, FALSE, DEFAULT } as const;

/** Gives the alternatives of an OR their common type. */
export function alts<Node>(list: IOrAlt<Node>[]): IOrAlt<Node>[] {
  return list;
}

export class ExprRules extends EmbeddedActionsParser {
  #operators = 0;

  /** `validate`: Chevrotain checks the grammar for ambiguities and the like; throws if it finds any. */
  constructor(validate = false) {
    super(ALL_TOKENS, {
      recoveryEnabled: false,
      nodeLocationTracking: 'none',
      // Where one token is not enough the rule says so: two everywhere took 35 ms more to analyse.
      maxLookahead: 1,
      // The test validates the grammar; at every start it would cost more than the analysis.
      skipValidations: !validate,
    });
  }

  /** Before each statement. */
  protected resetCounts(): void {
    this.#operators = 0;
  }

  #count(): void {
    this.#operators += 1;
    if (this.#operators > OPERATORS_MAX && !this.RECORDING_PHASE) {
      throw new SqlError('STATEMENT_TOO_COMPLEX', { limit: OPERATORS_MAX, what: 'operators' });
    }
  }

  expr = this.RULE('expr', (): Expr => {
    const operands = [this.SUBRULE(this.negation)];
    const ops: BinaryOp[] = [];
    this.MANY(() => {
      ops.push(this.SUBRULE(this.logicOp));
      operands.push(this.SUBRULE2(this.negation));
    });
    return ops.length === 0 ? (operands[0] as Expr) : fold(operands, ops);
  });

  logicOp = this.RULE('logicOp', (): BinaryOp => {
    this.#count();
    return this.OR(
      alts<BinaryOp>([
        { ALT: () => (this.CONSUME(K.AND), 'AND') },
        { ALT: () => (this.CONSUME(T.AmpAmp), 'AND') },
        { ALT: () => (this.CONSUME(K.OR), 'OR') },
        { ALT: () => (this.CONSUME(T.PipePipe), 'OR') },
        { ALT: () => (this.CONSUME(K.XOR), 'XOR') },
      ]),
    );
  });

  negation = this.RULE('negation', (): Expr => {
    let negations = 0;
    this.MANY(() => {
      this.CONSUME(K.NOT);
      this.#count();
      negations += 1;
    });
    let expr = this.SUBRULE(this.predicate);
    if (this.RECORDING_PHASE) return expr;
    for (; negations > 0; negations -= 1) expr = { kind: 'Unary', op: 'NOT', operand: expr };
    return expr;
  });

  predicate = this.RULE('predicate', (): Expr => {
    let left = this.SUBRULE(this.arith);
    this.MANY(() => {
      left = this.SUBRULE(this.comparison, { ARGS: [left] });
    });
    return left;
  });

  comparison = this.RULE('comparison', (left: Expr): Expr => {
    this.#count();
    return this.OR([
      {
        ALT: () => {
          const op = this.SUBRULE(this.compareOp);
          const right = this.SUBRULE(this.arith);
          return { kind: 'Binary', op, left, right } as const;
        },
      },
      { ALT: () => this.SUBRULE(this.isTest, { ARGS: [left] }) },
      { ALT: () => this.SUBRULE(this.match, { ARGS: [left] }) },
    ]);
  });

  compareOp = this.RULE('compareOp', (): BinaryOp =>
    this.OR(
      alts<BinaryOp>([
        { ALT: () => (this.CONSUME(T.Eq), '=') },
        { ALT: () => (this.CONSUME(T.NullSafeEq), '<=>') },
        { ALT: () => (this.CONSUME(T.Ne), '<>') },
        { ALT: () => (this.CONSUME(T.Lt), '<') },
        { ALT: () => (this.CONSUME(T.Le), '<=') },
        { ALT: () => (this.CONSUME(T.Gt), '>') },
        { ALT: () => (this.CONSUME(T.Ge), '>=') },
      ]),
    ),
  );

  isTest = this.RULE('isTest', (operand: Expr): Expr => {
    this.CONSUME(K.IS);
    const negated = this.OPTION(() => this.CONSUME(K.NOT)) !== undefined;
    const what = this.OR([
      { ALT: () => (this.CONSUME(K.NULL), 'NULL' as const) },
      { ALT: () => (this.CONSUME(K.TRUE), 'TRUE' as const) },
      { ALT: () => (this.CONSUME(K.FALSE), 'FALSE' as const) },
      { ALT: () => (this.CONSUME(K.UNKNOWN), 'UNKNOWN' as const) },
    ]);
    return { kind: 'Is', operand, what, negated };
  });

  /** `[NOT] IN | LIKE | REGEXP | BETWEEN`. */
  match = this.RULE('match', (operand: Expr): Expr => {
    const negated = this.OPTION(() => this.CONSUME(K.NOT)) !== undefined;
    return this.OR([
      {
        ALT: (): Expr => {
          this.CONSUME(K.IN);
          this.CONSUME(T.LParen);
          const list = this.SUBRULE(this.exprList);
          this.CONSUME(T.RParen);
          return { kind: 'In', operand, list, negated };
        },
      },
      {
        ALT: (): Expr => {
          this.CONSUME(K.LIKE);
          const pattern = this.SUBRULE(this.arith);
          const escape = this.OPTION2(() => {
            this.CONSUME(K.ESCAPE);
            return this.SUBRULE(this.stringLiteral);
          });
          return { kind: 'Like', operand, pattern, escape, negated };
        },
      },
      {
        ALT: (): Expr => {
          this.OR2([{ ALT: () => this.CONSUME(K.REGEXP) }, { ALT: () => this.CONSUME(K.RLIKE) }]);
          const pattern = this.SUBRULE2(this.arith);
          return { kind: 'Regexp', operand, pattern, negated };
        },
      },
      {
        ALT: (): Expr => {
          this.CONSUME(K.BETWEEN);
          const low = this.SUBRULE3(this.arith);
          this.CONSUME(K.AND);
          const high = this.SUBRULE4(this.arith);
          return { kind: 'Between', operand, low, high, negated };
        },
      },
    ]);
  });

  exprList = this.RULE('exprList', (): Expr[] => {
    const list: Expr[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => {
        list.push(this.SUBRULE(this.expr));
      },
    });
    return list;
  });

  arith = this.RULE('arith', (): Expr => {
    const first = this.SUBRULE(this.unary);
    let operands: Expr[] | undefined;
    const ops: BinaryOp[] = [];
    this.MANY(() => {
      operands ??= [first];
      ops.push(this.SUBRULE(this.arithOp));
      operands.push(this.SUBRULE2(this.unary));
    });
    return operands === undefined ? first : fold(operands, ops);
  });

  #arithOps: IOrAlt<BinaryOp>[] | undefined;
  arithOp = this.RULE('arithOp', (): BinaryOp => {
    this.#count();
    return this.OR(
      (this.#arithOps ??= [
        { ALT: () => (this.CONSUME(T.Plus), '+') },
        { ALT: () => (this.CONSUME(T.Minus), '-') },
        { ALT: () => (this.CONSUME(T.Star), '*') },
        { ALT: () => (this.CONSUME(T.Slash), '/') },
        { ALT: () => (this.CONSUME(K.DIV), 'DIV') },
        { ALT: () => (this.CONSUME(T.Percent), '%') },
        { ALT: () => (this.CONSUME(K.MOD), '%') },
        { ALT: () => (this.CONSUME(T.Pipe), '|') },
        { ALT: () => (this.CONSUME(T.Amp), '&') },
        { ALT: () => (this.CONSUME(T.Shl), '<<') },
        { ALT: () => (this.CONSUME(T.Shr), '>>') },
        { ALT: () => (this.CONSUME(T.Caret), '^') },
      ]),
    );
  });

  #unaryOps: IOrAlt<UnaryOp>[] | undefined;
  unary = this.RULE('unary', (): Expr => {
    let ops: UnaryOp[] | undefined;
    this.MANY(() => {
      this.#count();
      const op = this.OR(
        (this.#unaryOps ??= [
          { ALT: () => (this.CONSUME(T.Minus), '-') },
          { ALT: () => (this.CONSUME(T.Plus), '+') },
          { ALT: () => (this.CONSUME(T.Tilde), '~') },
          { ALT: () => (this.CONSUME(T.Bang), 'NOT') },
        ]),
      );
      ops ??= [];
      ops.push(op);
    });
    let operand = this.SUBRULE(this.primary);
    if (this.RECORDING_PHASE || ops === undefined) return operand;
    for (const op of ops.toReversed()) operand = { kind: 'Unary', op, operand };
    return operand;
  });

  #primaries: IOrAlt<Expr>[] | undefined;
  primary = this.RULE('primary', (): Expr =>
    this.OR(
      (this.#primaries ??= [
        { ALT: () => number(this.CONSUME(T.Integer)) },
        { ALT: () => number(this.CONSUME(T.Decimal)) },
        { ALT: () => ({ kind: 'String', value: this.SUBRULE(this.stringLiteral) }) },
        { ALT: () => (this.CONSUME(K.NULL), NULL) },
        { ALT: () => (this.CONSUME(K.TRUE), TRUE) },
        { ALT: () => (this.CONSUME(K.FALSE), FALSE) },
        { ALT: () => (this.CONSUME(K.DEFAULT), DEFAULT) },
        { ALT: () => ({ kind: 'Bytes', hex: this.#hex(this.CONSUME(T.Hex)) }) },
        { ALT: () => ({ kind: 'Bytes', hex: this.#bits(this.CONSUME(T.Bits)) }) },
        { ALT: () => ({ kind: 'UserVar', name: userVarName(this.CONSUME(T.UserVar).image) }) },
        { ALT: () => this.SUBRULE(this.systemVar) },
        { ALT: () => ({ kind: 'Subquery', text: this.CONSUME(T.Subquery).image }) },
        { ALT: () => this.SUBRULE(this.nameOrCall) },
        { ALT: () => this.SUBRULE(this.reservedCall) },
        { ALT: () => this.SUBRULE(this.caseExpr) },
        { ALT: () => this.SUBRULE(this.cast) },
        {
          ALT: () => {
            this.CONSUME(T.LParen);
            const inner = this.SUBRULE(this.expr);
            this.CONSUME(T.RParen);
            return inner;
          },
        },
      ]),
    ),
  );

  #hex(token: IToken): string {
    return this.RECORDING_PHASE ? '' : hexDigits(token.image);
  }

  #bits(token: IToken): string {
    return this.RECORDING_PHASE ? '' : bitsToHex(token.image);
  }

  /** One string, or several that stand side by side. */
  stringLiteral = this.RULE('stringLiteral', (): string => {
    let value = stringValue(this.CONSUME(T.String).image);
    this.MANY(() => {
      value += stringValue(this.CONSUME2(T.String).image);
    });
    return value;
  });

  systemVar = this.RULE('systemVar', (): Expr => {
    this.CONSUME(T.AtAt);
    const scope = this.OPTION({
      GATE: () => this.LA(2).tokenType === T.Dot,
      DEF: () => {
        const which = this.SUBRULE(this.variableScope);
        this.CONSUME(T.Dot);
        return which;
      },
    });
    const name = this.SUBRULE(this.variableName);
    return { kind: 'SystemVar', scope, name };
  });

  variableScope = this.RULE('variableScope', (): VariableScope =>
    this.OR(
      alts<VariableScope>([
        { ALT: () => (this.CONSUME(K.GLOBAL), 'GLOBAL') },
        { ALT: () => (this.CONSUME(K.SESSION), 'SESSION') },
        { ALT: () => (this.CONSUME(K.LOCAL), 'SESSION') },
      ]),
    ),
  );

  /** `name` or `cache.name`. */
  variableName = this.RULE('variableName', (): string => {
    let name = nameValue(this.CONSUME(Name).image);
    this.MANY(() => {
      this.CONSUME(T.Dot);
      name += `.${nameValue(this.CONSUME2(Name).image)}`;
    });
    return name;
  });

  nameOrCall = this.RULE('nameOrCall', (): Expr => {
    const name = nameValue(this.CONSUME(Name).image);
    const args = this.OPTION(() => this.SUBRULE(this.callArgs));
    if (args !== undefined && !this.RECORDING_PHASE) return { kind: 'Call', name, ...args };
    const path = [name];
    this.MANY({
      GATE: () => path.length < 3,
      DEF: () => {
        this.CONSUME(T.Dot);
        path.push(nameValue(this.CONSUME2(Name).image));
      },
    });
    return { kind: 'Column', path };
  });

  /** Functions whose names are reserved words. */
  reservedCall = this.RULE('reservedCall', (): Expr =>
    this.OR([
      {
        ALT: (): Expr => {
          const { image: name } = this.OR2([
            { ALT: () => this.CONSUME(K.CURRENT_TIMESTAMP) },
            { ALT: () => this.CONSUME(K.CURRENT_USER) },
          ]);
          const args = this.OPTION(() => this.SUBRULE(this.callArgs));
          return { kind: 'Call', name, ...(args ?? NO_ARGS) };
        },
      },
      {
        ALT: (): Expr => {
          const { image: name } = this.OR3([
            { ALT: () => this.CONSUME(K.IF) },
            { ALT: () => this.CONSUME(K.REPLACE) },
            { ALT: () => this.CONSUME(K.DATABASE) },
            { ALT: () => this.CONSUME(K.SCHEMA) },
            { ALT: () => this.CONSUME(K.MOD) },
          ]);
          return { kind: 'Call', name, ...this.SUBRULE2(this.callArgs) };
        },
      },
    ]),
  );

  callArgs = this.RULE('callArgs', (): Pick<ExprOf<'Call'>, 'args' | 'distinct' | 'star'> => {
    this.CONSUME(T.LParen);
    const star = this.OPTION(() => this.CONSUME(T.Star)) !== undefined;
    const distinct = this.OPTION2(() => this.CONSUME(K.DISTINCT)) !== undefined;
    const args: Expr[] = [];
    this.MANY_SEP({
      SEP: T.Comma,
      DEF: () => {
        args.push(this.SUBRULE(this.expr));
      },
    });
    this.CONSUME(T.RParen);
    return { args, distinct, star };
  });

  caseExpr = this.RULE('caseExpr', (): Expr => {
    this.CONSUME(K.CASE);
    const operand = this.OPTION(() => this.SUBRULE(this.expr));
    const whens: { when: Expr; result: Expr }[] = [];
    this.AT_LEAST_ONE(() => {
      this.CONSUME(K.WHEN);
      const when = this.SUBRULE2(this.expr);
      this.CONSUME(K.THEN);
      whens.push({ when, result: this.SUBRULE3(this.expr) });
    });
    const otherwise = this.OPTION2(() => {
      this.CONSUME(K.ELSE);
      return this.SUBRULE4(this.expr);
    });
    this.CONSUME(K.END);
    return { kind: 'Case', operand, whens, otherwise };
  });

  cast = this.RULE('cast', (): Expr => {
    this.CONSUME(K.CAST);
    this.CONSUME(T.LParen);
    const operand = this.SUBRULE(this.expr);
    this.CONSUME(K.AS);
    let type = this.CONSUME(Name).image.toUpperCase();
    this.OPTION(() => {
      type += ` ${this.CONSUME2(Name).image.toUpperCase()}`;
    });
    this.OPTION2(() => {
      this.CONSUME2(T.LParen);
      type += `(${this.CONSUME(T.Integer).image}`;
      this.OPTION3(() => {
        this.CONSUME(T.Comma);
        type += `,${this.CONSUME2(T.Integer).image}`;
      });
      this.CONSUME(T.RParen);
      type += ')';
    });
    this.CONSUME2(T.RParen);
    return { kind: 'Cast', operand, type };
  });
}

const NO_ARGS = { args: [], distinct: false, star: false } as const;

function number(token: IToken): Expr {
  return { kind: 'Number', text: token.image };
}

/** Builds the tree of `a op b op c ...`; operators of one precedence group to the left. */
function fold(operands: readonly Expr[], ops: readonly BinaryOp[]): Expr {
  const values: Expr[] = [operands[0] as Expr];
  const pending: BinaryOp[] = [];
  const reduce = (): void => {
    const right = values.pop() as Expr;
    const left = values.pop() as Expr;
    values.push({ kind: 'Binary', op: pending.pop() as BinaryOp, left, right });
  };
  for (const [i, op] of ops.entries()) {
    while (pending.length > 0 && PRECEDENCE[pending.at(-1) as BinaryOp] >= PRECEDENCE[op]) reduce();
    pending.push(op);
    values.push(operands[i + 1] as Expr);
  }
  while (pending.length > 0) reduce();
  return values[0] as Expr;
}
