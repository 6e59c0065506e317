/**
 * Everything about replicas on one backend, put together: `agent.db`, local segments, what other
 * backends and the server ask, loads, scans and reports.
 */
import { join } from 'node:path';
import type {
  AgentCalls,
  ConfOutcome,
  FrontendPort,
  LoadTarget,
  Nothing,
} from '../../base/agent_messages.ts';
import type { Config } from '../../base/config.ts';
import { SqlError } from '../../base/errors.ts';
import type { BackendId, ResourceId, RowsetId, TabletId, TxnId } from '../../base/ids.ts';
import type { Clock, Log, Random } from '../../base/ports.ts';
import type { CooldownConf } from '../../base/replica.ts';
import type { LoadSink } from '../data/load.ts';
import { FileStore } from '../store/file_store.ts';
import type { VaultStores } from '../vault_stores.ts';
import { DiskInspection } from './disk_inspection.ts';
import { LocalSegments } from './local_segments.ts';
import { OwnReplicas, snapshotOf } from './own_replicas.ts';
import { type OwnPeers, type Peers, lostPeer } from './peers.ts';
import type { ReplicaHandlers } from './replica_calls.ts';
import { ReplicaClones } from './replica_clones.ts';
import { newReplicaCounts } from './replica_counts.ts';
import { ReplicaLoad } from './replica_load.ts';
import { ReplicaScans } from './replica_scans.ts';
import { ReplicaStore } from './replica_store.ts';
import type { CooldownStatus } from './report_rows.ts';
import { ReplicaReports } from './reports.ts';
import { TxnQuestions } from './txn_questions.ts';

const NOTHING: Nothing = {};

/** What moves cold rowsets of the replicas into resources. */
export interface ReplicaCooldown {
  pushConf(
    confs: readonly CooldownConf[],
  ): readonly ConfOutcome[] | Promise<readonly ConfOutcome[]>;
  coolNow(tabletIds: readonly TabletId[]): void;
  followNow(tabletIds: readonly TabletId[]): void;
  policiesChanged(): void;
  /** Of a tablet without a policy: others have cooled it to this resource. */
  followIn(tabletId: TabletId, resourceId: ResourceId): void;
  /** Ends what goes on with these tablets. */
  quiesce(tabletIds: readonly TabletId[]): Promise<void>;
  /** One operation per tablet at a time. */
  readonly turns: {
    hold<T>(
      tabletId: TabletId,
      work: (signal: AbortSignal) => Promise<T>,
      signal: AbortSignal,
    ): Promise<T>;
  };
  check(
    request: AgentCalls['checkCooldown']['request'],
    signal: AbortSignal,
  ): Promise<AgentCalls['checkCooldown']['reply']>;
  repair(
    request: AgentCalls['repairCooldown']['request'],
  ): Promise<AgentCalls['repairCooldown']['reply']>;
  readCooled(
    request: AgentCalls['readCooled']['request'],
    signal: AbortSignal,
  ): Promise<AgentCalls['readCooled']['reply']>;
  leftIn(
    request: AgentCalls['leftInResource']['request'],
    signal: AbortSignal,
  ): Promise<AgentCalls['leftInResource']['reply']>;
  rebuild(
    request: AgentCalls['rebuildReplica']['request'],
    damaged: ReadonlySet<RowsetId>,
    signal: AbortSignal,
  ): Promise<AgentCalls['rebuildReplica']['reply']>;
  /** undefined: it does not know the tablet (yet). */
  stateOf(tabletId: TabletId): CooldownStatus | undefined;
}

export interface ReplicaHostOptions {
  readonly backendId: BackendId;
  /** `<data dir>/backends/<id>` */
  readonly dir: string;
  readonly incarnation: string;
  readonly config: Config;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly frontend: FrontendPort;
  /** Stores of resources. */
  readonly stores: Pick<VaultStores, 'reopen'>;
  /** Backends of this process; absent: there is no other one. */
  readonly ownPeers?: OwnPeers;
  /** Those of other processes; absent: there are none to be reached. */
  readonly remotePeers?: Peers;
}

