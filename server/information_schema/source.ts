/**
 * What `information_schema` is made of: the port that the server's wiring implements. Everything
 * it returns is already limited to what the asking user may see.
 */
import type { Privilege, PrivilegeScope } from '../../base/privileges.ts';
import type { TableDef } from '../../base/schema.ts';

export interface SchemaTable {
  readonly def: TableDef;
  /** Rows and bytes visible now, over all partitions; undefined when it is not known cheaply. */
  readonly rows: number | undefined;
  readonly bytes: number | undefined;
}

export interface ProcessRow {
  readonly id: number;
  readonly user: string;
  /** `address:port` */
  readonly host: string;
  readonly database: string;
  readonly command: string;
  readonly seconds: number;
  readonly state: string;
  /** Text of the running statement; '' when idle. */
  readonly info: string;
  /** What the client told of itself at login. */
  readonly attributes: Readonly<Record<string, string>>;
  /** Percent; absent: a connection. */
  readonly progress?: number;
}

export interface Grantee {
  readonly user: string;
  readonly host: string;
  readonly scope: PrivilegeScope;
  readonly privileges: ReadonlySet<Privilege>;
}

export interface OwnRoles {
  readonly user: string;
  readonly host: string;
  readonly applicable: readonly string[];
  readonly enabled: readonly string[];
  readonly isDefault: ReadonlySet<string>;
}

export interface InformationSchemaSource {
  /** User databases, without the system ones. */
  databases(): Promise<readonly string[]>;
  /** Tables of one database, or of all. An unknown database has none. */
  tables(database: string | undefined): Promise<readonly SchemaTable[]>;
  processes(): readonly ProcessRow[];
  /** What jobs do on backends; connections are not among them. */
  jobProcesses(): Promise<readonly ProcessRow[]>;
  /** Who asks. */
  account(): { readonly user: string };
  variables(scope: 'session' | 'global'): readonly (readonly [name: string, value: string])[];
  status(): readonly (readonly [name: string, value: string])[];
  /** What accounts were given: one entry for each account and scope. */
  grantees(): readonly Grantee[];
  /** The asking account, the roles it has, and which of them are active now and from a login on. */
  roles(): OwnRoles;
  /** Whether a database shows, also one of the server's own. */
  sees(database: string): boolean;
}
