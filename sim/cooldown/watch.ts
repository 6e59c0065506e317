/**
 * Looks at every change where it happens: bucket, replicas, control plane, messages. The first
 * thing that is wrong is kept; the run ends with it after the step.
 */
import type { UnusedFilesQuestion } from '../../base/agent_messages.ts';
import type { RowsetId, TabletId } from '../../base/ids.ts';
import type { CooldownConf } from '../../base/replica.ts';
import type { ReplicaState } from '../../be-agent/replica/replica_store.ts';
import type { Failure } from '../simulation.ts';
import type { Bucket, BucketCall, BucketChange, BucketWatcher } from './bucket.ts';
import { BUCKET_INVARIANTS, CALL_INVARIANTS } from './bucket_invariants.ts';
import {
  CONTROL_INVARIANTS,
  JOURNAL_FIRST,
  ONE_RESOURCE,
  SECRETS_STAY,
  SETTLED_BEFORE_COLLECTION,
} from './control_invariants.ts';
import type { Query } from './queries.ts';
import { REPLICA_INVARIANTS, metaProblem } from './replica_invariants.ts';
import {
  type Head,
  type Manifest,
  partsOfKey,
  publishedManifest,
  readJson,
} from './remote_objects.ts';
import { type DiskSeen, type Seen, listKey } from './seen.ts';

interface Claim {
  readonly name: string;
  readonly claim: string;
}

export class CooldownWatch implements BucketWatcher {
  #problem: Failure | undefined;
  readonly #seen: () => Seen;
  readonly #last = new Map<string, ReplicaState>();
  /** How often each invariant was asked. */
  readonly checks = new Map<string, number>();

  constructor(bucket: Bucket, seen: () => Seen) {
    this.#seen = seen;
    bucket.watch(this);
  }

  get problem(): Failure | undefined {
    return this.#problem;
  }

  onBegin(call: BucketCall): void {
    const seen = this.#seen();
    const parts = partsOfKey(call.key);
    for (const one of CALL_INVARIANTS) this.found(one, one.check(seen, call, parts));
  }

  onChange(change: BucketChange): void {
    const seen = this.#seen();
    const parts = partsOfKey(change.key);
    for (const one of BUCKET_INVARIANTS) this.found(one, one.check(seen, change, parts));
    if (change.after === undefined) return;
    if (parts.kind === 'head') {
      this.#noteHead(seen, parts.tabletId, readJson<Head>(change.after));
    } else if (parts.kind === 'term') {
      this.#notePublished(seen, parts.tabletId, readJson<Manifest>(change.after));
    }
  }

  /** After a change of a replica is durable. */
  replicaChanged(disk: DiskSeen, tabletId: TabletId): void {
    const seen = this.#seen();
    const key = `${disk.name}/${tabletId}`;
    const before = this.#last.get(key);
    const after = disk.get(tabletId);
    if (after === undefined) {
      this.#last.delete(key);
      return;
    }
    this.#last.set(key, after);
    for (const rowset of after.rowsets) {
      const { rowsetId, place } = rowset;
      if (place.kind === 'local') seen.history.localOnce.add(`${disk.name}/${rowsetId}`);
      this.found(ONE_RESOURCE, ONE_RESOURCE.check(seen, tabletId, rowset));
    }
    // Of a table that is gone nobody keeps count any more.
    if (seen.control.visibleVersion(tabletId) === undefined) return;
    const change = { disk, tabletId, before, after };
    for (const one of REPLICA_INVARIANTS) this.found(one, one.check(seen, change, after));
  }

  /** A local segment is about to go. */
  localDeleted(disk: DiskSeen, key: string): void {
    const parts = partsOfKey(key);
    if (parts.kind !== 'data') return;
    const state = disk.get(parts.tabletId);
    const isNeeded = state?.rowsets.some(
      ({ rowsetId, place }) => rowsetId === parts.rowsetId && place.kind === 'local',
    );
    const problem = isNeeded === true ? `${disk.name} deletes ${key}, which it reads` : undefined;
    this.found(LOCAL_KEPT, problem);
  }

