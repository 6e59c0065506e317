import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import Database from 'better-sqlite3';
import { join } from 'node:path';
import { type ResourceId, id } from '../../../base/ids.ts';
import { initialRowsetId } from '../../../base/replica.ts';
import { ReplicaStore } from '../../../be-agent/replica/replica_store.ts';
import {
  TABLET,
  newReplica,
  preparedRowset,
  removeDir,
  rowsetName,
  segmentMeta,
  tempDir,
  txn,
  visible,
  visibleRowset,
} from './replica_fixture.ts';

const REPLICA = newReplica().replicaId;
const RESOURCE: ResourceId = id(77);

let dir: string;
let store: ReplicaStore;

beforeEach(() => {
  dir = tempDir();
  store = ReplicaStore.open(join(dir, 'agent.db'));
});

afterEach(() => {
  store.close();
  removeDir(dir);
});

/** As after kill -9: what the next process finds. */
function reopen(): ReplicaStore {
  store.close();
  store = ReplicaStore.open(join(dir, 'agent.db'));
  return store;
}

/** Memory and disk say the same. */
function expectDurable(): void {
  const before = store.list();
  expect(reopen().list()).toEqual(before);
}

describe('replicas', () => {
  it('begin with the empty rowset [0-1] and survive', () => {
    store.create(newReplica(TABLET, { policyId: id(9) }), 500);
    expect(store.get(TABLET)).toMatchObject({ version: 1, isBad: false, policyId: 9 });
    expect(store.get(TABLET)?.rowsets).toEqual([
      {
        rowsetId: initialRowsetId(TABLET),
        startVersion: 0,
        endVersion: 1,
        rows: 0,
        bytes: 0,
        segments: [],
        createdMs: 500,
        newestWriteMs: 500,
        place: { kind: 'local' },
      },
    ]);
    expectDurable();
  });

  it('are made once; another id for the tablet is refused', () => {
    store.create(newReplica());
    store.create(newReplica(TABLET, { policyId: id(9) }));
    expect(store.get(TABLET)?.policyId).toBe(9);
    const other = newReplica(TABLET, { replicaId: id(999) });
    expect(() => {
      store.create(other);
    }).toThrow(/has replica 101 on backend .*, not 999/);
    expectDurable();
  });

  it('are dropped by both ids; prepared rowsets go along', () => {
    store.create(newReplica());
    store.prepare(txn(1), [preparedRowset(1)]);
    store.settle(visible(1, 2));
    store.prepare(txn(2), [preparedRowset(2)]);
    expect(store.drop(TABLET, id(999))).toEqual([]);
    const files = store.drop(TABLET, REPLICA).map(({ rowsetId }) => rowsetId);
    expect(files).toEqual([initialRowsetId(TABLET), rowsetName(1), rowsetName(2)]);
    expect(store.drop(TABLET, REPLICA)).toEqual([]);
    expect(store.prepared()).toEqual([]);
    expectDurable();
    expect(store.list()).toEqual([]);
  });

  it('take a lead with a larger term only', () => {
    const conf = { tabletId: TABLET, replicaId: REPLICA, term: 2 };
    expect(store.setLead(conf).outcome).toBe('MISSING');
    store.create(newReplica());
    expect(store.setLead(conf).outcome).toBe('ACCEPTED');
    expect(reopen().get(TABLET)?.lead).toEqual({ replicaId: REPLICA, term: 2 });
    expect(store.setLead(conf).outcome).toBe('SAME');
    expect(store.setLead({ ...conf, term: 1 })).toMatchObject({
      outcome: 'STALE',
      lead: { term: 2 },
    });
    expect(store.setLead({ ...conf, replicaId: id(5) }).outcome).toBe('CONFLICT');
    expect(store.setLead({ ...conf, replicaId: id(5), term: 3 }).outcome).toBe('ACCEPTED');
    expectDurable();
    expect(store.get(TABLET)?.lead).toEqual({ replicaId: 5, term: 3 });
  });

  it('change their policy, and lose it', () => {
    store.create(newReplica());
    store.setPolicy(TABLET, id(4));
    expectDurable();
    expect(store.get(TABLET)?.policyId).toBe(4);
    store.setPolicy(TABLET, undefined);
    expectDurable();
    expect(store.get(TABLET)).not.toHaveProperty('policyId');
    store.setPolicy(id(12345), id(4));
  });

  it('are bad until they are repaired', () => {
    store.create(newReplica());
    store.markBad(TABLET, 'a segment is gone');
    expectDurable();
    expect(store.get(TABLET)?.isBad).toBe(true);
    expect(store.badReason(TABLET)).toBe('a segment is gone');
    store.clearBad(TABLET);
    expectDurable();
    expect(store.badReason(TABLET)).toBeUndefined();
  });
});

