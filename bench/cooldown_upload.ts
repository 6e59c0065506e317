/**
 * How fast a leader cools: replicas with segments of 16 MiB on the local disk are uploaded to a real
 * S3 server, verified, published and swapped, against a bare loop of PUTs of as many bytes by the
 * same client with the same concurrency. The two take turns at going first.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import type { FrontendPort } from '../base/agent_messages.ts';
import { Config } from '../base/config.ts';
import { type BackendId, type ReplicaId, type TabletId, id, rowsetId } from '../base/ids.ts';
import { type ObjectStore, SILENT_LOG } from '../base/ports.ts';
import { segmentKey } from '../base/schema.ts';
import { systemClock, systemRandom } from '../base/system_ports.ts';
import { Cooldown } from '../be-agent/cooldown/cooldown.ts';
import { LocalSegments } from '../be-agent/replica/local_segments.ts';
import { ReplicaStore } from '../be-agent/replica/replica_store.ts';
import { openStore } from '../be-agent/store/open_store.ts';
import type { Bench, BenchContext, Figure } from './bench.ts';
import { startOwnS3 } from './own_s3.ts';
import { median } from './statistics.ts';

const MIB = 2 ** 20;
const SEGMENT_BYTES = 16 * MIB;
const TABLETS = 32;
const TABLETS_QUICK = 8;
const ROUNDS = 8;
const ROUNDS_QUICK = 3;
const BUCKET = 'cold';
const POLL_MS = 5;
const RESOURCE = { resourceId: id<never>(1), version: 0 };
const POLICY = id<never>(2);

export const COOLDOWN_UPLOAD: Bench = {
  name: 'cooldown-upload',
  about: 'cooling of replicas to S3 against a bare loop of PUTs',
  run: async (context) => {
    const s3 = await startOwnS3(context, BUCKET);
    const { endpoint, region, accessKey, secretKey } = s3;
    const config = new Config();
    const ports = { config, clock: systemClock, random: systemRandom, log: SILENT_LOG };
    const place = { bucket: BUCKET, rootPath: 'bench', usePathStyle: true };
    const keys = { endpoint, region, accessKey, secretKey };
    const remote = await openStore({ kind: 's3', ...keys, ...place }, ports);
    context.defer(async () => {
      await remote.close();
    });
    const side = await CooldownSide.open(context, remote, config);
    const bare = new BareSide(remote, config.get('cooldown_thread_num'));
    const tablets = context.quick ? TABLETS_QUICK : TABLETS;
    const rounds: { readonly cooled: Timed; readonly bare: Timed }[] = [];
    for (let round = 0; round <= (context.quick ? ROUNDS_QUICK : ROUNDS); round += 1) {
      const bodies = Array.from({ length: tablets }, () => randomBytes(SEGMENT_BYTES));
      const loaded = await side.load(bodies);
      const order = round % 2 === 0 ? ([bare, side] as const) : ([side, bare] as const);
      const times = new Map<object, Timed>();
      for (const one of order) {
        times.set(one, await timed(async () => await one.run(loaded, bodies)));
      }
      await removeAll(remote);
      const [cooled, sent] = [times.get(side), times.get(bare)];
      // The first round opens connections and warms the code up.
      if (cooled === undefined || sent === undefined || round === 0) continue;
      rounds.push({ cooled, bare: sent });
      const ratio = (sent.seconds / cooled.seconds).toFixed(2);
      context.say(`round ${round}: ${ratio} of the bare loop`);
    }
    return figures(rounds, (tablets * SEGMENT_BYTES) / MIB);
  },
};

interface Timed {
  readonly seconds: number;
  readonly cpuSeconds: number;
}

async function timed(work: () => Promise<void>): Promise<Timed> {
  const from = performance.now();
  const cpu = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(cpu);
  return { seconds: (performance.now() - from) / 1000, cpuSeconds: (user + system) / 1e6 };
}

function figures(
  rounds: readonly { readonly cooled: Timed; readonly bare: Timed }[],
  mib: number,
): Figure[] {
  const ratios = rounds.map(({ cooled, bare }) => bare.seconds / cooled.seconds);
  const rate = (of: (round: (typeof rounds)[number]) => Timed): number =>
    median(rounds.map((round) => mib / of(round).seconds));
  const cpu = (of: (round: (typeof rounds)[number]) => Timed): number =>
    median(rounds.map((round) => of(round).cpuSeconds));
  const spread = `${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}`;
  return [
    { name: 'cooling', value: rate(({ cooled }) => cooled), unit: 'MiB/s', note: `${mib} MiB` },
    { name: 'bare PUTs', value: rate(({ bare }) => bare), unit: 'MiB/s', note: 'from memory' },
    {
      name: 'cooling / bare PUTs',
      value: median(ratios),
      unit: '',
      note: `median of ${rounds.length} rounds, ${spread}; reads, checks, publishes and swaps besides`,
    },
    { name: 'CPU of cooling', value: cpu(({ cooled }) => cooled), unit: 's', note: `${mib} MiB` },
    { name: 'CPU of bare PUTs', value: cpu(({ bare }) => bare), unit: 's', note: `${mib} MiB` },
  ];
}

/** A replica that leads its tablet, and its segment. */
interface Loaded {
  readonly tabletId: TabletId;
  readonly replicaId: ReplicaId;
}

