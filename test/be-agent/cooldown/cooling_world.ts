/** Replicas of one tablet on several backends, one resource, real engines, virtual time. */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { FrontendPort } from '../../../base/agent_messages.ts';
import { Config } from '../../../base/config.ts';
import {
  type BackendId,
  type ReplicaId,
  type ResourceId,
  type RowsetId,
  type StoragePolicyId,
  type TabletId,
  id,
  rowsetId,
} from '../../../base/ids.ts';
import { type Log, type ObjectStore, SILENT_LOG } from '../../../base/ports.ts';
import type { AgentPolicy, PreparedRowset, ReplicaRowset } from '../../../base/replica.ts';
import { type SegmentMeta, segmentKey } from '../../../base/schema.ts';
import type { ColdMerge } from '../../../be-agent/cooldown/cold_merge.ts';
import { Cooldown } from '../../../be-agent/cooldown/cooldown.ts';
import type { CooldownEngine } from '../../../be-agent/cooldown/cooldown_engine.ts';
import { type Head, type Manifest, headKey } from '../../../be-agent/cooldown/manifest.ts';
import { LocalSegments } from '../../../be-agent/replica/local_segments.ts';
import { type ReplicaState, ReplicaStore } from '../../../be-agent/replica/replica_store.ts';
import { MemoryStore } from '../../../be-agent/store/memory_store.ts';
import { seededRandom } from '../store/test_ports.ts';
import { type CrashPoint, Life, guardStore } from './crashing.ts';
import { WorldClock } from './world_clock.ts';

export const TABLET: TabletId = id(10);
export const RESOURCE: ResourceId = id(77);
export const POLICY: StoragePolicyId = id(7);
export const TTL_SECONDS = 60;
const NO_CRASH: CrashPoint = { call: 0, isDone: false };

export interface WorldOptions {
  readonly replicas?: number;
  readonly config?: Readonly<Record<string, string>>;
  readonly policy?: Partial<AgentPolicy>;
  /** What engines see of the bucket. */
  readonly bucketOf?: (bucket: MemoryStore, node: Node) => ObjectStore;
  readonly isConditional?: boolean;
  /** Whose backend it is; by default nobody asks. */
  readonly clusterOf?: (node: Node) => string;
  readonly seed?: number;
  readonly startMs?: number;
}

/** What a load wrote, and how its bytes must be for ever. */
interface Loaded {
  readonly rowsetId: RowsetId;
  readonly version: number;
  readonly segments: readonly SegmentMeta[];
  readonly sha: readonly string[];
}

export class World {
  readonly clock: WorldClock;
  readonly bucket: MemoryStore;
  readonly nodes: Node[] = [];
  readonly loaded: Loaded[] = [];
  readonly options: WorldOptions;
  readonly random;
  /** Asked what may be deleted; by default nothing is confirmed. */
  confirm: (tabletIds: readonly TabletId[]) => readonly TabletId[] | Promise<readonly TabletId[]> =
    () => [];
  log: Log = SILENT_LOG;

  constructor(options: WorldOptions = {}) {
    this.options = options;
    this.clock = new WorldClock(options.startMs);
    this.random = seededRandom(options.seed ?? 11);
    this.bucket = this.newStore('memory');
    for (let n = 1; n <= (options.replicas ?? 1); n += 1) this.nodes.push(new Node(this, n));
  }

  newStore(name: string): MemoryStore {
    const limits = () => ({ retries: 3, timeoutMs: 1000 });
    return new MemoryStore({ clock: this.clock, random: this.random, limits }, name);
  }

  node(n: number): Node {
    const node = this.nodes[n - 1];
    if (node === undefined) throw new RangeError(`no node ${n}`);
    return node;
  }

  /** The same rowset on all of `nodes`; sizes of its segments, none: an empty one. */
  async load(version: number, sizes: readonly number[] = [100], nodes = this.nodes): Promise<void> {
    const rowset = rowsetId(`b${version.toString(16).padStart(31, '0')}`);
    const segments: SegmentMeta[] = [];
    const sha: string[] = [];
    for (const [segment, bytes] of sizes.entries()) {
      const body = bodyOf(version, { segment, bytes });
      const rows = 10 + segment;
      const indexOffset = Math.floor(bytes / 2);
      segments.push({ segment, bytes, rows, indexOffset, crc32: crc32(body) });
      sha.push(createHash('sha256').update(body).digest('hex'));
      for (const node of nodes) {
        await node.disk.put(segmentKey(TABLET, rowset, segment), body);
      }
    }
    for (const node of nodes) node.addRowset(rowset, version, segments);
    if (!this.loaded.some((known) => known.version === version)) {
      this.loaded.push({ rowsetId: rowset, version, segments, sha });
    }
  }

