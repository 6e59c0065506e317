/** What must have come true when no fault is left and time has passed. */
import type { TabletId } from '../../base/ids.ts';
import { segmentKey } from '../../base/schema.ts';
import type { Failure } from '../simulation.ts';
import { LIVENESS, tabletsOf } from './control_invariants.ts';
import { headKey, headOf, publishedManifest } from './remote_objects.ts';
import { type Seen, cooledOf, liveReplicas } from './seen.ts';

export interface Expected {
  /** Whether all data is past its time. */
  readonly isAllCold: boolean;
  /** Whether unused objects are collected by now. */
  readonly isCollected: boolean;
  /** Whether there was no fault: then every byte was uploaded once. */
  readonly isFaultless: boolean;
  /** Most bytes of uploads per logical byte in a run without faults. */
  readonly uploadFactorMax: number;
}

type Problem = string | undefined;

/** The first thing that is not as it must be in the end; undefined: all is well. */
export function unsettled(seen: Seen, expected: Expected): Failure | undefined {
  const found = (claim: { name: string; claim: string }, problem: Problem): Failure | undefined =>
    problem === undefined ? undefined : { invariant: claim.name, claim: claim.claim, problem };
  return (
    found(LIVENESS.L3, leaders(seen)) ??
    found(LIVENESS.I17, lastTerms(seen)) ??
    found(LIVENESS.L1, expected.isAllCold ? cooled(seen) : undefined) ??
    found(LIVENESS.L2, expected.isCollected ? orphans(seen) : undefined) ??
    found(LIVENESS.L5, expected.isFaultless ? uploads(seen, expected.uploadFactorMax) : undefined)
  );
}

function leaders(seen: Seen): Problem {
  const leads = seen.control.leads();
  for (const tabletId of tabletsOf(seen)) {
    const lead = leads.get(tabletId);
    // One that never had a policy needs none.
    if (lead === undefined && !seen.control.hasPolicy(tabletId)) continue;
    if (lead === undefined) return `tablet ${tabletId} has no leader`;
    const place = seen.control.replicas(tabletId).find((one) => one.replicaId === lead.replicaId);
    const disk = seen.disks().find((one) => one.backendId === place?.backendId && !one.isTwin);
    if (disk?.isRunning !== true) {
      return `tablet ${tabletId} is led by replica ${lead.replicaId}, whose backend is not there`;
    }
  }
  return undefined;
}

function lastTerms(seen: Seen): Problem {
  for (const tabletId of tabletsOf(seen)) {
    const lead = seen.control.leads().get(tabletId);
    for (const { disk, state } of liveReplicas(seen, tabletId)) {
      if (!disk.isRunning) continue;
      if (state.lead?.term === lead?.term && state.lead?.replicaId === lead?.replicaId) continue;
      const has = state.lead === undefined ? 'none' : `${state.lead.replicaId}/${state.lead.term}`;
      return `tablet ${tabletId} on ${disk.name} has the leader ${has}, the catalog ${lead?.replicaId}/${lead?.term}`;
    }
  }
  return undefined;
}

function cooled(seen: Seen): Problem {
  for (const tabletId of tabletsOf(seen)) {
    const replicas = liveReplicas(seen, tabletId).filter(({ disk }) => disk.isRunning);
    const hasData = replicas.some(({ state }) =>
      state.rowsets.some(({ segments }) => segments.length > 0),
    );
    if (!hasData) continue;
    const head = headOf(seen.bucket, tabletId);
    // Nothing of it cools any more; what has cooled is on all replicas what HEAD says.
    const mayBeLocal = !seen.control.hasPolicy(tabletId);
    // Published right before the policy went, and taken over by nobody: all have all, and the next
    // leader with a policy begins with that list.
    if (mayBeLocal && replicas.every(({ state }) => state.metaId === undefined)) continue;
    for (const { disk, state } of replicas) {
      const what = `tablet ${tabletId} on ${disk.name}`;
      const local = state.rowsets.find(({ place }) => place.kind === 'local');
      if (local !== undefined && !mayBeLocal) {
        return `${what}: [${local.startVersion}-${local.endVersion}] is still local`;
      }
      if (state.metaId !== head?.metaId) {
        return `${what} has meta id ${state.metaId}, HEAD ${head?.metaId}`;
      }
      const visible = seen.control.visibleVersion(tabletId);
      if (state.version !== visible) return `${what} has version ${state.version} of ${visible}`;
      // Files of loads that failed are another matter: they wait for the next search.
      const listed = cooledOf(state.rowsets)
        .filter(({ rowsetId }) => seen.history.localOnce.has(`${disk.name}/${rowsetId}`))
        .flatMap(({ rowsetId, segments }) =>
          segments.map(({ segment }) => segmentKey(tabletId, rowsetId, segment)),
        )
        .find((key) => disk.disk.files.has(key));
      if (listed !== undefined) return `${what}: ${listed} is still on the disk`;
      if (cooledOf(state.rowsets).length === 0 && !mayBeLocal) return `${what} has nothing cooled`;
    }
  }
  return undefined;
}

function orphans(seen: Seen): Problem {
  const wanted = new Set<string>();
  for (const tabletId of tabletsOf(seen)) {
    const head = headOf(seen.bucket, tabletId);
    const manifest = publishedManifest(seen.bucket, tabletId);
    // What was uploaded before it lost its policy is used by the next one, or goes with the table.
    if (!seen.control.hasPolicy(tabletId))
      for (const key of localKeys(seen, tabletId)) wanted.add(key);
    if (head === undefined) continue;
    wanted.add(headKey(tabletId));
    if (head.manifestKey !== undefined) wanted.add(head.manifestKey);
    if (typeof manifest !== 'object') continue;
    for (const { rowsetId, segments } of manifest.rowsets) {
      for (const { segment } of segments) wanted.add(segmentKey(tabletId, rowsetId, segment));
    }
  }
  const orphan = seen.bucket.keys('data/').find((key) => !wanted.has(key));
  return orphan === undefined ? undefined : `${orphan} is still in the bucket`;
}

/** Of rowsets that a replica has on its disk: objects that they will have when they cool. */
function localKeys(seen: Seen, tabletId: TabletId): readonly string[] {
  return liveReplicas(seen, tabletId).flatMap(({ state }) =>
    state.rowsets
      .filter(({ place }) => place.kind === 'local')
      .flatMap(({ rowsetId, segments }) =>
        segments.map(({ segment }) => segmentKey(tabletId, rowsetId, segment)),
      ),
  );
}

function uploads({ bucket, content }: Seen, factorMax: number): Problem {
  const allowed = content.logicalBytes * factorMax;
  if (bucket.sentDataBytes <= allowed) return undefined;
  return `${bucket.sentDataBytes} bytes were uploaded for ${content.logicalBytes} logical ones`;
}