describe('loads', () => {
  beforeEach(() => {
    store.create(newReplica());
  });

  it('become visible with their version, in any order, and repeats change nothing', () => {
    store.prepare(txn(1), [preparedRowset(1)]);
    store.prepare(txn(2), [preparedRowset(2)]);
    reopen();
    expect(store.settle(visible(2, 3))).toEqual([]);
    expect(store.get(TABLET)?.version).toBe(1);
    expect(store.settle(visible(1, 2))).toEqual([]);
    expect(store.get(TABLET)?.version).toBe(3);
    expect(store.settle(visible(1, 2))).toEqual([]);
    store.prepare(txn(1), [preparedRowset(1)]);
    expect(store.prepared()).toEqual([]);
    expect(store.get(TABLET)?.rowsets.map(({ rowsetId }) => rowsetId)).toEqual([
      initialRowsetId(TABLET),
      rowsetName(1),
      rowsetName(2),
    ]);
    expectDurable();
  });

  it('that are aborted or unknown leave nothing but files to delete', () => {
    store.prepare(txn(1), [preparedRowset(1)]);
    store.prepare(txn(2), [preparedRowset(2)]);
    expect(store.settle({ txnId: txn(1), state: 'RUNNING' })).toEqual([]);
    const file = { tabletId: TABLET, rowsetId: rowsetName(1), segments: [segmentMeta()] };
    expect(store.settle({ txnId: txn(1), state: 'ABORTED' })).toEqual([file]);
    expect(store.settle({ txnId: txn(1), state: 'ABORTED' })).toEqual([]);
    expect(store.settle({ txnId: txn(2), state: 'UNKNOWN' })).toHaveLength(1);
    expect(store.prepared()).toEqual([]);
    expectDurable();
    expect(store.get(TABLET)?.version).toBe(1);
  });

  it('are prepared for all tablets or for none', () => {
    store.create(newReplica(id(11)));
    const other = preparedRowset(2, { tabletId: id(11), replicaId: id(12345) });
    expect(() => {
      store.prepare(txn(1), [preparedRowset(1), other]);
    }).toThrow(/has replica 111/);
    expect(store.prepared()).toEqual([]);
    const missing = preparedRowset(2, { tabletId: id(12), replicaId: id(121) });
    expect(() => {
      store.prepare(txn(1), [preparedRowset(1), missing]);
    }).toThrow(/has no replica of tablet 12/);
    expect(store.prepared()).toEqual([]);
  });

  it('have one rowset of a tablet', () => {
    store.prepare(txn(1), [preparedRowset(1)]);
    expect(() => {
      store.prepare(txn(1), [preparedRowset(2)]);
    }).toThrow(/has prepared another rowset of tablet 10/);
    expect(store.prepared()).toEqual([{ txnId: 1, rowsets: [preparedRowset(1)] }]);
  });

  it('keep what the outcome does not speak of', () => {
    store.prepare(txn(1), [preparedRowset(1)]);
    const elsewhere = { partitionId: id<never>(6), version: 2 };
    store.settle({ txnId: txn(1), state: 'VISIBLE', versions: [elsewhere] });
    expect(store.prepared()).toHaveLength(1);
  });

  it('whose version a clone has brought are not needed; their files go unless it is the same', () => {
    store.prepare(txn(1), [preparedRowset(1)]);
    store.prepare(txn(2), [preparedRowset(2)]);
    const add = [visibleRowset(1, [2, 2]), visibleRowset(9, [3, 4])];
    expect(store.replace(TABLET, { replicaId: REPLICA, remove: [], add })).toBe(true);
    expect(store.settle(visible(1, 2))).toEqual([]);
    expect(store.settle(visible(2, 3)).map(({ rowsetId }) => rowsetId)).toEqual([rowsetName(2)]);
    expect(store.get(TABLET)?.version).toBe(4);
    expectDurable();
  });
});

