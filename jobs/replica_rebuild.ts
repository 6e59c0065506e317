/**
 * A tablet that has lost its complete replicas is made readable again, from what is left: from what
 * is published of it in a resource, and from a replica that has not all versions, if there is one.
 * What cannot get lost is checked before anything changes: backends that do not answer may have
 * what is looked for, and then nothing is done.
 */
import type { AgentTransport, VersionRange } from '../base/agent_messages.ts';
import type { Config } from '../base/config.ts';
import { SqlError } from '../base/errors.ts';
import type { BackendId, PartitionId, ReplicaId, TableId, TabletId } from '../base/ids.ts';
import type { Clock, Log } from '../base/ports.ts';
import { type CooledTablet, FIRST_VERSION, type ReplicaSnapshot } from '../base/replica.ts';
import type { BackendDef, PartitionDef, TableDef } from '../base/schema.ts';
import type { Catalog } from '../catalog/catalog.ts';
import { type ReplicaDef, isComplete } from '../catalog/replicas.ts';
import type { BackendRegistry } from './backend_registry.ts';
import type { ReplicaBoard } from './replica_board.ts';
import { ReplicaPlacement } from './replica_maker.ts';

const ASK_TIMEOUT_MS = 10_000;
/** Of a tablet's list and the sizes of its objects. */
const READ_TIMEOUT_MS = 60_000;
const REBUILD_TIMEOUT_MS = 120_000;

export interface ReplicaRebuildDeps {
  readonly catalog: Catalog;
  readonly transport: AgentTransport;
  readonly registry: BackendRegistry;
  readonly board: ReplicaBoard;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
}

export interface RebuiltTablet {
  readonly tabletId: TabletId;
  readonly partitionName: string;
  /** False: nothing was changed that anybody reads, for the reason in `detail`. */
  readonly isRebuilt: boolean;
  /** The replica that has all versions now; undefined: there is none. */
  readonly replica: Pick<ReplicaDef, 'replicaId' | 'backendId'> | undefined;
  readonly visibleVersion: number;
  /** Up to which version it is cooled; undefined: nothing is, or it could not be read. */
  readonly cooledVersion: number | undefined;
  /** Versions that are lost, or would be. */
  readonly lost: readonly VersionRange[];
  /** That it has now; undefined: it is not rebuilt. */
  readonly rows: number | undefined;
  readonly detail: string;
}

interface RebuildHow {
  /** Otherwise only when every visible version is left. */
  readonly isLossAllowed: boolean;
  readonly signal: AbortSignal;
}

type Outcome = Omit<RebuiltTablet, 'tabletId' | 'partitionName' | 'visibleVersion'>;

interface Place {
  readonly tabletId: TabletId;
  readonly table: TableDef;
  readonly partition: PartitionDef;
}

/** A replica has all versions; the catalog may say otherwise. */
interface Whole extends Survivor {
  readonly kind: 'WHOLE';
}

/** What is left of a tablet on backends; all of them were asked. */
interface Remains {
  readonly kind: 'REMAINS';
  /** Replicas that are not there any more. */
  readonly gone: readonly ReplicaDef[];
  /** Those that have some versions; the one with most comes first. */
  readonly left: readonly Survivor[];
}

interface Survivor {
  readonly replica: ReplicaDef;
  readonly snapshot: ReplicaSnapshot;
  /** Some of its local rowsets are; which ones its backend finds out. */
  readonly isBad: boolean;
}

/** What speaks against a rebuild, in words for operators. */
class Refusal extends Error {
  readonly cooledVersion: number | undefined;
  readonly lost: readonly VersionRange[];

  constructor(
    why: string,
    known: { readonly cooledVersion?: number; readonly lost?: readonly VersionRange[] } = {},
  ) {
    super(why);
    this.cooledVersion = known.cooledVersion;
    this.lost = known.lost ?? [];
  }
}

interface Rebuilding {
  readonly place: Place;
  readonly remains: Remains;
  readonly cooled: CooledTablet;
  readonly target: BackendId;
  /** As far as that is known before. */
  readonly lost: readonly VersionRange[];
}

/** Of tablets that were rebuilt; lossy: versions of them are lost. */
export interface RebuildCounts {
  whole: number;
  lossy: number;
}

