/**
 * The statements of the language: a union discriminated by `kind`. Nodes are plain frozen data;
 * fields named `at` are offsets into the text of the request (UTF-16 units) and take no part in
 * equality.
 */
import type { AccountStatement } from './accounts.ts';
import type { ClusterStatement } from './cluster.ts';
import type { SessionStatement } from './session.ts';
import type { ShowStatement } from './show.ts';
import type { StorageStatement } from './storage.ts';
import type { TableStatement } from './tables.ts';
import type { WarmUpStatement } from './warm_up.ts';

export type Statement =
  | WarmUpStatement
  | TableStatement
  | ClusterStatement
  | StorageStatement
  | ShowStatement
  | SessionStatement
  | AccountStatement;

export type StatementKind = Statement['kind'];

export type StatementOf<Kind extends StatementKind> = Extract<Statement, { readonly kind: Kind }>;