  /** A load has sent a segment, perhaps again. */
  written(disk: DiskSeen, rowsetId: RowsetId): void {
    this.#seen().history.localOnce.delete(`${disk.name}/${rowsetId}`);
  }

  /** The disk was replaced by an empty one. */
  diskLost(disk: DiskSeen): void {
    const { localOnce } = this.#seen().history;
    for (const key of localOnce) if (key.startsWith(`${disk.name}/`)) localOnce.delete(key);
    for (const key of this.#last.keys()) {
      if (key.startsWith(`${disk.name}/`)) this.#last.delete(key);
    }
  }

  /** A query was to read an object that is not there. */
  missed(query: Query | undefined, disk: DiskSeen, key: string): void {
    const isRead = query?.isOpen === true;
    const what = `query ${query?.number ?? 0} on ${disk.name} finds no ${key}`;
    this.found(QUERIES_FIND_ALL, isRead ? what : undefined);
  }

  /** A query has come to its end; `rows` as it has read them. */
  wasRead(tabletId: TabletId, version: number, rows: readonly string[]): void {
    const expected = this.#seen().content.expected(tabletId, 0, version).join(' ');
    const isRight = rows.toSorted().join(' ') === expected;
    const what = `tablet ${tabletId}, version ${version}: read were [${rows.join(' ')}], it has [${expected}]`;
    this.found(QUERIES_READ_THEIR_VERSION, isRight ? undefined : what);
  }

  controlChanged(): void {
    const seen = this.#seen();
    for (const one of CONTROL_INVARIANTS) this.found(one, one.check(seen));
  }

  pushed(confs: readonly CooldownConf[]): void {
    const seen = this.#seen();
    for (const conf of confs) this.found(JOURNAL_FIRST, JOURNAL_FIRST.check(seen, conf));
  }

  confirmed(questions: readonly UnusedFilesQuestion[], confirmed: readonly TabletId[]): void {
    const seen = this.#seen();
    for (const question of questions) {
      if (!confirmed.includes(question.tabletId)) continue;
      this.found(SETTLED_BEFORE_COLLECTION, SETTLED_BEFORE_COLLECTION.check(seen, question));
    }
  }

  said(text: string, secret: string): void {
    this.found(SECRETS_STAY, SECRETS_STAY.check(text, secret));
  }

  found({ name, claim }: Claim, problem: string | undefined): void {
    this.checks.set(name, (this.checks.get(name) ?? 0) + 1);
    if (problem !== undefined) this.#problem ??= { invariant: name, claim, problem };
  }

  #noteHead(seen: Seen, tabletId: TabletId, head: Head | undefined): void {
    const manifest = publishedManifest(seen.bucket, tabletId);
    if (head === undefined) return;
    seen.history.heads.set(tabletId, head);
    if (typeof manifest === 'object') this.#notePublished(seen, tabletId, manifest);
  }

  #notePublished(seen: Seen, tabletId: TabletId, manifest: Manifest | undefined): void {
    if (manifest === undefined) return;
    seen.history.published.set(`${tabletId}/${manifest.metaId}`, manifest);
    const problem = metaProblem(seen, manifest.metaId, listKey(tabletId, manifest.rowsets));
    this.found(META_ID, problem);
  }
}

const LOCAL_KEPT: Claim = {
  name: 'I5-durable-before-local-goes',
  claim: 'A local segment is deleted only when no rowset of the replica is read from it.',
};

const QUERIES_FIND_ALL: Claim = {
  name: 'I7-readers-find-all',
  claim: 'Every object that a query reads from the bucket is there until the query has ended.',
};

const QUERIES_READ_THEIR_VERSION: Claim = {
  name: 'I11-no-version-lost',
  claim: 'A query that does not fail has read exactly the rows of its version.',
};

const META_ID: Claim = {
  name: 'I12-meta-id-is-the-list',
  claim: 'Equal meta ids mean equal lists of cooled rowsets, and equal lists equal meta ids.',
};
