/**
 * Ids of the nouns in the catalog. Each is a safe integer from the catalog's own allocator
 * (`catalog/id_allocator.ts`), branded so that a tablet id cannot be passed where a table id
 * is wanted. Ids are never reused.
 */
export type Id<Noun extends string> = number & { readonly __noun: Noun };

export type DatabaseId = Id<'database'>;
export type TableId = Id<'table'>;
export type PartitionId = Id<'partition'>;
/** A materialized index: the base index of a table or one of its rollups. */
export type IndexId = Id<'index'>;
export type TabletId = Id<'tablet'>;
/** A copy of a tablet of a replicated table, on one backend. */
export type ReplicaId = Id<'replica'>;
export type BackendId = Id<'backend'>;
export type ComputeGroupId = Id<'computeGroup'>;
export type VaultId = Id<'vault'>;
export type ResourceId = Id<'resource'>;
export type StoragePolicyId = Id<'storagePolicy'>;
export type TxnId = Id<'txn'>;
export type JobId = Id<'job'>;

/** 32 lower-case hex digits, drawn by who plans the rowset (a backend for a load): never used twice. */
export type RowsetId = string & { readonly __noun: 'rowset' };

/** Brands a number that is known to be an id (read from the catalog, or from a message). */
export function id<T extends Id<string>>(value: number): T {
  return value as T;
}

const ROWSET_ID = /^[0-9a-f]{32}$/;

/** Checks and brands a rowset id: it becomes part of an object key, so its form matters. */
export function rowsetId(text: string): RowsetId {
  if (!ROWSET_ID.test(text)) throw new TypeError(`not a rowset id: ${JSON.stringify(text)}`);
  return text as RowsetId;
}