export class ReplicaRebuild {
  readonly counts: RebuildCounts = { whole: 0, lossy: 0 };
  readonly #deps: ReplicaRebuildDeps;
  /** One at a time for each tablet: who comes meanwhile looks at what is there then. */
  readonly #running = new Map<TabletId, Promise<unknown>>();

  constructor(deps: ReplicaRebuildDeps) {
    this.#deps = deps;
  }

  /**
   * undefined: there is nothing to be rebuilt, a replica has all versions or the tablet is gone.
   * Throws what `signal` says.
   */
  async rebuild(tabletId: TabletId, how: RebuildHow): Promise<RebuiltTablet | undefined> {
    for (;;) {
      const running = this.#running.get(tabletId);
      if (running === undefined) break;
      await running.catch(() => undefined);
      how.signal.throwIfAborted();
    }
    const work = this.#rebuildOne(tabletId, how).finally(() => this.#running.delete(tabletId));
    this.#running.set(tabletId, work);
    return await work;
  }

  async #rebuildOne(
    tabletId: TabletId,
    { isLossAllowed, signal }: RebuildHow,
  ): Promise<RebuiltTablet | undefined> {
    const place = await this.#placeOf(tabletId);
    if (place === undefined || this.#looksComplete(place)) return undefined;
    const { name: partitionName, visibleVersion } = place.partition;
    const about = { tabletId, partitionName, visibleVersion };
    const not = { ...about, isRebuilt: false, replica: undefined, rows: undefined } as const;
    try {
      const done = await this.#rebuild(place, isLossAllowed, signal);
      if (done === undefined) return undefined;
      this.counts[done.lost.length === 0 ? 'whole' : 'lossy'] += 1;
      return { ...about, ...done };
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof Refusal) {
        const { cooledVersion, lost, message: detail } = error;
        return { ...not, cooledVersion, lost, detail };
      }
      if (!(error instanceof SqlError)) throw error;
      return { ...not, cooledVersion: undefined, lost: [], detail: error.message };
    }
  }

  async #placeOf(tabletId: TabletId): Promise<Place | undefined> {
    const { catalog } = this.#deps;
    const tablet = catalog.tablets.get(tabletId);
    if (tablet === undefined) return undefined;
    const table = await catalog.tables.byId(tablet.tableId);
    const partition = partitionOf(table, tablet.partitionId);
    if (table?.replication === undefined || partition === undefined) return undefined;
    return { tabletId, table, partition };
  }

  /** By catalog and reports: nobody has to be asked. */
  #looksComplete({ tabletId, partition }: Place): boolean {
    const { board, catalog, registry } = this.#deps;
    return catalog.replicas.ofTablet(tabletId).some((replica) => {
      const { backendId, replicaId } = replica;
      if (!isComplete(replica) || !registry.isAlive(backendId)) return false;
      const report = board.get(backendId, tabletId, replicaId);
      return report?.isBad === false && report.version >= partition.visibleVersion;
    });
  }

  async #rebuild(
    place: Place,
    isLossAllowed: boolean,
    signal: AbortSignal,
  ): Promise<Outcome | undefined> {
    const backends = new Map(
      (await this.#deps.catalog.backends.list()).map((one) => [one.backendId, one]),
    );
    const remains = await this.#remainsOf(place, backends, signal);
    if (remains.kind === 'WHOLE') return await this.#isThere(place, remains);
    const best = remains.left[0];
    const target = best?.replica.backendId ?? (await this.#newPlace(place));
    const cooled = await this.#cooled(place, target, signal);
    const { head } = cooled;
    // Of a damaged one nothing is sure but what is cooled.
    const own = best?.isBad === false ? best.snapshot.version : FIRST_VERSION;
    const version = Math.max(head?.cooledVersion ?? -1, own);
    const { visibleVersion } = place.partition;
    const lost = version < visibleVersion ? [{ from: version + 1, to: visibleVersion }] : [];
    const known = head === undefined ? { lost } : { lost, cooledVersion: head.cooledVersion };
    const hasSomething = version > FIRST_VERSION || best?.isBad === true;
    const isDamaged = best?.isBad === true;
    this.#expectWorth(place, { isLossAllowed, hasSomething, isDamaged, known });
    signal.throwIfAborted();
    const rebuilding = { place, remains, cooled, target, lost };
    const { replica, term } = await this.#begin(rebuilding);
    const { resourceId } = head ?? {};
    const request = {
      replica: newReplica(place, replica, this.#deps.catalog),
      term,
      ...(resourceId === undefined ? {} : { resourceId }),
      version: visibleVersion,
      isLossAllowed,
    };
    const options = { timeoutMs: REBUILD_TIMEOUT_MS, signal };
    const { transport } = this.#deps;
    const done = await transport.call(target, 'rebuildReplica', request, options);
    const { cooledVersion, rows, emptied } = done;
    const { catalog } = this.#deps;
    await catalog.lostVersions.put(replica, emptied, cooledVersion < 0 ? undefined : cooledVersion);
    await this.#finish(replica, visibleVersion);
    this.#tell(place, replica, done);
    return {
      isRebuilt: true,
      replica,
      cooledVersion: cooledVersion < 0 ? undefined : cooledVersion,
      lost: emptied,
      rows,
      detail: detailOf(best, cooledVersion, emptied),
    };
  }

  /** A replica that the catalog thinks to be incomplete, and that has all. */
  async #isThere(
    { tabletId, partition }: Place,
    { replica, snapshot }: Whole,
  ): Promise<Outcome | undefined> {
    if (isComplete(replica)) return undefined;
    const { catalog } = this.#deps;
    const lost = catalog.lostVersions.of(tabletId, replica.replicaId);
    await this.#finish(replica, partition.visibleVersion);
    const rows = snapshot.rowsets.reduce((sum, rowset) => sum + rowset.rows, 0);
    const again = 'it has all versions';
    const detail = lost.length === 0 ? again : `${again}; what is lost is empty`;
    const cooledVersion = lost[0]?.cooledVersion;
    return { isRebuilt: true, replica, cooledVersion, lost, rows, detail };
  }

  /** Throws Refusal when a backend that may have it cannot be asked. */
  async #remainsOf(
    { tabletId, partition }: Place,
    backends: ReadonlyMap<BackendId, BackendDef>,
    signal: AbortSignal,
  ): Promise<Remains | Whole> {
    const { board, catalog } = this.#deps;
    const gone: ReplicaDef[] = [];
    const left: Survivor[] = [];
    for (const replica of catalog.replicas.ofTablet(tabletId)) {
      const backend = backends.get(replica.backendId);
      const snapshot =
        backend === undefined ? undefined : await this.#snapshot(replica, backend, signal);
      if (snapshot === undefined) {
        gone.push(replica);
        continue;
      }
      const { backendId, replicaId } = replica;
      const isBad = board.get(backendId, tabletId, replicaId)?.isBad === true;
      if (!isBad && snapshot.version >= partition.visibleVersion) {
        return { kind: 'WHOLE', replica, snapshot, isBad };
      }
      if (!isBad && isComplete(replica)) {
        const versions = `version ${snapshot.version} of ${partition.visibleVersion}`;
        throw new Refusal(`${named(replica)} has ${versions} and catches up: try again later`);
      }
      left.push({ replica, snapshot, isBad });
    }
    left.sort((a, b) => b.snapshot.version - a.snapshot.version);
    const torn = left.find(({ snapshot, isBad }) => isBad || snapshot.later !== undefined);
    if (left.length > 1 && torn !== undefined) {
      const has = torn.isBad ? 'is damaged, and has versions' : 'has versions after a gap';
      const why = `${has} which another replica may lack`;
      throw new Refusal(`${named(torn.replica)} ${why}; drop the backend of one of them first`);
    }
    return { kind: 'REMAINS', gone, left };
  }

  /** undefined: it is not there. Throws Refusal when that cannot be asked. */
  async #snapshot(
    replica: ReplicaDef,
    { backendId, host, httpPort }: BackendDef,
    signal: AbortSignal,
  ): Promise<ReplicaSnapshot | undefined> {
    const { registry, transport } = this.#deps;
    const where = `backend ${backendId} (${host}:${httpPort})`;
    if (!registry.isAlive(backendId)) {
      const hint = 'start it, or, when its disk is lost for good, ALTER SYSTEM DROPP BACKEND';
      throw new Refusal(`${where} is not alive and may have replica ${replica.replicaId}: ${hint}`);
    }
    try {
      const request = { tabletIds: [replica.tabletId] };
      const options = { timeoutMs: ASK_TIMEOUT_MS, signal };
      const reply = await transport.call(backendId, 'replicaSnapshots', request, options);
      return reply.replicas.find(({ replicaId }) => replicaId === replica.replicaId);
    } catch (error) {
      signal.throwIfAborted();
      const why = error instanceof Error ? error.message : String(error);
      throw new Refusal(`${where} may have replica ${replica.replicaId} and cannot say: ${why}`);
    }
  }

  /** A backend for a new replica; one that has an older one, not yet dropped, comes last. */
  async #newPlace({ tabletId, table }: Place): Promise<BackendId> {
    const { board, catalog, registry } = this.#deps;
    const groupId = table.replication?.computeGroupId;
    const members = groupId === undefined ? [] : await catalog.backends.ofGroup(groupId);
    const alive = members.filter(
      ({ backendId, adminState }) => registry.isAlive(backendId) && adminState === 'ENABLED',
    );
    if (alive.length === 0)
      throw new Refusal('no backend of its compute group is alive and enabled');
    const taken = new Set(board.ofTablet(tabletId).map(({ backendId }) => backendId));
    const free = alive.filter(({ backendId }) => !taken.has(backendId));
    const name = alive[0]?.computeGroupName ?? '';
    const places = free.length > 0 ? free : alive;
    const [backendId] = new ReplicaPlacement(this.#deps, name, places).place(1);
    if (backendId === undefined) throw new Error(`no place for tablet ${tabletId}`);
    return backendId;
  }

  /** What is published, whole. Throws Refusal when it is not, or cannot be read. */
  async #cooled(
    { tabletId, partition }: Place,
    target: BackendId,
    signal: AbortSignal,
  ): Promise<CooledTablet> {
    const { catalog, transport } = this.#deps;
    const resourceIds = catalog.resources.ofPartition(partition.partitionId);
    if (resourceIds.length === 0) return { tabletId, problem: '' };
    const lead = catalog.cooldown.lead(tabletId);
    const question = { tabletId, resourceIds, ...(lead === undefined ? {} : { lead }) };
    const request = { tablets: [question] };
    const options = { timeoutMs: READ_TIMEOUT_MS, signal };
    const reply = await transport.call(target, 'readCooled', request, options);
    const cooled = reply.tablets.find((one) => one.tabletId === tabletId);
    if (cooled === undefined) throw new Refusal(`backend ${target} did not read its cooled data`);
    if (cooled.problem === '') return cooled;
    throw new Refusal(`its cooled data cannot be used: ${cooled.problem}`);
  }

  /** Throws Refusal when something would get lost that may not. */
  #expectWorth(
    { table, partition }: Place,
    {
      isLossAllowed,
      hasSomething,
      isDamaged,
      known,
    }: {
      readonly isLossAllowed: boolean;
      readonly hasSomething: boolean;
      readonly isDamaged: boolean;
      readonly known: { readonly cooledVersion?: number; readonly lost: readonly VersionRange[] };
    },
  ): void {
    const [lost] = known.lost;
    if (lost === undefined) return;
    const versions = `versions ${lost.from} to ${lost.to}`;
    if (!hasSomething && !this.#deps.config.get('recover_with_empty_tablet')) {
      const why = 'no replica has anything of it, and nothing of it is cooled';
      const hint = 'with recover_with_empty_tablet=true it is made anew, empty';
      throw new Refusal(`${why}: ${versions} are lost; ${hint}`, known);
    }
    if (isLossAllowed) return;
    const name = `${table.databaseName}.${table.name} PARTITION (${partition.name})`;
    const why = isDamaged
      ? `what is damaged of ${versions} is nowhere any more`
      : `${versions} are nowhere any more`;
    throw new Refusal(`${why}: ADMIN REPAIR TABLE ${name} makes it readable without them`, known);
  }

  /**
   * Replicas that are gone go, the new one is there with a term of its own, all in one transaction
   * and before its backend hears of it. Others that have less than the best one are dropped.
   */
  async #begin({ place, remains, cooled, target, lost }: Rebuilding): Promise<{
    readonly replica: ReplicaDef;
    readonly term: number;
  }> {
    const { catalog } = this.#deps;
    const { tabletId, table, partition } = place;
    const { visibleVersion } = partition;
    const seen = [...remains.gone, ...remains.left.map(({ replica }) => replica)];
    const [best, ...others] = remains.left;
    return await catalog.transaction(async (tx) => {
      const now = partitionOf(await tx.tables.byId(table.tableId), partition.partitionId);
      const replicas = tx.replicas.ofTablet(tabletId);
      if (now?.visibleVersion !== visibleVersion || !isSame(replicas, seen)) {
        throw new Refusal('it changed while it was looked at: try again');
      }
      await tx.replicas.remove(remains.gone);
      for (const { replica } of others) {
        await tx.replicas.setState(replica, [replica.state], 'DROPPING');
      }
      const missing = { from: 0, to: visibleVersion };
      const added = { tabletId, backendId: target, state: 'CLONING', missing } as const;
      const replica = best?.replica ?? (await tx.replicas.add([added]))[0];
      if (replica === undefined) throw new Error(`tablet ${tabletId} got no replica`);
      const before = tx.cooldown.lead(tabletId);
      const term = Math.max(before?.term ?? 0, cooled.head?.term ?? 0) + 1;
      const after = { replicaId: replica.replicaId, term };
      if (!(await tx.cooldown.elect({ tabletId, before, after }))) {
        throw new Refusal('another leader was elected meanwhile: try again');
      }
      // Whatever becomes of the answer: what is lost is written down before it is.
      await tx.lostVersions.put(replica, lost, cooled.head?.cooledVersion);
      return { replica, term };
    });
  }

  async #finish(replica: ReplicaDef, version: number): Promise<void> {
    const { catalog, transport } = this.#deps;
    await catalog.replicas.clearMissing(replica, version);
    await catalog.replicas.setState(replica, ['CLONING'], 'NORMAL');
    // What was reported before does not count any more.
    transport
      .call(replica.backendId, 'reportNow', {}, { timeoutMs: ASK_TIMEOUT_MS })
      .catch(() => undefined);
  }

  #tell(
    { tabletId, table }: Place,
    { replicaId, backendId }: ReplicaDef,
    { emptied, cooledVersion }: { emptied: readonly VersionRange[]; cooledVersion: number },
  ): void {
    const name = `${table.databaseName}.${table.name}`;
    const fields = { tabletId, table: name, replicaId, backendId, cooledVersion };
    if (emptied.length === 0) this.#deps.log.info('a lost tablet was rebuilt, whole', fields);
    else this.#deps.log.error('a lost tablet was rebuilt without versions', { ...fields, emptied });
  }
}

