/**
 * What the invariants look at: the bucket, the disks of the backends (what their processes say of
 * themselves does not count), what the control plane has on its disk, and the memory of the run.
 */
import type { BackendId, ReplicaId, ResourceId, TabletId } from '../../base/ids.ts';
import type { CooldownLead, ReplicaRowset } from '../../base/replica.ts';
import type { PendingUpload, ReplicaState } from '../../be-agent/replica/replica_store.ts';
import type { Bucket } from './bucket.ts';
import type { Content } from './content.ts';
import type { LocalDisk } from './local_disk.ts';
import type { Queries } from './queries.ts';
import type { Head, Manifest } from './remote_objects.ts';

export interface ReplicaPlace {
  readonly tabletId: TabletId;
  readonly replicaId: ReplicaId;
  readonly backendId: BackendId;
  /** Whether it has all that the partition has, as far as the control plane knows. */
  readonly isComplete: boolean;
}

/** What is durable in the control plane. */
export interface ControlSeen {
  /** Leads of all tablets that are there. */
  leads(): ReadonlyMap<TabletId, CooldownLead>;
  replicas(tabletId: TabletId): readonly ReplicaPlace[];
  /** Version that readers see; undefined: there is no such tablet any more. */
  visibleVersion(tabletId: TabletId): number | undefined;
  hasResource(resourceId: ResourceId): boolean;
  /** Whether its data cools by itself. */
  hasPolicy(tabletId: TabletId): boolean;
}

/** A backend as it lies on its disk, whether a process runs on it or not. */
export interface DiskSeen {
  readonly backendId: BackendId;
  readonly name: string;
  readonly isRunning: boolean;
  /** A copy of another backend's disk, of which the control plane knows nothing. */
  readonly isTwin: boolean;
  readonly disk: LocalDisk;
  get(tabletId: TabletId): ReplicaState | undefined;
  uploads(tabletId: TabletId): readonly PendingUpload[];
}

export interface Seen {
  readonly nowMs: number;
  readonly bucket: Bucket;
  readonly control: ControlSeen;
  readonly disks: () => readonly DiskSeen[];
  readonly content: Content;
  readonly history: History;
  /** What reads at the moment. */
  readonly queries: Queries;
  /** Objects younger than this are never collected, milliseconds. */
  readonly graceMs: number;
}

/** What was true before; invariants about time need it. */
export class History {
  /** Of each `tablet/term` the replica, ever. */
  readonly replicaOfTerm = new Map<string, ReplicaId>();
  readonly termMax = new Map<TabletId, number>();
  /** Where the cooled data of a tablet is. */
  readonly resourceOf = new Map<TabletId, ResourceId>();
  /** The last HEAD of each tablet. */
  readonly heads = new Map<TabletId, Head>();
  /** All that HEAD ever named, by `tablet/metaId`. */
  readonly published = new Map<string, Manifest>();
  /** Rowset lists by meta id and back. */
  readonly listOfMeta = new Map<string, string>();
  readonly metaOfList = new Map<string, string>();
  /** `disk/rowset` that a replica has read from its disk: such files go when they are cooled. */
  readonly localOnce = new Set<string>();
  /** Versions that were visible, by tablet; stays when the table is dropped. */
  readonly tablets = new Set<TabletId>();
}

export function cooledOf(rowsets: readonly ReplicaRowset[]): readonly ReplicaRowset[] {
  return rowsets.filter(({ place }) => place.kind === 'remote');
}

/** End version of the last cooled rowset; -1: none. */
export function cooledVersion(rowsets: readonly ReplicaRowset[]): number {
  return Math.max(-1, ...cooledOf(rowsets).map(({ endVersion }) => endVersion));
}

export function listKey(
  tabletId: TabletId,
  rowsets: readonly Pick<ReplicaRowset, 'rowsetId'>[],
): string {
  return `${tabletId}: ${rowsets.map(({ rowsetId }) => rowsetId).join(' ')}`;
}

/** Replicas of the catalog whose disks have them, running or not. */
export function liveReplicas(
  seen: Seen,
  tabletId: TabletId,
): readonly { readonly disk: DiskSeen; readonly state: ReplicaState }[] {
  const places = seen.control.replicas(tabletId);
  return seen.disks().flatMap((disk) => {
    const state = disk.get(tabletId);
    if (state === undefined || disk.isTwin) return [];
    const isKnown = places.some(
      ({ backendId, replicaId }) => backendId === disk.backendId && replicaId === state.replicaId,
    );
    return isKnown ? [{ disk, state }] : [];
  });
}
