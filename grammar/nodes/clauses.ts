/** Pieces that many statements share. Names keep the case the user wrote. */
import type { Expr } from './expr.ts';

/** `[db.]table`; `db` undefined: the session's database. */
export interface TableName {
  readonly db: string | undefined;
  readonly name: string;
}

/** One `"key" = "value"`; `at` is the offset of the key in the text. */
export interface Property {
  readonly key: string;
  readonly value: string;
  readonly at: number;
}

export type Properties = readonly Property[];

export interface OrderItem {
  readonly expr: Expr;
  readonly descending: boolean;
}

/** `LIMIT count [OFFSET offset]`; both up to 18446744073709551615. */
export interface Limit {
  readonly count: bigint;
  readonly offset: bigint;
}

/** What every SHOW that lists rows understands: `[LIKE 'p' | WHERE e] [ORDER BY ..] [LIMIT ..]`. */
export interface ShowFilter {
  readonly like: string | undefined;
  readonly where: Expr | undefined;
  readonly orderBy: readonly OrderItem[];
  readonly limit: Limit | undefined;
}

/**
 * Which warm-up or cooldown job is meant: `17` or `WHERE id = 17`. The condition is checked in
 * the parser's rules (`jobIdOf`), not in the grammar, since its errors have texts of their own.
 */
export type JobRef =
  | { readonly kind: 'id'; readonly id: number }
  | { readonly kind: 'where'; readonly where: Expr }
  | { readonly kind: 'none' };
