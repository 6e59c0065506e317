/** What one account may do: everything it and its roles were given. Never changes. */
import {
  ANY,
  GLOBAL,
  type Privilege,
  type PrivilegeScope,
  type ScopeKind,
  TABLE_PRIVILEGES,
} from '../../base/privileges.ts';

export interface Right {
  readonly scope: PrivilegeScope;
  readonly privilege: Privilege;
}

type Privileges = ReadonlySet<Privilege>;
const NOTHING: Privileges = new Set();

/** The databases whose tables show to everybody what he may see of the server. */
const OPEN_DATABASES: ReadonlySet<string> = new Set(['information_schema', 'performance_schema']);

export class Rights {
  readonly list: readonly Right[];
  /** Everything, everywhere. */
  readonly isAdmin: boolean;
  readonly #scopes = new Map<string, Set<Privilege>>();
  /** Databases with a right on them or on a table of theirs. */
  readonly #databases = new Set<string>();
  readonly #seesAllTables: boolean;

  constructor(list: readonly Right[]) {
    this.list = list;
    for (const { scope, privilege } of list) {
      const key = keyOf(scope);
      const known = this.#scopes.get(key) ?? new Set();
      this.#scopes.set(key, known.add(privilege));
      if (scope.kind === 'TABLE' && scope.db !== ANY) this.#databases.add(scope.db);
    }
    this.isAdmin = this.#on(GLOBAL).has('ADMIN');
    this.#seesAllTables = this.isAdmin || showsTables(this.#on(GLOBAL));
  }

  #on(scope: PrivilegeScope): Privileges {
    return this.#scopes.get(keyOf(scope)) ?? NOTHING;
  }

  /** Here, or on what contains it. */
  has(privilege: Privilege, scope: PrivilegeScope): boolean {
    if (this.isAdmin) return true;
    return containers(scope).some((container) => this.#on(container).has(privilege));
  }

  hasGlobal(privilege: Privilege): boolean {
    return this.has(privilege, GLOBAL);
  }

  onDatabase(privilege: Privilege, db: string): boolean {
    return this.has(privilege, { kind: 'TABLE', db, name: ANY });
  }

  onTable(privilege: Privilege, db: string, name: string): boolean {
    return this.has(privilege, { kind: 'TABLE', db, name });
  }

  /** USAGE of a compute group, a resource or a vault. */
  mayUse(kind: Exclude<ScopeKind, 'TABLE'>, name: string): boolean {
    return this.has('USAGE', { kind, db: '', name });
  }

  get seesAllTables(): boolean {
    return this.#seesAllTables;
  }

  /** That it is there, and its tables as far as they are seen themselves. */
  seesDatabase(db: string): boolean {
    if (OPEN_DATABASES.has(db.toLowerCase()) || this.#databases.has(db)) return true;
    return this.#seesAllTables && (this.isAdmin || db !== ACCOUNTS_DATABASE);
  }

  /** That it is there, and what it looks like: with any right on it. */
  seesTable(db: string, name: string): boolean {
    if (this.isAdmin || (this.#seesAllTables && db !== ACCOUNTS_DATABASE)) return true;
    const onDatabase: PrivilegeScope = { kind: 'TABLE', db, name: ANY };
    return showsTables(this.#on(onDatabase)) || showsTables(this.#on({ ...onDatabase, name }));
  }

  /** Whether everything that the other may do may be done by this one, too. */
  covers(other: Rights): boolean {
    return this.isAdmin || other.list.every(({ privilege, scope }) => this.has(privilege, scope));
  }
}

/** MySQL's tables of accounts. */
export const ACCOUNTS_DATABASE = 'mysql';

export const ALL_RIGHTS = new Rights([{ scope: GLOBAL, privilege: 'ADMIN' }]);
export const NO_RIGHTS = new Rights([]);

function keyOf({ kind, db, name }: PrivilegeScope): string {
  return `${kind}\0${db}\0${name}`;
}

/** A scope and all that contain it. */
function containers(scope: PrivilegeScope): readonly PrivilegeScope[] {
  if (scope.kind !== 'TABLE') return [scope, { ...scope, name: ANY }];
  // Who may read all databases does not thereby read the accounts.
  if (scope.db === ACCOUNTS_DATABASE) return [scope, { ...scope, name: ANY }];
  return [scope, { ...scope, name: ANY }, GLOBAL];
}

function showsTables(privileges: Privileges): boolean {
  return TABLE_PRIVILEGES.some((privilege) => privileges.has(privilege));
}
