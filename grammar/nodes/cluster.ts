/** Statements about compute groups and backends. */
import type { Properties, ShowFilter } from './clauses.ts';

export interface CreateComputeGroup {
  readonly kind: 'CreateComputeGroup';
  readonly name: string;
  readonly ifNotExists: boolean;
  readonly properties: Properties;
}

export interface DropComputeGroup {
  readonly kind: 'DropComputeGroup';
  readonly name: string;
  readonly ifExists: boolean;
  readonly force: boolean;
}

/** `ALTER COMPUTE GROUP name PROPERTIES (...)`. */
export interface AlterComputeGroup {
  readonly kind: 'AlterComputeGroup';
  readonly name: string;
  readonly properties: Properties;
}

/** `ALTER SYSTEM RENAME COMPUTE GROUP name newName`. */
export interface RenameComputeGroup {
  readonly kind: 'RenameComputeGroup';
  readonly name: string;
  readonly newName: string;
}

/** A backend by id or by `host:port`; `embedded` only with ADD. */
export type BackendRef =
  | { readonly kind: 'id'; readonly id: number }
  /** port: 1..65535 */
  | { readonly kind: 'address'; readonly host: string; readonly port: number };

export type NewBackend =
  | { readonly kind: 'embedded' }
  | { readonly kind: 'address'; readonly host: string; readonly port: number };

export interface AddBackend {
  readonly kind: 'AddBackend';
  readonly backends: readonly NewBackend[];
  /** `TO COMPUTE GROUP g`. */
  readonly computeGroup: string | undefined;
  readonly properties: Properties;
}

export interface DropBackend {
  readonly kind: 'DropBackend';
  readonly backends: readonly BackendRef[];
  /** DROPP: at once, without the check that its data is elsewhere. */
  readonly force: boolean;
}

export interface DecommissionBackend {
  readonly kind: 'DecommissionBackend';
  readonly backends: readonly BackendRef[];
}

/** Of backends whose data is still being moved away. */
export interface CancelDecommission {
  readonly kind: 'CancelDecommission';
  readonly backends: readonly BackendRef[];
}

/** Cleanly: no new work, running work ends. */
export interface StopBackend {
  readonly kind: 'StopBackend';
  readonly backend: BackendRef;
}

export interface StartBackend {
  readonly kind: 'StartBackend';
  readonly backend: BackendRef;
}

/** As `kill -9` of a backend's process. */
export interface KillBackend {
  readonly kind: 'KillBackend';
  readonly backend: BackendRef;
}

export interface ShowBackends {
  readonly kind: 'ShowBackends';
  readonly filter: ShowFilter;
}

/** `SHOW COMPUTE GROUPS` and `SHOW CLUSTERS`. */
export interface ShowComputeGroups {
  readonly kind: 'ShowComputeGroups';
  readonly filter: ShowFilter;
}

/** `SHOW FRONTENDS`. */
export interface ShowFrontends {
  readonly kind: 'ShowFrontends';
  readonly filter: ShowFilter;
}

export type ClusterStatement =
  | CreateComputeGroup
  | DropComputeGroup
  | AlterComputeGroup
  | RenameComputeGroup
  | AddBackend
  | DropBackend
  | DecommissionBackend
  | CancelDecommission
  | StopBackend
  | StartBackend
  | KillBackend
  | ShowBackends
  | ShowComputeGroups
  | ShowFrontends;
