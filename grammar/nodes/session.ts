/** Statements about the session: variables, databases in use, transactions, queries. */
import type { AccountRef } from './accounts.ts';
import type { TableName } from './clauses.ts';
import type { Expr, VariableScope } from './expr.ts';

/** `USE db`, and `USE db@group`, which sets both. */
export interface Use {
  readonly kind: 'Use';
  readonly db: string;
  readonly computeGroup: string | undefined;
}

/** `USE @group`. */
export interface UseComputeGroup {
  readonly kind: 'UseComputeGroup';
  readonly name: string;
}

/** Which value SET changes; PERSIST: that of the server, also after a restart. */
export type SetScope = VariableScope | 'PERSIST' | 'PERSIST_ONLY';

export type Assignment =
  | { readonly kind: 'userVar'; readonly name: string; readonly value: Expr }
  | {
      readonly kind: 'systemVar';
      /** undefined: no scope was written, the session is meant. */
      readonly scope: SetScope | undefined;
      readonly name: string;
      /** `Default` for SET x = DEFAULT; a bare word (`SET sql_mode = ANSI`) is a `Column`. */
      readonly value: Expr;
    }
  /** SET NAMES charset [COLLATE collation]; charset 'DEFAULT' is `undefined`. */
  | {
      readonly kind: 'names';
      readonly charset: string | undefined;
      readonly collation: string | undefined;
    }
  /** SET PASSWORD in a list (mysqladmin); alone it is a `SetPassword`. */
  | {
      readonly kind: 'password';
      readonly account: AccountRef | undefined;
      readonly password: { readonly kind: 'clear' | 'hash'; readonly text: string };
    }
  /** SET CHARACTER SET charset. */
  | { readonly kind: 'charset'; readonly charset: string | undefined }
  | {
      readonly kind: 'transaction';
      readonly scope: VariableScope | undefined;
      readonly isolation:
        | 'READ UNCOMMITTED'
        | 'READ COMMITTED'
        | 'REPEATABLE READ'
        | 'SERIALIZABLE'
        | undefined;
      readonly readOnly: boolean | undefined;
    };

/** `RESET PERSIST [[IF EXISTS] name]`; without a name: all of them. */
export interface ResetPersist {
  readonly kind: 'ResetPersist';
  readonly ifExists: boolean;
  readonly name: string | undefined;
}

export interface SetVariables {
  readonly kind: 'SetVariables';
  readonly assignments: readonly Assignment[];
}

/**
 * SELECT, WITH, VALUES, TABLE and parenthesised queries are not parsed here: `text` is the
 * statement without a trailing `;`, `at` its offset in the text of the request.
 */
export interface Select {
  readonly kind: 'Select';
  readonly text: string;
  readonly at: number;
}

/** `EXPLAIN | DESC [EXTENDED | ...] query`; `text` is the query alone. */
export interface Explain {
  readonly kind: 'Explain';
  /** Upper case: EXTENDED, PARTITIONS, ANALYZE, VERBOSE, a FORMAT=name; empty: none. */
  readonly option: string;
  readonly text: string;
  readonly at: number;
}

export interface Kill {
  readonly kind: 'Kill';
  readonly what: 'QUERY' | 'CONNECTION';
  readonly connectionId: number;
}

/** BEGIN and START TRANSACTION. */
export interface Begin {
  readonly kind: 'Begin';
  readonly consistentSnapshot: boolean;
  readonly readOnly: boolean | undefined;
}

export interface Commit {
  readonly kind: 'Commit';
  /** AND CHAIN: another transaction begins at once. */
  readonly chain: boolean;
  /** RELEASE: the connection ends after the answer. */
  readonly release: boolean;
}

export interface Rollback {
  readonly kind: 'Rollback';
  /** `TO SAVEPOINT name`. */
  readonly savepoint: string | undefined;
  readonly chain: boolean;
  readonly release: boolean;
}

export interface Savepoint {
  readonly kind: 'Savepoint';
  readonly name: string;
}

export interface ReleaseSavepoint {
  readonly kind: 'ReleaseSavepoint';
  readonly name: string;
}

export interface LockTables {
  readonly kind: 'LockTables';
  readonly tables: readonly (TableName & {
    readonly alias: string | undefined;
    readonly mode: 'READ' | 'READ LOCAL' | 'WRITE' | 'LOW_PRIORITY WRITE';
  })[];
}

export interface UnlockTables {
  readonly kind: 'UnlockTables';
}

/** FLUSH options; each in upper case: PRIVILEGES, TABLES, LOGS, STATUS, HOSTS, ... */
export interface Flush {
  readonly kind: 'Flush';
  readonly options: readonly string[];
  readonly tables: readonly TableName[];
  /** FLUSH TABLES WITH READ LOCK. */
  readonly withReadLock: boolean;
}

export interface Help {
  readonly kind: 'Help';
  readonly topic: string;
}

/** PREPARE name FROM 'text' | @variable. */
export interface PrepareStatement {
  readonly kind: 'PrepareStatement';
  readonly name: string;
  readonly source:
    | { readonly kind: 'text'; readonly text: string }
    | { readonly kind: 'variable'; readonly name: string };
}

/** EXECUTE name [USING @variable, ...]. */
export interface ExecuteStatement {
  readonly kind: 'ExecuteStatement';
  readonly name: string;
  /** User variables, by placeholder. */
  readonly using: readonly string[];
}

/** {DEALLOCATE | DROP} PREPARE name. */
export interface DeallocateStatement {
  readonly kind: 'DeallocateStatement';
  readonly name: string;
}

/** ANALYZE | CHECK | OPTIMIZE | REPAIR TABLE. */
export interface TableMaintenance {
  readonly kind: 'TableMaintenance';
  readonly what: 'ANALYZE' | 'CHECK' | 'OPTIMIZE' | 'REPAIR';
  readonly tables: readonly TableName[];
}

/** ALTER TABLE t {DISABLE | ENABLE} KEYS, as dumps have it around their rows. */
export interface TableKeys {
  readonly kind: 'TableKeys';
  readonly table: TableName;
  readonly enable: boolean;
}

/** DO expr, ...: evaluates and throws away. */
export interface Do {
  readonly kind: 'Do';
  readonly exprs: readonly Expr[];
}

/** SHUTDOWN. */
export interface Shutdown {
  readonly kind: 'Shutdown';
}

/** Nothing but comments (some clients send `/ *M! ... * /`): answered with OK. */
export interface Empty {
  readonly kind: 'Empty';
}

/** A statement MySQL or Doris has and this server does not: `what` names it, e.g. `DELETE`. */
export interface Unsupported {
  readonly kind: 'Unsupported';
  readonly what: string;
  /** The whole statement. */
  readonly text: string;
}

export type SessionStatement =
  | Use
  | UseComputeGroup
  | SetVariables
  | ResetPersist
  | Select
  | Explain
  | Kill
  | Begin
  | Commit
  | Rollback
  | Savepoint
  | ReleaseSavepoint
  | LockTables
  | UnlockTables
  | Flush
  | Help
  | PrepareStatement
  | ExecuteStatement
  | DeallocateStatement
  | TableMaintenance
  | TableKeys
  | Do
  | Shutdown
  | Empty
  | Unsupported;
