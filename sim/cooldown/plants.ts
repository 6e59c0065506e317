/**
 * Defects to put in, from outside, between real parts: each must make an invariant fail. Product
 * code knows nothing of them. The numbers are those of the defects of the first version
 * (`2.1` its data path, `2.2` its control plane, `3.4` what later versions still had).
 */
import type { FrontendPort, UnusedFilesQuestion } from '../../base/agent_messages.ts';
import type { ObjectStore } from '../../base/ports.ts';
import type { ReplicaState, ReplicaStore } from '../../be-agent/replica/replica_store.ts';
import { segmentKey } from '../../base/schema.ts';
import type { TabletId } from '../../base/ids.ts';
import type { Bucket } from './bucket.ts';
import type { ControlRules } from './model_server.ts';
import type { DiskSeen } from './seen.ts';

export interface CoolPlant {
  /** Which defect, and what is wrong, in one sentence. */
  readonly bug: string;
  /** What a backend keeps of its replicas. */
  store(honest: ReplicaStore, on: DiskSeen): ReplicaStore;
  /** How a backend sees the bucket. */
  bucket(honest: ObjectStore, on: DiskSeen): ObjectStore;
  /** What a backend says to the server. */
  frontend(honest: FrontendPort, on: DiskSeen): FrontendPort;
  /** What a backend answers. */
  answer(
    name: string,
    request: unknown,
    honest: () => Promise<unknown>,
    parts: { readonly store: ReplicaStore; readonly view: ObjectStore },
  ): Promise<unknown>;
  readonly rules: Partial<ControlRules>;
  bucketRules(bucket: Bucket): void;
  /** From when on what a query reads is held: from its look-up of tables, its scan, or never. */
  readonly holdsFrom: 'lookup' | 'scan' | 'never';
}

export const NOTHING_PLANTED: CoolPlant = {
  bug: 'none',
  store: (honest) => honest,
  bucket: (honest) => honest,
  frontend: (honest) => honest,
  answer: async (_name, _request, honest) => await honest(),
  rules: {},
  bucketRules: () => undefined,
  holdsFrom: 'lookup',
};

/** `honest` with some of its methods replaced. */
function altered<T extends object>(honest: T, changes: Partial<T>): T {
  return new Proxy(honest, {
    get: (target, name) => {
      const source = Object.hasOwn(changes, name) ? changes : target;
      const value: unknown = Reflect.get(source, name, source);
      return typeof value === 'function' ? value.bind(source) : value;
    },
  });
}

function isManifest(key: string): boolean {
  return key.includes('/m/');
}

function isHead(key: string): boolean {
  return key.endsWith('/HEAD');
}