  async conf(leader: number, term: number, nodes = this.nodes): Promise<void> {
    const { replicaId } = this.node(leader);
    const pushes = nodes.map(async (node) => {
      try {
        await node.engine.pushConf([{ tabletId: TABLET, replicaId, term }]);
      } catch (error) {
        if (!node.life.isDead) throw error;
      }
    });
    let done = false;
    void Promise.all(pushes).then(() => (done = true));
    await this.clock.runUntil(() => done, 60_000);
  }

  async head(): Promise<Head | undefined> {
    const meta = await this.bucket.head(headKey(TABLET));
    return meta === undefined ? undefined : await this.json<Head>(headKey(TABLET));
  }

  async manifest(): Promise<Manifest | undefined> {
    const head = await this.head();
    return head === undefined ? undefined : await this.json<Manifest>(head.manifestKey);
  }

  async json<T>(key: string): Promise<T> {
    return JSON.parse(new TextDecoder().decode(await this.bucket.get(key))) as T;
  }

  dataKeys(): string[] {
    return this.bucket.keys().filter((key) => key.endsWith('.dat'));
  }

  /** All replicas have all that was loaded in the resource, and the same list. */
  isCooled(version: number, nodes = this.nodes): boolean {
    const metaIds = new Set(nodes.map((node) => node.state.metaId));
    return metaIds.size === 1 && nodes.every((node) => node.cooledVersion === version);
  }

  /** Every version that a replica has can be read, with the bytes that were loaded. */
  async check(): Promise<void> {
    for (const node of this.nodes) await node.checkReadable();
    await this.checkPublished();
  }

  async checkPublished(): Promise<void> {
    const manifest = await this.manifest();
    for (const { rowsetId: name, segments } of manifest?.rowsets ?? []) {
      for (const { segment, bytes } of segments) {
        const meta = await this.bucket.head(segmentKey(TABLET, name, segment));
        if (meta?.size !== bytes) throw new Error(`HEAD names a lost object of ${name}`);
      }
    }
  }
}

export class Node {
  readonly backendId: BackendId;
  readonly replicaId: ReplicaId;
  readonly disk: MemoryStore;
  store = ReplicaStore.open(':memory:');
  cooldown: Cooldown;
  engine: CooldownEngine;
  life = new Life(NO_CRASH);
  /** Of the life that goes on. */
  config = new Config();
  local: LocalSegments;
  readonly world: World;

  constructor(world: World, n: number) {
    this.world = world;
    this.backendId = id(n);
    this.replicaId = id(100 + n);
    this.disk = world.newStore(`disk ${n}`);
    this.create();
    this.local = new LocalSegments(this.disk, SILENT_LOG);
    this.cooldown = this.start();
    this.engine = this.cooldown.engine;
  }

  create(): void {
    const { clock, options } = this.world;
    const { replicaId } = this;
    const identity = { tabletId: TABLET, replicaId, tableId: id<never>(1) };
    const more = { partitionId: id<never>(5), indexId: id<never>(3), policyId: POLICY };
    this.store.create({ ...identity, ...more }, clock.now());
    const cooldown = { kind: 'ttl', seconds: TTL_SECONDS } as const;
    const policy = { policyId: POLICY, version: 0, resourceId: RESOURCE, cooldown };
    const policies = [{ ...policy, ...options.policy }];
    const resources = [{ resourceId: RESOURCE, version: 0 }];
    this.store.applyPolicies({ policies, resources, dropped: [] });
  }

  get state(): ReplicaState {
    const state = this.store.get(TABLET);
    if (state === undefined) throw new Error('the replica was dropped');
    return state;
  }

  get cooledVersion(): number {
    const cooled = this.state.rowsets.filter(({ place }) => place.kind === 'remote');
    return cooled.at(-1)?.endVersion ?? -1;
  }

  addRowset(name: RowsetId, version: number, segments: readonly SegmentMeta[]): void {
    const { replicaId } = this;
    const sum = (pick: (segment: SegmentMeta) => number): number =>
      segments.reduce((total, segment) => total + pick(segment), 0);
    const rowset: PreparedRowset = {
      tabletId: TABLET,
      replicaId,
      rowsetId: name,
      rows: sum(({ rows }) => rows),
      bytes: sum(({ bytes }) => bytes),
      segments,
      newestWriteMs: this.world.clock.now(),
    };
    this.store.prepare(id(version), [rowset]);
    const versions = [{ partitionId: id<never>(5), version }];
    this.store.settle({ txnId: id(version), state: 'VISIBLE', versions });
  }

