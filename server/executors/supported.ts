/** Kinds of statement that have an executor; the others answer NOT_SUPPORTED. docs/ reads it. */
import type { StatementKind } from '../../parser/statement.ts';
import { EXECUTORS } from './table.ts';

export const SUPPORTED_STATEMENTS: ReadonlySet<StatementKind> = new Set(
  Object.entries(EXECUTORS).flatMap(([kind, executor]) =>
    executor === 'later' ? [] : [kind as StatementKind],
  ),
);
