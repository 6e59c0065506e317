/** How many statements of each kind were executed, under MySQL's names where it has one. */
import type { StatementKind } from '../parser/statement.ts';
import { REQUIREMENTS } from './access/requirements.ts';

/** Where MySQL's word is not the kind's own. */
const WORDS: Readonly<Partial<Record<StatementKind, string>>> = {
  CreateDatabase: 'create_db',
  CreateTableLike: 'create_table',
  DeallocateStatement: 'dealloc_sql',
  Describe: 'show_fields',
  DropDatabase: 'drop_db',
  Empty: 'empty_query',
  ExecuteStatement: 'execute_sql',
  Explain: 'explain_other',
  GrantRole: 'grant_roles',
  PrepareStatement: 'prepare_sql',
  RenameTables: 'rename_table',
  RevokeRole: 'revoke_roles',
  SetVariables: 'set_option',
  ShowCharset: 'show_charsets',
  ShowCollation: 'show_collations',
  ShowColumns: 'show_fields',
  ShowCreateDatabase: 'show_create_db',
  ShowEngines: 'show_storage_engines',
  ShowIndex: 'show_keys',
  TruncateTable: 'truncate',
  Use: 'change_db',
};

/** Statements that this server never executes, and that tools make quotients of. */
const NEVER = [
  'call_procedure',
  'delete',
  'delete_multi',
  'load',
  'replace',
  'replace_select',
  'update',
  'update_multi',
] as const;

function wordOf(kind: StatementKind): string {
  return WORDS[kind] ?? kind.replaceAll(/(?<!^)[A-Z]/g, (letter) => `_${letter}`).toLowerCase();
}

export class StatementCounts {
  readonly #counts = new Map<StatementKind, number>();
  /** Statements of any kind. */
  total = 0;

  add(kind: StatementKind): void {
    this.total += 1;
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
  }

  /** `Com_<word>` of every kind there is, also of those that nobody has executed. */
  list(): readonly (readonly [name: string, count: number])[] {
    const sums = new Map<string, number>(NEVER.map((word) => [`Com_${word}`, 0]));
    for (const kind of Object.keys(REQUIREMENTS) as StatementKind[]) {
      const name = `Com_${wordOf(kind)}`;
      sums.set(name, (sums.get(name) ?? 0) + (this.#counts.get(kind) ?? 0));
    }
    return [...sums];
  }
}
