/** Kinds of statement that have an executor; the others answer NOT_SUPPORTED. docs/ reads it. */
import type { StatementKind } from '../../parser/statement.ts';

export const SUPPORTED_STATEMENTS: ReadonlySet<StatementKind> = new Set<StatementKind>([]);