export class ReplicaHost {
  readonly counts = newReplicaCounts();
  readonly store: ReplicaStore;
  readonly local: LocalSegments;
  /** Of this backend. */
  readonly own: OwnReplicas;
  readonly scans: ReplicaScans;
  readonly clones: ReplicaClones;
  readonly reports: ReplicaReports;
  readonly questions: TxnQuestions;
  readonly handlers: ReplicaHandlers;
  readonly #options: ReplicaHostOptions;
  readonly #inspection: DiskInspection;
  #cooldown: ReplicaCooldown | undefined;
  #removePeer: () => void = () => undefined;
  #isClosed = false;

  /** Opens `agent.db` and the local store. Throws what either says. */
  static async open(options: ReplicaHostOptions): Promise<ReplicaHost> {
    const { dir, backendId, config, clock, random } = options;
    const limits = () => ({
      retries: config.get('object_store_retries'),
      timeoutMs: config.get('object_store_timeout_ms'),
    });
    const files = await FileStore.open(join(dir, 'storage'), { clock, random, limits });
    const store = ReplicaStore.open(join(dir, 'agent.db'), backendId);
    return ReplicaHost.over(options, store, new LocalSegments(files, options.log));
  }

  /** Over what is open already; `close` closes the store. */
  static over(options: ReplicaHostOptions, store: ReplicaStore, local: LocalSegments): ReplicaHost {
    return new ReplicaHost(options, store, local);
  }

  private constructor(options: ReplicaHostOptions, store: ReplicaStore, local: LocalSegments) {
    this.#options = options;
    this.store = store;
    this.local = local;
    const onDamage = (tabletId: TabletId, why: string): void => {
      this.#damaged(tabletId, why);
    };
    const { counts } = this;
    const shared = { ...options, store, local, counts, onDamage };
    this.own = new OwnReplicas(shared);
    this.#inspection = new DiskInspection({ ...shared, checks: this.own.checks });
    const deleteFiles = this.own.deleteFiles.bind(this.own);
    this.questions = new TxnQuestions({ ...shared, deleteFiles });
    this.scans = new ReplicaScans({ ...shared, own: this.own, questions: this.questions });
    this.reports = new ReplicaReports({
      ...shared,
      cooldown: (tabletId) => this.#cooldown?.stateOf(tabletId),
    });
    this.clones = new ReplicaClones({
      ...shared,
      own: this.own,
      peers: this.peers,
      turn: async (tabletId, work, signal) =>
        this.#cooldown === undefined
          ? await work(signal)
          : await this.#cooldown.turns.hold(tabletId, work, signal),
      onCloned: (tabletId) => {
        this.reports.touched(tabletId);
        this.reports.soon();
      },
    });
    this.handlers = this.#makeHandlers();
  }

  /** Before `start`. */
  attachCooldown(cooldown: ReplicaCooldown): void {
    this.#cooldown = cooldown;
  }

  start(): void {
    const { ownPeers, backendId } = this.#options;
    if (ownPeers !== undefined) this.#removePeer = ownPeers.add(backendId, this.own);
    this.questions.start();
    this.reports.start();
    this.#inspection.start();
  }

  /** Nothing is begun any more by itself; loads that run may end. */
  quiesce(): void {
    this.#isClosed = true;
    this.#inspection.close();
    this.clones.close();
    this.questions.close();
    this.reports.close();
  }

  /** Whatever still runs fails from here on. */
  close(): void {
    this.quiesce();
    this.#removePeer();
    this.own.close();
    this.store.close();
  }

  /** How to ask the backend at `address` about its replicas. */
  readonly peers: Peers = (address) => {
    const { backendId, ownPeers, remotePeers } = this.#options;
    if (address.backendId === backendId) return this.own;
    return ownPeers?.get(address.backendId) ?? remotePeers?.(address) ?? lostPeer(address);
  };

