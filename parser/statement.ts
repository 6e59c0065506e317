/**
 * What an executor gets: the typed statements. The nodes are declared in `grammar/nodes/`, since
 * the rules that build them may import nothing above themselves; the rest of the server names
 * them from here.
 */
export type { Statement, StatementKind, StatementOf } from '../grammar/nodes/statement.ts';
export type { BinaryOp, Expr, ExprOf } from '../grammar/nodes/expr.ts';
export type { JobRef, Properties, ShowFilter, TableName } from '../grammar/nodes/clauses.ts';
export type * from '../grammar/nodes/warm_up.ts';
export type * from '../grammar/nodes/tables.ts';
export type * from '../grammar/nodes/cluster.ts';
export type * from '../grammar/nodes/storage.ts';
export type * from '../grammar/nodes/show.ts';
export type * from '../grammar/nodes/session.ts';
export type * from '../grammar/nodes/accounts.ts';
