/** Cooldown on a backend, put together: cooling and following, compaction, collection. */
import type { AgentCalls, ConfOutcome } from '../../base/agent_messages.ts';
import { SqlError } from '../../base/errors.ts';
import type { ResourceId, RowsetId, TabletId } from '../../base/ids.ts';
import type {
  CooldownCheck,
  CooldownConf,
  CooledTablet,
  LeftInResource,
} from '../../base/replica.ts';
import type { CooldownStatus } from '../replica/report_rows.ts';
import { ColdCompaction } from './cold_compaction.ts';
import { ColdMaintenance } from './cold_maintenance.ts';
import type { ColdMerge } from './cold_merge.ts';
import { Collection } from './collection.ts';
import { CooldownChecker } from './cooldown_check.ts';
import { CooldownEngine, type CooldownEngineOptions } from './cooldown_engine.ts';
import { leftIn } from './left_in.ts';
import { CooldownRebuild } from './rebuild.ts';
import type { TabletTurns } from './turns.ts';

export interface CooldownOptions extends CooldownEngineOptions {
  /** How rowsets are merged; absent: cooled rowsets stay as they are. */
  readonly merge?: ColdMerge;
}

export class Cooldown {
  readonly engine: CooldownEngine;
  readonly collection: Collection;
  /** undefined: nothing is merged here. */
  readonly compaction: ColdCompaction | undefined;
  readonly #checker: CooldownChecker;
  readonly #rebuild: CooldownRebuild;
  readonly #options: CooldownOptions;
  readonly #maintenance: ColdMaintenance;

  constructor(options: CooldownOptions) {
    this.#options = options;
    const engine = new CooldownEngine(options);
    const { merge } = options;
    this.engine = engine;
    this.collection = new Collection({ ...options, engine });
    this.compaction =
      merge === undefined ? undefined : new ColdCompaction({ ...options, engine, merge });
    const { compaction, collection } = this;
    this.#checker = new CooldownChecker({ ...options, engine, collection });
    this.#rebuild = new CooldownRebuild({ ...options, engine });
    this.#maintenance = new ColdMaintenance({ ...options, engine, compaction, collection });
  }

  /** As `AgentCalls.checkCooldown`. */
  async check(
    { tabletIds, others, checksum }: AgentCalls['checkCooldown']['request'],
    signal: AbortSignal,
  ): Promise<AgentCalls['checkCooldown']['reply']> {
    const tablets: CooldownCheck[] = [];
    for (const tabletId of tabletIds) {
      const found = await inWords(this.#checker.check(tabletId, others, { checksum, signal }));
      if (found !== undefined) tablets.push(found);
    }
    return { tablets };
  }

  /** As `AgentCalls.repairCooldown`. */
  async repair({
    tabletIds,
    others,
  }: AgentCalls['repairCooldown']['request']): Promise<AgentCalls['repairCooldown']['reply']> {
    const repaired: { readonly tabletId: TabletId; readonly key: string }[] = [];
    for (const tabletId of tabletIds) {
      const keys = await inWords(this.#checker.repair(tabletId, others));
      repaired.push(...keys.map((key) => ({ tabletId, key })));
    }
    return { repaired };
  }

  /** As `AgentCalls.readCooled`. */
  async readCooled(
    { tablets: asked }: AgentCalls['readCooled']['request'],
    signal: AbortSignal,
  ): Promise<AgentCalls['readCooled']['reply']> {
    const tablets: CooledTablet[] = [];
    for (const question of asked) tablets.push(await this.#rebuild.read(question, signal));
    return { tablets };
  }

  /** As `AgentCalls.leftInResource`. */
  async leftIn(
    { tabletIds, resourceId }: AgentCalls['leftInResource']['request'],
    signal: AbortSignal,
  ): Promise<AgentCalls['leftInResource']['reply']> {
    const { engine } = this;
    const { store } = this.#options;
    const tablets: LeftInResource[] = [];
    for (const tabletId of tabletIds) {
      tablets.push(await inWords(leftIn({ engine, store }, tabletId, resourceId, signal)));
    }
    return { tablets };
  }

  /** As `AgentCalls.rebuildReplica`. */
  async rebuild(
    request: AgentCalls['rebuildReplica']['request'],
    damaged: ReadonlySet<RowsetId>,
    signal: AbortSignal,
  ): Promise<AgentCalls['rebuildReplica']['reply']> {
    return await this.#rebuild.rebuild(request, damaged, signal);
  }

  get turns(): TabletTurns {
    return this.engine.turns;
  }

  start(): void {
    this.engine.start();
    this.#maintenance.start();
  }

  /** Nothing begins any more; resolves when what was running has ended. */
  async close(): Promise<void> {
    this.#maintenance.close();
    await this.engine.close();
  }

  async pushConf(confs: readonly CooldownConf[]): Promise<readonly ConfOutcome[]> {
    return await this.engine.pushConf(confs);
  }

  followNow(tabletIds: readonly TabletId[]): void {
    this.engine.followNow(tabletIds);
  }

  coolNow(tabletIds: readonly TabletId[]): void {
    this.engine.coolNow(tabletIds);
  }

  followIn(tabletId: TabletId, resourceId: ResourceId): void {
    this.engine.followIn(tabletId, resourceId);
  }

  policiesChanged(): void {
    this.engine.policiesChanged();
  }

  async quiesce(tabletIds: readonly TabletId[]): Promise<void> {
    await this.engine.quiesce(tabletIds);
  }

  stateOf(tabletId: TabletId): CooldownStatus | undefined {
    return this.engine.stateOf(tabletId);
  }
}

/** What the store says, or what lies there: an answer for operators, and no unexpected error. */
async function inWords<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const { name, message } = (error ?? {}) as { name?: unknown; message?: unknown };
    if (name !== 'ObjectStoreError' && name !== 'CooldownFailure') throw error;
    throw new SqlError('STORE_FAILED', { what: String(message) }, { cause: error });
  }
}