  /** Where a load of a replicated table goes; undefined: the table has no replicas. */
  sink(txnId: TxnId, target: LoadTarget, signal: AbortSignal): LoadSink | undefined {
    const { replicas } = target;
    if (replicas === undefined) return undefined;
    return new ReplicaLoad({ ...this.#options, txnId, replicas, peers: this.peers, signal });
  }

  #makeHandlers(): ReplicaHandlers {
    const { store, own, questions, reports } = this;
    const { clock } = this.#options;
    return {
      createReplicas: ({ replicas }) => {
        store.batch(() => {
          for (const replica of replicas) store.create(replica, clock.now());
        });
        return NOTHING;
      },
      dropReplicas: async ({ replicas }) => {
        // The server deletes their objects when it has the answer: no upload may outlive that.
        const tabletIds = replicas.map(({ tabletId }) => tabletId);
        await this.#cooldown?.quiesce(tabletIds);
        const files = store.batch(() =>
          replicas.flatMap(({ tabletId, replicaId }) => store.drop(tabletId, replicaId)),
        );
        // While the last of them came to rest, the first may have begun again.
        await this.#cooldown?.quiesce(tabletIds);
        await own.deleteFiles(files);
        return NOTHING;
      },
      settleTxns: ({ txns }) => {
        questions.settle(txns);
        return NOTHING;
      },
      cloneReplica: async (request) => await this.clones.clone(request),
      setPolicies: ({ replicas }) => {
        store.batch(() => {
          for (const { tabletId, policyId } of replicas) store.setPolicy(tabletId, policyId);
        });
        for (const { tabletId, resourceId } of replicas) {
          if (resourceId !== undefined) this.#cooldown?.followIn(tabletId, resourceId);
        }
        return NOTHING;
      },
      pushStoragePolicies: (request) => {
        this.#applyPolicies(request);
        return NOTHING;
      },
      pushCooldownConf: async ({ confs }) => ({
        outcomes: (await this.#cooldown?.pushConf(confs)) ?? this.#setLeads(confs),
      }),
      cooldownNow: ({ tabletIds }) => {
        this.#cooling().coolNow(tabletIds);
        return NOTHING;
      },
      followNow: ({ tabletIds }) => {
        this.#cooldown?.followNow(tabletIds);
        return NOTHING;
      },
      checkCooldown: async (request, signal) => await this.#cooling().check(request, signal),
      repairCooldown: async (request) => await this.#cooling().repair(request),
      readCooled: async (request, signal) => await this.#cooling().readCooled(request, signal),
      leftInResource: async (request, signal) => await this.#cooling().leftIn(request, signal),
      rebuildReplica: async (request, signal) => {
        const damaged = await this.clones.damagedOf(request.replica.tabletId);
        return await this.#cooling().rebuild(request, damaged, signal);
      },
      replicaSnapshots: ({ tabletIds }) => ({
        replicas: tabletIds.flatMap((tabletId) => {
          const state = store.get(tabletId);
          return state === undefined ? [] : [snapshotOf(state)];
        }),
      }),
      reportNow: () => {
        reports.now();
        return NOTHING;
      },
    };
  }

  #cooling(): ReplicaCooldown {
    if (this.#cooldown !== undefined) return this.#cooldown;
    throw new SqlError('NOT_SUPPORTED', { what: 'cooling on this backend' });
  }

  #setLeads(confs: readonly CooldownConf[]): readonly ConfOutcome[] {
    return this.store.batch(() => confs.map((conf) => this.store.setLead(conf)));
  }

  #applyPolicies(request: Parameters<ReplicaStore['applyPolicies']>[0]): void {
    const before = new Map(this.store.resources().map((each) => [each.resourceId, each.version]));
    this.store.applyPolicies(request);
    for (const { resourceId, version } of this.store.resources()) {
      const known = before.get(resourceId);
      if (known !== undefined && known < version) this.#options.stores.reopen(resourceId);
    }
    const changed = new Set([
      ...request.policies.map(({ policyId }) => policyId),
      ...request.dropped,
    ]);
    for (const { tabletId, policyId } of this.store.list()) {
      if (policyId !== undefined && changed.has(policyId)) this.reports.touched(tabletId);
    }
    this.#cooldown?.policiesChanged();
    this.reports.soon();
  }

  #damaged(tabletId: TabletId, why: string): void {
    if (this.#isClosed || this.store.get(tabletId)?.isBad !== false) return;
    this.#options.log.error('a replica is damaged', { tabletId, why });
    this.counts.damages += 1;
    this.store.markBad(tabletId, why);
    this.reports.now();
  }
}