/** The backend's part, without a server: every tablet has one replica, which leads. */
class CooldownSide {
  readonly #store: ReplicaStore;
  readonly #local: LocalSegments;
  readonly #cooldown: Cooldown;
  #next = 1000;

  static async open(
    context: BenchContext,
    remote: ObjectStore,
    config: Config,
  ): Promise<CooldownSide> {
    const dir = await context.directory();
    const ports = { config, clock: systemClock, random: systemRandom, log: SILENT_LOG };
    const disk = await openStore({ kind: 'file', path: join(dir, 'storage') }, ports);
    const store = ReplicaStore.open(join(dir, 'agent.db'));
    const local = new LocalSegments(disk, SILENT_LOG);
    const cooldown = new Cooldown({
      ...ports,
      backendId: id<BackendId>(1),
      store,
      local,
      resource: async () => await Promise.resolve(remote),
      frontend: NO_SERVER,
    });
    const cold = { kind: 'ttl', seconds: 0 } as const;
    const policy = {
      policyId: POLICY,
      version: 0,
      resourceId: RESOURCE.resourceId,
      cooldown: cold,
    };
    store.applyPolicies({ policies: [policy], resources: [RESOURCE], dropped: [] });
    cooldown.start();
    context.defer(async () => {
      await cooldown.close();
      store.close();
      await disk.close();
    });
    return new CooldownSide(store, local, cooldown);
  }

  private constructor(store: ReplicaStore, local: LocalSegments, cooldown: Cooldown) {
    this.#store = store;
    this.#local = local;
    this.#cooldown = cooldown;
  }

  /** Replicas with one rowset of one segment each; nobody leads yet, so nothing is cooled. */
  async load(bodies: readonly Uint8Array[]): Promise<Loaded[]> {
    const loaded: Loaded[] = [];
    for (const body of bodies) {
      this.#next += 10;
      const tabletId = id<TabletId>(this.#next);
      const replicaId = id<ReplicaId>(this.#next + 1);
      const partitionId = id<never>(this.#next + 2);
      const identity = { tableId: id<never>(3), indexId: id<never>(4), policyId: POLICY };
      this.#store.create({ tabletId, replicaId, partitionId, ...identity }, Date.now());
      const rowset = rowsetId(randomBytes(16).toString('hex'));
      const meta = {
        segment: 0,
        bytes: body.byteLength,
        rows: 1,
        indexOffset: body.byteLength - 1,
        crc32: crc32(body),
      };
      await this.#local.put(tabletId, rowset, 0, body);
      const txnId = id<never>(this.#next + 3);
      const times = { newestWriteMs: Date.now() - 1000 };
      const sizes = { rows: 1, bytes: body.byteLength, segments: [meta] };
      const prepared = { tabletId, replicaId, rowsetId: rowset, ...sizes, ...times };
      this.#store.prepare(txnId, [prepared]);
      this.#store.settle({ txnId, state: 'VISIBLE', versions: [{ partitionId, version: 2 }] });
      loaded.push({ tabletId, replicaId });
    }
    return loaded;
  }

  /** From the push of the leaders to the last local copy that is not needed any more. */
  async run(loaded: readonly Loaded[]): Promise<void> {
    await this.#cooldown.pushConf(loaded.map((one) => ({ ...one, term: 1 })));
    const isCooled = ({ tabletId }: Loaded): boolean =>
      this.#store.get(tabletId)?.rowsets.every(({ place }) => place.kind === 'remote') === true;
    while (!loaded.every(isCooled)) await pause(POLL_MS);
  }
}

/** Puts the bodies, as many at once, and does nothing else. */
class BareSide {
  readonly #remote: ObjectStore;
  readonly #concurrency: number;

  constructor(remote: ObjectStore, concurrency: number) {
    this.#remote = remote;
    this.#concurrency = concurrency;
  }

  async run(loaded: readonly Loaded[], bodies: readonly Uint8Array[]): Promise<void> {
    const queue = loaded.map(({ replicaId }, at) => ({
      key: segmentKey(id<TabletId>(replicaId), rowsetId('0'.repeat(32)), 0),
      body: bodies[at] ?? new Uint8Array(),
    }));
    const lane = async (): Promise<void> => {
      for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
        await this.#remote.put(next.key, next.body, { ifNoneMatch: '*' });
      }
    };
    await Promise.all(Array.from({ length: this.#concurrency }, lane));
  }
}

async function removeAll(remote: ObjectStore): Promise<void> {
  for await (const page of remote.list('data/')) await remote.delete(page.map(({ key }) => key));
}

const NO_SERVER: FrontendPort = {
  call: async () => await Promise.reject(new Error('there is no server')),
};
