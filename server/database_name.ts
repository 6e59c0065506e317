/**
 * Where a client names a database (at login, COM_INIT_DB) it may name a compute group too, as in
 * Doris: `db`, `db@group`, `@group`.
 */
export interface DatabaseAndGroup {
  /** Empty: none was named. */
  readonly database: string;
  readonly computeGroup: string | undefined;
}

export function splitDatabase(name: string): DatabaseAndGroup {
  const at = name.lastIndexOf('@');
  if (at < 0) return { database: name, computeGroup: undefined };
  return { database: name.slice(0, at), computeGroup: name.slice(at + 1) };
}