describe('replacing rowsets', () => {
  beforeEach(() => {
    store.create(newReplica());
    const add = [visibleRowset(1, [2, 2]), visibleRowset(2, [3, 3]), visibleRowset(3, [5, 5])];
    store.replace(TABLET, { replicaId: REPLICA, remove: [], add });
  });

  it('is one step with the meta id', () => {
    const remote = { kind: 'remote', resourceId: RESOURCE } as const;
    const cooled = visibleRowset(1, [2, 2], { place: remote });
    const change = { replicaId: REPLICA, remove: [rowsetName(1)], add: [cooled], metaId: 'm1' };
    expect(store.replace(TABLET, change)).toBe(true);
    expectDurable();
    expect(store.get(TABLET)).toMatchObject({ version: 3, metaId: 'm1' });
    expect(store.get(TABLET)?.rowsets[1]?.place).toEqual(remote);
  });

  it('keeps the meta id when none is given', () => {
    store.replace(TABLET, { replicaId: REPLICA, remove: [], add: [], metaId: 'm1' });
    store.replace(TABLET, { replicaId: REPLICA, remove: [], add: [visibleRowset(4, [4, 4])] });
    expect(store.get(TABLET)).toMatchObject({ version: 5, metaId: 'm1' });
    expectDurable();
  });

  it('does nothing when replica or rowset are others by now', () => {
    const before = store.get(TABLET);
    const gone = { replicaId: REPLICA, remove: [rowsetName(8)], add: [] };
    expect(store.replace(TABLET, gone)).toBe(false);
    expect(store.replace(TABLET, { replicaId: id(1), remove: [], add: [] })).toBe(false);
    expect(store.replace(id(999), { replicaId: REPLICA, remove: [], add: [] })).toBe(false);
    expect(store.get(TABLET)).toBe(before);
  });

  it('refuses overlaps and lost versions, and then nothing has changed', () => {
    const overlapping = [visibleRowset(7, [3, 4])];
    expect(() => {
      store.replace(TABLET, { replicaId: REPLICA, remove: [], add: overlapping });
    }).toThrow(/overlaps/);
    expect(() => {
      store.replace(TABLET, { replicaId: REPLICA, remove: [rowsetName(2)], add: [] });
    }).toThrow(/from version 3 to 2/);
    expectDurable();
    expect(store.get(TABLET)?.version).toBe(3);
  });
});

describe('listeners', () => {
  it('hear of a change when it is durable, once, and not of one that failed', () => {
    const heard: string[] = [];
    const stop = store.onChange((tabletId) => {
      heard.push(`${tabletId} ${store.get(tabletId)?.version ?? 'gone'}`);
    });
    store.batch(() => {
      store.create(newReplica());
      store.setPolicy(TABLET, id(3));
      expect(store.get(TABLET)?.policyId).toBe(3);
    });
    expect(() => {
      store.batch(() => {
        store.create(newReplica(id(11)));
        throw new Error('stop');
      });
    }).toThrow('stop');
    expect(store.get(id(11))).toBeUndefined();
    store.drop(TABLET, REPLICA);
    stop();
    store.create(newReplica());
    expect(heard).toEqual(['10 1', '10 gone']);
    expectDurable();
  });
});

describe('uploads, policies and resources', () => {
  it('are remembered until they end', () => {
    const upload = {
      tabletId: TABLET,
      rowsetId: rowsetName(1),
      resourceId: RESOURCE,
      startedMs: 5,
    };
    store.beginUpload(upload);
    store.beginUpload({ ...upload, startedMs: 9 });
    store.beginUpload({ ...upload, rowsetId: rowsetName(2), tabletId: id(11) });
    reopen();
    expect(store.uploads(TABLET)).toEqual([upload]);
    expect(store.uploads()).toHaveLength(2);
    store.endUpload(rowsetName(1));
    store.endUpload(rowsetName(1));
    expect(reopen().uploads(TABLET)).toEqual([]);
  });

  it('newer versions replace older ones', () => {
    const policy = (version: number, seconds: number) =>
      ({
        policyId: id<never>(4),
        version,
        resourceId: RESOURCE,
        cooldown: { kind: 'ttl', seconds },
      }) as const;
    const date = {
      policyId: id<never>(5),
      version: 0,
      resourceId: RESOURCE,
      cooldown: { kind: 'datetime', atMs: 9 },
    } as const;
    const push = (version: number, seconds: number) => {
      const resources = [{ resourceId: RESOURCE, version }];
      store.applyPolicies({ policies: [policy(version, seconds), date], resources, dropped: [] });
    };
    push(2, 20);
    push(1, 10);
    expect(reopen().policies()).toEqual([policy(2, 20), date]);
    expect(store.resources()).toEqual([{ resourceId: RESOURCE, version: 2 }]);
    push(3, 30);
    store.applyPolicies({ policies: [], resources: [], dropped: [id(5)] });
    expect(reopen().policies()).toEqual([policy(3, 30)]);
    expect(store.resources()).toEqual([{ resourceId: RESOURCE, version: 3 }]);
  });
});

it('a file of a version that it does not know is refused', () => {
  const file = join(dir, 'newer.db');
  const newer = new Database(file);
  newer.pragma('user_version = 99');
  newer.close();
  expect(() => ReplicaStore.open(file)).toThrow(/has version 99/);
});