  /** A new life on the same disk. */
  start(point: CrashPoint = NO_CRASH): Cooldown {
    this.life.kill();
    const life = new Life(point);
    this.life = life;
    const { clock, random, bucket, options, log } = this.world;
    const seen = options.bucketOf?.(bucket, this) ?? bucket;
    const remote = guardStore(life, seen, 'bucket');
    this.local = new LocalSegments(guardStore(life, this.disk, 'disk'), SILENT_LOG);
    this.config = new Config(options.config ?? {});
    const clusterId = options.clusterOf?.(this);
    this.cooldown = new Cooldown({
      backendId: this.backendId,
      ...(clusterId === undefined ? {} : { clusterId }),
      store: life.guardDb(this.store),
      local: this.local,
      resource: async () => await Promise.resolve(remote),
      config: this.config,
      clock: life.clock(clock),
      random,
      log,
      frontend: this.#frontend(),
      isConditional: async () => await Promise.resolve(options.isConditional ?? true),
      merge: joinBytes(remote),
    });
    this.engine = this.cooldown.engine;
    this.cooldown.start();
    return this.cooldown;
  }

  #frontend(): FrontendPort {
    const call = async (name: string, request: unknown): Promise<unknown> => {
      if (name !== 'confirmUnusedRemoteFiles') throw new Error(`unexpected call ${name}`);
      const { questions } = request as { questions: readonly { tabletId: TabletId }[] };
      return { confirmed: await this.world.confirm(questions.map(({ tabletId }) => tabletId)) };
    };
    return { call: call as FrontendPort['call'] };
  }

  async checkReadable(): Promise<void> {
    const { rowsets, version } = this.state;
    for (const { version: wanted, rowsetId: name, segments, sha } of this.world.loaded) {
      if (wanted > version) continue;
      const holder = rowsets.find((each) => each.rowsetId === name);
      if (holder === undefined) {
        await this.#checkMerged(rowsets, wanted);
        continue;
      }
      const from = holder.place.kind === 'local' ? this.disk : this.world.bucket;
      for (const { segment } of segments) {
        const body = await from.get(segmentKey(TABLET, name, segment));
        if (createHash('sha256').update(body).digest('hex') === sha[segment]) continue;
        throw new Error(`${this.replicaId} has other bytes of version ${wanted}`);
      }
    }
  }

  /** A merged rowset holds what its versions held, in their order. */
  async #checkMerged(rowsets: readonly ReplicaRowset[], version: number): Promise<void> {
    const merged = rowsets.find(
      ({ startVersion, endVersion, place }) =>
        startVersion < version && version <= endVersion && place.kind === 'remote',
    );
    if (merged === undefined) throw new Error(`${this.replicaId} lost version ${version}`);
    const { bucket, loaded } = this.world;
    const parts = loaded
      .filter((each) => merged.startVersion <= each.version && each.version <= merged.endVersion)
      .sort((a, b) => a.version - b.version)
      .flatMap(({ version: of, segments }) => segments.map((each) => bodyOf(of, each)));
    const wanted = Buffer.concat(parts);
    if (wanted.byteLength !== merged.bytes) throw new Error('a merged rowset has other bytes');
    if (merged.segments.length === 0) return;
    const found = await bucket.get(segmentKey(TABLET, merged.rowsetId, 0));
    if (Buffer.compare(found, wanted) !== 0) throw new Error('a merged rowset has other bytes');
  }
}

function bodyOf(version: number, { segment, bytes }: Pick<SegmentMeta, 'segment' | 'bytes'>) {
  return seededRandom(version * 100 + segment + 1).bytes(bytes);
}

/** Stands for the merge of Parquet files: one segment with all bytes. */
function joinBytes(remote: ObjectStore): ColdMerge {
  return async ({ tabletId, inputs, rowsetId: name }, output) => {
    const parts: Uint8Array[] = [];
    for (const { rowsetId: input, segments } of inputs) {
      for (const { segment } of segments) {
        parts.push(await remote.get(segmentKey(tabletId, input, segment)));
      }
    }
    const body = Buffer.concat(parts);
    await output.put(segmentKey(tabletId, name, 0), body);
    const rows = inputs.reduce((sum, input) => sum + input.rows, 0);
    const { byteLength: bytes } = body;
    const segment = { segment: 0, bytes, rows, indexOffset: 0, crc32: crc32(body) };
    return { rows, bytes, segments: [segment] };
  };
}
