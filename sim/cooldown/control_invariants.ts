/** What must be true of the control plane: who leads, what it tells backends, what it allows. */
import type { UnusedFilesQuestion } from '../../base/agent_messages.ts';
import type { TabletId } from '../../base/ids.ts';
import type { CooldownConf, ReplicaRowset } from '../../base/replica.ts';
import { type Seen, cooledOf, liveReplicas } from './seen.ts';

export interface ControlInvariant {
  readonly name: string;
  readonly claim: string;
  /** After every step that changed what is durable. Remembers terms in the history. */
  check(seen: Seen): string | undefined;
}

export const CONTROL_INVARIANTS: readonly ControlInvariant[] = [
  {
    name: 'E1-only-complete-replicas-lead',
    claim: 'Who is elected has all that the partition has.',
    check: ({ control, history }) => {
      for (const [tabletId, { replicaId, term }] of control.leads()) {
        if (history.replicaOfTerm.has(`${tabletId}/${term}`)) continue;
        const place = control.replicas(tabletId).find((one) => one.replicaId === replicaId);
        if (place === undefined)
          return `tablet ${tabletId}: leader ${replicaId} is no replica of it`;
        if (!place.isComplete) return `tablet ${tabletId}: leader ${replicaId} is not complete`;
      }
      return undefined;
    },
  },
  {
    name: 'I1-terms-only-grow',
    claim: 'Terms start at 1 and only grow, and each has one replica for ever.',
    check: ({ control, history }) => {
      const leads = control.leads();
      for (const [tabletId, { replicaId, term }] of leads) {
        if (!Number.isSafeInteger(term) || term < 1) return `tablet ${tabletId} has term ${term}`;
        const max = history.termMax.get(tabletId) ?? 0;
        if (term < max) return `tablet ${tabletId} went from term ${max} to ${term}`;
        const owner = history.replicaOfTerm.get(`${tabletId}/${term}`) ?? replicaId;
        if (owner !== replicaId) {
          return `tablet ${tabletId}: term ${term} is of replica ${owner} and of ${replicaId}`;
        }
        history.termMax.set(tabletId, term);
        history.replicaOfTerm.set(`${tabletId}/${term}`, replicaId);
      }
      for (const [tabletId, term] of history.termMax) {
        if (leads.has(tabletId) || control.visibleVersion(tabletId) === undefined) continue;
        return `tablet ${tabletId} had term ${term} and has none now`;
      }
      return undefined;
    },
  },
  {
    name: 'I19-resources-stay',
    claim: 'The resource of every cooled rowset is in the catalog.',
    check: (seen) => {
      for (const tabletId of seen.history.tablets) {
        if (seen.control.visibleVersion(tabletId) === undefined) continue;
        for (const { disk, state } of liveReplicas(seen, tabletId)) {
          for (const { rowsetId, place } of cooledOf(state.rowsets)) {
            if (place.kind === 'local' || seen.control.hasResource(place.resourceId)) continue;
            return `${disk.name}: rowset ${rowsetId} is in resource ${place.resourceId}, which is gone`;
          }
        }
      }
      return undefined;
    },
  },
];

export const ONE_RESOURCE = {
  name: 'I19-resources-stay',
  claim: 'All cooled data of a tablet is in one resource, for ever.',
  check: (
    { history }: Seen,
    tabletId: TabletId,
    { place, rowsetId }: ReplicaRowset,
  ): string | undefined => {
    if (place.kind === 'local') return undefined;
    const known = history.resourceOf.get(tabletId) ?? place.resourceId;
    history.resourceOf.set(tabletId, known);
    if (known === place.resourceId) return undefined;
    return `tablet ${tabletId}: rowset ${rowsetId} is in resource ${place.resourceId}, others are in ${known}`;
  },
} as const;

export const JOURNAL_FIRST = {
  name: 'I16-journal-before-effect',
  claim: 'Nothing is pushed to backends that is not durable in the catalog.',
  check: ({ history }: Seen, { tabletId, replicaId, term }: CooldownConf): string | undefined => {
    const owner = history.replicaOfTerm.get(`${tabletId}/${term}`);
    if (owner === replicaId) return undefined;
    return `tablet ${tabletId}: term ${term} of replica ${replicaId} is pushed, the catalog has ${owner ?? 'none'}`;
  },
} as const;

export const SETTLED_BEFORE_COLLECTION = {
  name: 'I14-collection-needs-all-settled',
  claim: 'A collection is confirmed only when no replica has an older list or an older term.',
  check: (seen: Seen, { tabletId, metaId, term }: UnusedFilesQuestion): string | undefined => {
    const places = seen.control.replicas(tabletId);
    for (const { backendId, replicaId } of places) {
      const disk = seen.disks().find((one) => one.backendId === backendId && !one.isTwin);
      const state = disk?.get(tabletId);
      const what = `tablet ${tabletId}: replica ${replicaId}`;
      if (state?.replicaId !== replicaId) return `${what} is not there`;
      // Published while the question was on its way: what it names is not collected.
      if (isOlder(seen, tabletId, state.metaId, metaId)) {
        return `${what} has meta id ${state.metaId}, not ${metaId}`;
      }
      if ((state.lead?.term ?? 0) < term) {
        return `${what} has term ${state.lead?.term}, not ${term}`;
      }
    }
    return undefined;
  },
} as const;

/** Lists are published one after the other, by term and sequence. */
function isOlder(
  { history }: Seen,
  tabletId: TabletId,
  metaId: string | undefined,
  than: string,
): boolean {
  if (metaId === than) return false;
  const own = history.published.get(`${tabletId}/${metaId}`);
  const asked = history.published.get(`${tabletId}/${than}`);
  if (own === undefined || asked === undefined) return true;
  return own.term < asked.term || (own.term === asked.term && own.seq < asked.seq);
}

export const SECRETS_STAY = {
  name: 'I20-no-credentials',
  claim: 'Credentials are in no line of a log and in no answer.',
  check: (text: string, secret: string): string | undefined =>
    text.includes(secret) ? `it says: ${text.replaceAll(secret, '(the secret)')}` : undefined,
} as const;

/** What is left to do when no fault is left; undefined: nothing. */
export interface LivenessClaim {
  readonly name: string;
  readonly claim: string;
}

export const LIVENESS = {
  L1: {
    name: 'L1-cold-data-is-remote',
    claim: 'Every cold rowset is remote, and all replicas have the meta id of HEAD.',
  },
  L2: {
    name: 'L2-no-orphans',
    claim: 'Nothing is in the bucket but HEAD, its manifest and what that names.',
  },
  L3: { name: 'L3-leaders-live', claim: 'Every tablet with a policy has a leader that is alive.' },
  L4: { name: 'L4-nothing-is-stuck', claim: 'No job, load, upload or repair waits for ever.' },
  L5: {
    name: 'L5-uploaded-once',
    claim: 'Without faults the bytes uploaded are the logical bytes.',
  },
  L6: {
    name: 'L6-replicas-as-asked',
    claim:
      'Every tablet has as many complete replicas as were asked for, none on a backend that was to leave.',
  },
  I17: {
    name: 'I17-pushes-end-in-the-last-term',
    claim: 'Whatever came twice, late or never: all replicas end with the last term.',
  },
} as const satisfies Record<string, LivenessClaim>;

export function tabletsOf(seen: Seen): readonly TabletId[] {
  return [...seen.history.tablets].filter(
    (tabletId) => seen.control.visibleVersion(tabletId) !== undefined,
  );
}