export const COOL_PLANTS = {
  none: NOTHING_PLANTED,

  'close-is-ignored': {
    ...NOTHING_PLANTED,
    bug: '2.1 #5: a manifest counts as written although it never became visible',
    bucket: (honest) =>
      altered(honest, {
        put: async (key, body, options) =>
          isManifest(key) ? { etag: 'lost' } : await honest.put(key, body, options),
      }),
  },

  'swap-is-not-saved': {
    ...NOTHING_PLANTED,
    bug: '2.1 #15: local files go although the swap in the replica was not saved',
    store: (honest) =>
      altered(honest, {
        replace: (tabletId, change) => {
          if (change.add.every(({ place }) => place.kind === 'remote')) return true;
          return honest.replace(tabletId, change);
        },
      }),
  },

  'local-before-published': {
    ...NOTHING_PLANTED,
    bug: '3.4 e: the local swap comes before the list is published',
    bucket: (honest) =>
      altered(honest, {
        put: async (key, body, options) =>
          isHead(key) ? { etag: 'later' } : await honest.put(key, body, options),
      }),
  },

  'manifest-of-no-term': {
    ...NOTHING_PLANTED,
    bug: '2.1 #8, #14: the key of a manifest has no term, a later one replaces it',
    bucket: (honest) => {
      const short = (key: string): string => key.replace(/\/m\/\d+\.\d+\./, '/m/1.1.');
      return altered(honest, {
        put: async (key, body, options) =>
          isManifest(key)
            ? await honest.put(short(key), body)
            : await honest.put(key, body, options),
        get: async (key, options) => await honest.get(short(key), options),
      });
    },
  },

  'nothing-is-adopted': {
    ...NOTHING_PLANTED,
    bug: '2.1 #9: a new leader does not look at what the old one has published',
    bucket: (honest, on) => {
      const isForeign = async (key: string): Promise<boolean> => {
        const head = JSON.parse(Buffer.from(await honest.get(key)).toString()) as {
          replica: number;
          term: number;
        };
        const tabletId = Number(key.split('/')[1]) as TabletId;
        const state = on.get(tabletId);
        return state?.lead?.replicaId === state?.replicaId && head.replica !== state?.replicaId;
      };
      return altered(honest, {
        head: async (key, options) => {
          const found = await honest.head(key, options);
          return found !== undefined && isHead(key) && (await isForeign(key)) ? undefined : found;
        },
        put: async (key, body, options) =>
          isHead(key) ? await honest.put(key, body) : await honest.put(key, body, options),
      });
    },
    store: (honest) => {
      const bare = (state: ReplicaState | undefined): ReplicaState | undefined => {
        if (state?.lead?.replicaId !== state?.replicaId || state === undefined) return state;
        const { metaId: _, ...rest } = state;
        return rest.rowsets.some(({ place }) => place.kind === 'remote') ? state : rest;
      };
      return altered(honest, { get: (tabletId) => bare(honest.get(tabletId)) });
    },
  },

  'no-fencing': {
    ...NOTHING_PLANTED,
    bug: '2.1 #10, 3.4 d: the store does not heed conditions, a stale leader overwrites HEAD',
    bucketRules: (bucket) => {
      bucket.heedsConditions = false;
    },
  },

  'manifest-is-unsorted': {
    ...NOTHING_PLANTED,
    bug: '2.1 #11: the order of rowsets in a manifest is not defined',
    bucket: (honest) =>
      altered(honest, {
        put: async (key, body, options) => {
          if (!isManifest(key)) return await honest.put(key, body, options);
          const manifest = JSON.parse(Buffer.from(body).toString()) as { rowsets: unknown[] };
          manifest.rowsets.reverse();
          return await honest.put(key, Buffer.from(JSON.stringify(manifest)), options);
        },
      }),
  },

  'everybody-uploads': {
    ...NOTHING_PLANTED,
    bug: '2.1 #3: a replica uploads that does not know that it leads',
    store: (honest) =>
      altered(honest, {
        get: (tabletId) => {
          const state = honest.get(tabletId);
          if (state?.lead === undefined) return state;
          return { ...state, lead: { ...state.lead, replicaId: state.replicaId } };
        },
        list: () =>
          honest.list().map((state) => {
            if (state.lead === undefined) return state;
            return { ...state, lead: { ...state.lead, replicaId: state.replicaId } };
          }),
      }),
  },

  'nobody-follows': {
    ...NOTHING_PLANTED,
    bug: '2.1 #4: followers fail and keep their local copies for ever',
    bucket: (honest, on) =>
      altered(honest, {
        head: async (key, options) => {
          const state = on.get(Number(key.split('/')[1]) as TabletId);
          const isFollower = state?.lead?.replicaId !== state?.replicaId;
          return isHead(key) && isFollower ? undefined : await honest.head(key, options);
        },
      }),
  },

  'drop-deletes-shared': {
    ...NOTHING_PLANTED,
    bug: '2.1 #12, #13: who drops one replica deletes objects that the others read',
    answer: async (name, request, honest, { store, view }) => {
      if (name === 'dropReplicas') {
        const { replicas } = request as { replicas: readonly { tabletId: TabletId }[] };
        for (const { tabletId } of replicas) {
          const keys = (store.get(tabletId)?.rowsets ?? []).flatMap(({ rowsetId, segments }) =>
            segments.map(({ segment }) => segmentKey(tabletId, rowsetId, segment)),
          );
          await view.delete(keys);
        }
      }
      return await honest();
    },
  },

  'drop-waits-for-nobody': {
    ...NOTHING_PLANTED,
    bug: '2.1 #12: objects of a dropped table go while replicas still upload',
    rules: { mayDelete: () => true },
  },

  'meta-id-is-kept': {
    ...NOTHING_PLANTED,
    bug: '3.4 b (#17644, #32798): the list of cooled rowsets changes and its meta id stays',
    store: (honest) =>
      altered(honest, {
        replace: (tabletId, change) => {
          const known = honest.get(tabletId)?.metaId;
          const { metaId = known, ...rest } = change;
          const kept = known ?? metaId;
          return honest.replace(tabletId, kept === undefined ? rest : { ...rest, metaId: kept });
        },
      }),
  },

  'upload-is-not-verified': {
    ...NOTHING_PLANTED,
    bug: '3.4 i (#33644): half an object counts as uploaded',
    bucket: (honest) => {
      const sent = new Map<string, Uint8Array>();
      return altered(honest, {
        put: async (key, body, options) => {
          if (!key.endsWith('.dat')) return await honest.put(key, body, options);
          sent.set(key, body.slice());
          return await honest.put(key, body.slice(0, body.length >> 1), options);
        },
        head: async (key, options) => {
          const found = await honest.head(key, options);
          const size = sent.get(key)?.length;
          return found === undefined || size === undefined ? found : { ...found, size };
        },
        get: async (key, options) => {
          const body = sent.get(key);
          if (body === undefined) return await honest.get(key, options);
          const { offset = 0, length = body.length, into } = options ?? {};
          const part = body.slice(offset, offset + length);
          into?.set(part);
          return into?.subarray(0, part.length) ?? part;
        },
      });
    },
  },

  'confirmed-unasked': {
    ...NOTHING_PLANTED,
    bug: '3.4 a, b: a collection is confirmed whatever the replicas have',
    rules: { mayCollect: () => true },
  },

  'collected-at-once': {
    ...NOTHING_PLANTED,
    bug: '3.4 a: an object is collected that is read, because it is not in the own list any more',
    frontend: (honest) =>
      altered(honest, {
        call: (async (name: 'confirmUnusedRemoteFiles', request: never, options: never) => {
          if (name !== 'confirmUnusedRemoteFiles') return await honest.call(name, request, options);
          const { questions } = request as { questions: readonly UnusedFilesQuestion[] };
          return { confirmed: questions.map(({ tabletId }) => tabletId) };
        }) as FrontendPort['call'],
      }),
  },

  'collects-under-scan': {
    ...NOTHING_PLANTED,
    bug: 'I8: a collection does not wait for queries that read what was there before',
    holdsFrom: 'never',
  },

  'holds-from-scan-on': {
    ...NOTHING_PLANTED,
    bug: 'I8: a query holds what it reads only from its scan on, and knows its version before',
    holdsFrom: 'scan',
  },

  'dead-leader-stays': {
    ...NOTHING_PLANTED,
    bug: '2.2 #16: whether a leader lives is not looked at',
    rules: { mayStay: () => true },
  },

  'anybody-is-elected': {
    ...NOTHING_PLANTED,
    bug: '2.2 #17: a replica is elected that is not complete, or dead',
    rules: { elect: (candidates) => candidates.at(-1) },
  },

  'terms-are-not-compared': {
    ...NOTHING_PLANTED,
    bug: '2.2 #18: a replica that has the right leader of an old term is not told',
    rules: { needsPush: (known, { replicaId }) => known?.replicaId !== replicaId },
  },

  'pushed-before-journal': {
    ...NOTHING_PLANTED,
    bug: '2.2 #20: a term is pushed that is not in the journal',
    rules: { isJournalFirst: false },
  },

  'terms-begin-anywhere': {
    ...NOTHING_PLANTED,
    bug: '2.2 #25: the first term is 0, or -1',
    rules: { nextTerm: (last) => (last?.term ?? -1) + 1 },
  },

  'terms-get-lost': {
    ...NOTHING_PLANTED,
    bug: '2.2 #20, #26: a server that starts again has older terms',
    rules: {
      recover: ({ leads }) => {
        for (const [tabletId, lead] of leads) leads.set(tabletId, { ...lead, term: 1 });
      },
    },
  },

  'resource-goes-with-policy': {
    ...NOTHING_PLANTED,
    bug: '2.2 #29, 3.4 g: where cooled data lies is looked up by the policy',
    rules: {
      recover: (journal) => {
        journal.policy = { ...journal.policy, resourceId: 999 as never };
      },
    },
  },
} as const satisfies Record<string, CoolPlant>;

export type CoolPlantName = keyof typeof COOL_PLANTS;

export function isCoolPlantName(name: string): name is CoolPlantName {
  return Object.hasOwn(COOL_PLANTS, name);
}
