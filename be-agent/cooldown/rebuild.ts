/**
 * A replica of a tablet that has lost all others, made of what is published: HEAD is claimed with a
 * new term as by any new leader, its list is taken over, and versions that are nowhere any more
 * become an empty rowset, so that every version is there once.
 */
import type { AgentCalls, CooledQuestion, RebuildRequest } from '../../base/agent_messages.ts';
import type { VersionRange } from '../../base/agent_messages.ts';
import { SqlError } from '../../base/errors.ts';
import { type RowsetId, type TabletId, rowsetId } from '../../base/ids.ts';
import type { Clock, Log, Random } from '../../base/ports.ts';
import type { CooldownLead, CooledTablet, ReplicaRowset } from '../../base/replica.ts';
import { segmentKey, tabletPrefix } from '../../base/schema.ts';
import type { LocalSegments } from '../replica/local_segments.ts';
import type { ReplicaState, ReplicaStore } from '../replica/replica_store.ts';
import type { CooldownEngine } from './cooldown_engine.ts';
import type { CooldownResource } from './cooldown_resources.ts';
import type { Published } from './heads.ts';
import type { Manifest } from './manifest.ts';

export interface CooldownRebuildOptions {
  readonly engine: CooldownEngine;
  readonly store: ReplicaStore;
  readonly local: LocalSegments;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** Reads of a tablet that never had a leader: whatever term there is, is one of the past. */
const ANY_LEAD = { replicaId: 0 as CooldownLead['replicaId'], term: Number.MAX_SAFE_INTEGER };

export class CooldownRebuild {
  readonly #options: CooldownRebuildOptions;

  constructor(options: CooldownRebuildOptions) {
    this.#options = options;
  }

  /** Of several resources the one with the highest term. What cannot be read is its problem. */
  async read(question: CooledQuestion, signal: AbortSignal): Promise<CooledTablet> {
    const { tabletId, resourceIds, lead = ANY_LEAD } = question;
    try {
      let found: { readonly resource: CooldownResource; readonly at: Published } | undefined;
      for (const resourceId of resourceIds) {
        const resource = await this.#options.engine.resources.get(resourceId);
        const at = await resource.publications.read(tabletId, lead);
        if (at !== undefined && at.head.term > (found?.at.head.term ?? 0)) found = { resource, at };
      }
      if (found === undefined) return { tabletId, problem: '' };
      const { resource, at } = found;
      const manifest = await resource.publications.manifest(tabletId, at.head);
      const { term, replica, metaId, cooledVersion } = at.head;
      const rows = manifest.rowsets.reduce((sum, rowset) => sum + rowset.rows, 0);
      const { resourceId } = resource;
      const head = { term, replicaId: replica, resourceId, metaId, cooledVersion, rows };
      return { tabletId, head, problem: await lacking(resource, manifest, signal) };
    } catch (error) {
      signal.throwIfAborted();
      return { tabletId, problem: wordsOf(error) };
    }
  }

  /**
   * As `AgentCalls.rebuildReplica`; `damaged` ones of the replica's local rowsets are nothing that
   * is left. Throws REBUILD_FAILED, CONFUSED_REPLICA.
   */
  async rebuild(
    request: RebuildRequest,
    damaged: ReadonlySet<RowsetId>,
    signal: AbortSignal,
  ): Promise<AgentCalls['rebuildReplica']['reply']> {
    const { engine, store, clock } = this.#options;
    const { replica, term } = request;
    const { tabletId, replicaId } = replica;
    store.create(replica, clock.now());
    const lead = { replicaId, term };
    try {
      await this.#lead(tabletId, lead);
      return await engine.turns.hold(
        tabletId,
        async (turnSignal) => {
          const cooledVersion = await this.#takeOver(request, lead, turnSignal);
          return { cooledVersion, ...(await this.#fill(request, lead, damaged)) };
        },
        signal,
      );
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof SqlError) throw error;
      throw failed(tabletId, wordsOf(error), error);
    }
  }

  async #lead(tabletId: TabletId, lead: CooldownLead): Promise<void> {
    const [outcome] = await this.#options.engine.pushConf([{ tabletId, ...lead }]);
    if (outcome?.outcome === 'ACCEPTED' || outcome?.outcome === 'SAME') return;
    const known = outcome?.lead === undefined ? '' : `, it knows term ${outcome.lead.term}`;
    throw failed(tabletId, `its new replica did not take term ${lead.term}${known}`);
  }