function named({ replicaId, backendId }: ReplicaDef): string {
  return `replica ${replicaId} on backend ${backendId}`;
}

function detailOf(
  best: Survivor | undefined,
  cooledVersion: number,
  lost: readonly VersionRange[],
): string {
  const from = [
    ...(hasData(best) ? [`replica ${best.replica.replicaId}`] : []),
    ...(cooledVersion < 0 ? [] : ['its cooled data']),
  ];
  const source = from.length === 0 ? 'made anew, empty' : `made of ${from.join(' and ')}`;
  return lost.length === 0 ? `${source}; nothing is lost` : `${source}; what is lost is empty now`;
}

function hasData(best: Survivor | undefined): best is Survivor {
  return best !== undefined && best.snapshot.version > FIRST_VERSION;
}

/** The same replicas with the same of them complete. */
function isSame(replicas: readonly ReplicaDef[], seen: readonly ReplicaDef[]): boolean {
  if (replicas.length !== seen.length) return false;
  const states = new Map<ReplicaId, ReplicaDef>(seen.map((one) => [one.replicaId, one]));
  return replicas.every((replica) => {
    const before = states.get(replica.replicaId);
    return before !== undefined && isComplete(before) === isComplete(replica);
  });
}

function newReplica({ tabletId, table, partition }: Place, replica: ReplicaDef, catalog: Catalog) {
  const indexId = catalog.tablets.get(tabletId)?.indexId;
  if (indexId === undefined) throw new Refusal('it was dropped meanwhile');
  const { partitionId, storagePolicyId: policyId } = partition;
  const tableId: TableId = table.tableId;
  const policy = policyId === undefined ? {} : { policyId };
  return { tabletId, replicaId: replica.replicaId, tableId, partitionId, indexId, ...policy };
}

function partitionOf(
  table: TableDef | undefined,
  partitionId: PartitionId,
): PartitionDef | undefined {
  return table?.partitions.find((partition) => partition.partitionId === partitionId);
}
