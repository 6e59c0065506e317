/** Statements about vaults, resources, storage policies and cooldown. */
import type { JobRef, Properties, ShowFilter, TableName } from './clauses.ts';

export interface CreateStorageVault {
  readonly kind: 'CreateStorageVault';
  readonly name: string;
  readonly ifNotExists: boolean;
  readonly properties: Properties;
}

export interface AlterStorageVault {
  readonly kind: 'AlterStorageVault';
  readonly name: string;
  readonly properties: Properties;
}

export interface DropStorageVault {
  readonly kind: 'DropStorageVault';
  readonly name: string;
  readonly ifExists: boolean;
}

/** `SHOW STORAGE VAULT[S]`. */
export interface ShowStorageVaults {
  readonly kind: 'ShowStorageVaults';
  readonly filter: ShowFilter;
}

/** `SET v AS DEFAULT STORAGE VAULT`. */
export interface SetDefaultStorageVault {
  readonly kind: 'SetDefaultStorageVault';
  readonly name: string;
}

export interface UnsetDefaultStorageVault {
  readonly kind: 'UnsetDefaultStorageVault';
}

export interface CreateResource {
  readonly kind: 'CreateResource';
  readonly name: string;
  readonly ifNotExists: boolean;
  readonly properties: Properties;
}

export interface AlterResource {
  readonly kind: 'AlterResource';
  readonly name: string;
  readonly properties: Properties;
}

export interface DropResource {
  readonly kind: 'DropResource';
  readonly name: string;
  readonly ifExists: boolean;
}

export interface ShowResources {
  readonly kind: 'ShowResources';
  readonly filter: ShowFilter;
}

export interface CreateStoragePolicy {
  readonly kind: 'CreateStoragePolicy';
  readonly name: string;
  readonly ifNotExists: boolean;
  readonly properties: Properties;
}

export interface AlterStoragePolicy {
  readonly kind: 'AlterStoragePolicy';
  readonly name: string;
  readonly properties: Properties;
}

export interface DropStoragePolicy {
  readonly kind: 'DropStoragePolicy';
  readonly name: string;
  readonly ifExists: boolean;
}

/** `SHOW STORAGE POLICY`. */
export interface ShowStoragePolicies {
  readonly kind: 'ShowStoragePolicies';
  readonly filter: ShowFilter;
}

/** `SHOW STORAGE POLICY USING [FOR policy]`. */
export interface ShowStoragePolicyUsing {
  readonly kind: 'ShowStoragePolicyUsing';
  readonly policy: string | undefined;
  readonly filter: ShowFilter;
}

export interface ShowCooldownJobs {
  readonly kind: 'ShowCooldownJobs';
  readonly filter: ShowFilter;
}

/** `SHOW COOLDOWN FROM t`: one row per tablet. */
export interface ShowCooldownTablets {
  readonly kind: 'ShowCooldownTablets';
  readonly table: TableName;
  readonly filter: ShowFilter;
}

export interface CancelCooldownJob {
  readonly kind: 'CancelCooldownJob';
  readonly job: JobRef;
}

/** `ADMIN COOLDOWN TABLE t [PARTITION (p, ...)]`: now, whatever the policy's time is. */
export interface AdminCooldownTable {
  readonly kind: 'AdminCooldownTable';
  readonly table: TableName;
  /** Empty: all partitions. */
  readonly partitions: readonly string[];
}

/** `ADMIN SET COOLDOWN LEADER FOR TABLET n TO REPLICA r`. */
export interface AdminSetCooldownLeader {
  readonly kind: 'AdminSetCooldownLeader';
  readonly tabletId: number;
  readonly replicaId: number;
}

/** `CHECK COOLDOWN TABLE t [REPAIR]`. */
export interface CheckCooldownTable {
  readonly kind: 'CheckCooldownTable';
  readonly table: TableName;
  readonly repair: boolean;
}

/** `ADMIN [CANCEL] REPAIR TABLE t [PARTITION (p, ...)]`. */
export interface AdminRepairTable {
  readonly kind: 'AdminRepairTable';
  readonly table: TableName;
  /** Empty: all partitions. */
  readonly partitions: readonly string[];
  /** It need not come before others any more. */
  readonly cancel: boolean;
}

export type StorageStatement =
  | CreateStorageVault
  | AlterStorageVault
  | DropStorageVault
  | ShowStorageVaults
  | SetDefaultStorageVault
  | UnsetDefaultStorageVault
  | CreateResource
  | AlterResource
  | DropResource
  | ShowResources
  | CreateStoragePolicy
  | AlterStoragePolicy
  | DropStoragePolicy
  | ShowStoragePolicies
  | ShowStoragePolicyUsing
  | ShowCooldownJobs
  | ShowCooldownTablets
  | CancelCooldownJob
  | AdminCooldownTable
  | AdminSetCooldownLeader
  | CheckCooldownTable
  | AdminRepairTable;