  /** The version up to which it is cooled; -1: nothing is. */
  async #takeOver(
    { resourceId, replica: { tabletId } }: RebuildRequest,
    lead: CooldownLead,
    signal: AbortSignal,
  ): Promise<number> {
    if (resourceId === undefined) return -1;
    const { engine } = this.#options;
    const resource = await engine.resources.get(resourceId);
    const published = await engine.cooling.takeOver({ tabletId, lead, resource, signal });
    if (published === undefined) throw failed(tabletId, 'what was published is gone');
    return published.head.cooledVersion;
  }

  async #fill(
    { replica: { tabletId, replicaId }, version, isLossAllowed }: RebuildRequest,
    lead: CooldownLead,
    damaged: ReadonlySet<RowsetId>,
  ): Promise<{ readonly emptied: readonly VersionRange[]; readonly rows: number }> {
    const { store, local, log } = this.#options;
    const state = this.#state(tabletId, lead);
    const isLost = ({ rowsetId: name, place }: ReplicaRowset): boolean =>
      place.kind === 'local' && damaged.has(name);
    const lost = state.rowsets.filter(isLost);
    const left = state.rowsets.filter((rowset) => !isLost(rowset));
    const emptied = gaps(left, version);
    const [first] = emptied;
    if (first !== undefined) {
      if (!isLossAllowed) throw failed(tabletId, `version ${first.from} is not in its cooled data`);
      if (store.preparedTxns(tabletId).length > 0) {
        throw failed(tabletId, 'it has loads whose outcome it has not heard of yet: try again');
      }
      const remove = lost.map(({ rowsetId: name }) => name);
      const add = emptied.map((range) => this.#emptyRowset(range));
      const isDone = store.batch(() => {
        if (!store.replace(tabletId, { replicaId, remove, add })) return false;
        store.clearBad(tabletId);
        return true;
      });
      if (!isDone) throw failed(tabletId, 'its rowsets changed meanwhile');
      await local.delete(tabletId, lost);
    } else if (state.isBad) {
      // All that is left of it was found whole.
      store.clearBad(tabletId);
    }
    log.warn('a tablet was rebuilt of what is left of it', { tabletId, emptied });
    return { emptied, rows: left.reduce((sum, rowset) => sum + rowset.rows, 0) };
  }

  #state(tabletId: TabletId, lead: CooldownLead): ReplicaState {
    const state = this.#options.store.get(tabletId);
    if (state?.replicaId === lead.replicaId && state.lead?.term === lead.term) return state;
    throw failed(tabletId, 'the new replica was dropped, or another one leads now');
  }

  #emptyRowset({ from, to }: VersionRange): ReplicaRowset {
    const { clock, random } = this.#options;
    const nowMs = clock.now();
    return {
      rowsetId: rowsetId(Buffer.from(random.bytes(16)).toString('hex')),
      startVersion: from,
      endVersion: to,
      rows: 0,
      bytes: 0,
      segments: [],
      createdMs: nowMs,
      newestWriteMs: nowMs,
      place: { kind: 'local' },
    };
  }
}

/** Versions up to `version` that are in none of `rowsets`, which are in order. */
function gaps(rowsets: readonly ReplicaRowset[], version: number): readonly VersionRange[] {
  const found: VersionRange[] = [];
  let next = 0;
  for (const { startVersion, endVersion } of rowsets) {
    if (startVersion > version) break;
    if (startVersion > next) found.push({ from: next, to: startVersion - 1 });
    next = endVersion + 1;
  }
  if (next <= version) found.push({ from: next, to: version });
  return found;
}

/** Which of its objects are not there in their size, in words; '': all are. */
async function lacking(
  { store }: CooldownResource,
  { tablet, rowsets }: Manifest,
  signal: AbortSignal,
): Promise<string> {
  const sizes = new Map<string, number>();
  for await (const page of store.list(tabletPrefix(tablet), { signal })) {
    for (const { key, size } of page) sizes.set(key, size);
  }
  const lost = rowsets.flatMap(({ rowsetId: name, segments }) =>
    segments.flatMap(({ segment, bytes }) => {
      const key = segmentKey(tablet, name, segment);
      return sizes.get(key) === bytes ? [] : [key];
    }),
  );
  const [first] = lost;
  if (first === undefined) return '';
  return `${lost.length} of its objects are missing or damaged, ${first} is the first`;
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function failed(tablet: TabletId, why: string, cause?: unknown): SqlError {
  return new SqlError('REBUILD_FAILED', { tablet, why }, cause === undefined ? {} : { cause });
}
