/** Names, properties, filters and other pieces that many statements share. */
import { SqlError } from '../../base/errors.ts';
import { nameValue } from '../literals.ts';
import type {
  JobRef,
  Limit,
  OrderItem,
  Properties,
  Property,
  ShowFilter,
  TableName,
} from '../nodes/clauses.ts';
import { K, Name, T } from '../tokens.ts';
import { ExprRules } from './expr.ts';

/** MySQL's "all rows": what a longer LIMIT comes down to. */
const LIMIT_MAX = 18_446_744_073_709_551_615n;

export class ClauseRules extends ExprRules {
  name = this.RULE('name', (): string => nameValue(this.CONSUME(Name).image));

  names = this.RULE('names', (): string[] => {
    const names: string[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => {
        names.push(this.SUBRULE(this.name));
      },
    });
    return names;
  });

  nameList = this.RULE('nameList', (): string[] => {
    this.CONSUME(T.LParen);
    const names = this.SUBRULE(this.names);
    this.CONSUME(T.RParen);
    return names;
  });

  /** A name, or a string that names something (`CREATE RESOURCE "r"`). */
  nameOrString = this.RULE('nameOrString', (): string =>
    this.OR([
      { ALT: () => this.SUBRULE(this.name) },
      { ALT: () => this.SUBRULE(this.stringLiteral) },
    ]),
  );

  tableName = this.RULE('tableName', (): TableName => {
    const first = nameValue(this.CONSUME(Name).image);
    const second = this.OPTION(() => {
      this.CONSUME(T.Dot);
      return nameValue(this.CONSUME2(Name).image);
    });
    return second === undefined ? { db: undefined, name: first } : { db: first, name: second };
  });

  tableNames = this.RULE('tableNames', (): TableName[] => {
    const tables: TableName[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => {
        tables.push(this.SUBRULE(this.tableName));
      },
    });
    return tables;
  });

  /** A whole number that fits a JavaScript number: an id, a count, seconds. */
  integer = this.RULE('integer', (): number => {
    const { image } = this.CONSUME(T.Integer);
    if (this.RECORDING_PHASE) return 0;
    const value = Number(image);
    if (!Number.isSafeInteger(value)) {
      throw new SqlError('NUMBER_TOO_BIG', {
        value: image.slice(0, 40),
        limit: Number.MAX_SAFE_INTEGER,
      });
    }
    return value;
  });

  ifNotExists = this.RULE('ifNotExists', (): boolean => {
    const written = this.OPTION(() => {
      this.CONSUME(K.IF);
      this.CONSUME(K.NOT);
      this.CONSUME(K.EXISTS);
      return true;
    });
    return written ?? false;
  });

  ifExists = this.RULE('ifExists', (): boolean => {
    const written = this.OPTION(() => {
      this.CONSUME(K.IF);
      this.CONSUME(K.EXISTS);
      return true;
    });
    return written ?? false;
  });

  forceWord = this.RULE(
    'forceWord',
    (): boolean => this.OPTION(() => this.CONSUME(K.FORCE)) !== undefined,
  );

  /** `PROPERTIES (...)`, or nothing. */
  properties = this.RULE(
    'properties',
    (): Properties =>
      this.OPTION(() => {
        this.CONSUME(K.PROPERTIES);
        return this.SUBRULE(this.propertyList);
      }) ?? [],
  );

  propertyList = this.RULE('propertyList', (): Property[] => {
    this.CONSUME(T.LParen);
    const list: Property[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => {
        const at = this.LA(1).startOffset;
        const key = this.SUBRULE(this.nameOrString);
        this.CONSUME(T.Eq);
        list.push({ key, value: this.SUBRULE(this.propertyValue), at });
      },
    });
    this.CONSUME(T.RParen);
    return list;
  });

  propertyValue = this.RULE('propertyValue', (): string =>
    this.OR([
      { ALT: () => this.SUBRULE(this.stringLiteral) },
      { ALT: () => this.SUBRULE(this.name) },
      { ALT: () => (this.CONSUME(K.TRUE), 'true') },
      { ALT: () => (this.CONSUME(K.FALSE), 'false') },
      {
        ALT: () => {
          const sign = this.OPTION(() => this.CONSUME(T.Minus)) === undefined ? '' : '-';
          const { image } = this.OR2([
            { ALT: () => this.CONSUME(T.Integer) },
            { ALT: () => this.CONSUME(T.Decimal) },
          ]);
          return sign + image;
        },
      },
    ]),
  );

  filter = this.RULE('filter', (): ShowFilter => {
    let like: string | undefined;
    const where = this.OPTION(() =>
      this.OR([
        {
          ALT: () => {
            this.CONSUME(K.LIKE);
            like = this.SUBRULE(this.stringLiteral);
            return undefined;
          },
        },
        {
          ALT: () => {
            this.CONSUME(K.WHERE);
            return this.SUBRULE(this.expr);
          },
        },
      ]),
    );
    const orderBy = this.OPTION2(() => this.SUBRULE(this.orderBy)) ?? [];
    const limit = this.OPTION3(() => this.SUBRULE(this.limit));
    return { like, where, orderBy, limit };
  });

  orderBy = this.RULE('orderBy', (): OrderItem[] => {
    this.CONSUME(K.ORDER);
    this.CONSUME(K.BY);
    const items: OrderItem[] = [];
    this.AT_LEAST_ONE_SEP({
      SEP: T.Comma,
      DEF: () => {
        const expr = this.SUBRULE(this.expr);
        const descending = this.OPTION(() =>
          this.OR([
            { ALT: () => (this.CONSUME(K.ASC), false) },
            { ALT: () => (this.CONSUME(K.DESC), true) },
          ]),
        );
        items.push({ expr, descending: descending ?? false });
      },
    });
    return items;
  });

  /** `LIMIT count`, `LIMIT offset, count`, `LIMIT count OFFSET offset`. */
  limit = this.RULE('limit', (): Limit => {
    this.CONSUME(K.LIMIT);
    const first = this.SUBRULE(this.bigCount);
    const both = this.OPTION(() =>
      this.OR([
        {
          ALT: () => {
            this.CONSUME(T.Comma);
            return { count: this.SUBRULE2(this.bigCount), offset: first };
          },
        },
        {
          ALT: () => {
            this.CONSUME(K.OFFSET);
            return { count: first, offset: this.SUBRULE3(this.bigCount) };
          },
        },
      ]),
    );
    return both ?? { count: first, offset: 0n };
  });

  bigCount = this.RULE('bigCount', (): bigint => {
    const { image } = this.CONSUME(T.Integer);
    if (this.RECORDING_PHASE) return 0n;
    // Digits past any possible count are not worth converting: that is quadratic in their number.
    const value = image.length > 30 ? LIMIT_MAX : BigInt(image);
    return value > LIMIT_MAX ? LIMIT_MAX : value;
  });

  /** `17`, `WHERE id = 17`, or nothing: which job. */
  jobRef = this.RULE('jobRef', (): JobRef => {
    const ref = this.OPTION(() =>
      this.OR([
        { ALT: (): JobRef => ({ kind: 'id', id: this.SUBRULE(this.integer) }) },
        {
          ALT: (): JobRef => {
            this.CONSUME(K.WHERE);
            return { kind: 'where', where: this.SUBRULE(this.expr) };
          },
        },
      ]),
    );
    return ref ?? { kind: 'none' };
  });

  /** `PARTITION p`, `PARTITION (p, q)`, also PARTITIONS; or nothing. */
  partitionNames = this.RULE(
    'partitionNames',
    (): string[] =>
      this.OPTION(() => {
        this.OR([
          { ALT: () => this.CONSUME(K.PARTITION) },
          { ALT: () => this.CONSUME(K.PARTITIONS) },
        ]);
        return this.OR2([
          { ALT: () => this.SUBRULE(this.nameList) },
          { ALT: () => [this.SUBRULE(this.name)] },
        ]);
      }) ?? [],
  );

  /** `COMPUTE GROUP` or `CLUSTER`. */
  computeGroupWords = this.RULE('computeGroupWords', (): void => {
    this.OR([
      {
        ALT: () => {
          this.CONSUME(K.COMPUTE);
          this.CONSUME(K.GROUP);
        },
      },
      { ALT: () => this.CONSUME(K.CLUSTER) },
    ]);
  });

  fromOrIn = this.RULE('fromOrIn', (): void => {
    this.OR([{ ALT: () => this.CONSUME(K.FROM) }, { ALT: () => this.CONSUME(K.IN) }]);
  });
}
