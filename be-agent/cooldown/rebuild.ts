/**
 * A replica of a tablet that has lost all others, made of what is published: HEAD is claimed with a
 * new term as by any new leader, its list is taken over, and versions that are nowhere any more
 * become an empty rowset, so that every version is there once.
 */
import type { AgentCalls, CooledQuestion, RebuildRequest } from '../../base/agent_messages.ts';
import type { VersionRange } from '../../base/agent_messages.ts';
import { SqlError } from '../../base/errors.ts';
import { type TabletId, rowsetId } from '../../base/ids.ts';
import type { Clock, Log, Random } from '../../base/ports.ts';
import type { CooldownLead, CooledTablet, ReplicaRowset } from '../../base/replica.ts';
import { segmentKey, tabletPrefix } from '../../base/schema.ts';
import type { ReplicaState, ReplicaStore } from '../replica/replica_store.ts';
import type { CooldownEngine } from './cooldown_engine.ts';
import type { CooldownResource } from './cooldown_resources.ts';
import type { Published } from './heads.ts';
import type { Manifest } from './manifest.ts';

export interface CooldownRebuildOptions {
  readonly engine: CooldownEngine;
  readonly store: ReplicaStore;
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

  /** As `AgentCalls.rebuildReplica`; throws REBUILD_FAILED, CONFUSED_REPLICA. */
  async rebuild(
    request: RebuildRequest,
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
        async (turnSignal) => await this.#fill(request, lead, turnSignal),
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

  async #fill(
    request: RebuildRequest,
    lead: CooldownLead,
    signal: AbortSignal,
  ): Promise<AgentCalls['rebuildReplica']['reply']> {
    const { engine, store, log } = this.#options;
    const { resourceId, version, isLossAllowed } = request;
    const { tabletId, replicaId } = request.replica;
    let cooledVersion = -1;
    if (resourceId !== undefined) {
      const resource = await engine.resources.get(resourceId);
      const published = await engine.cooling.takeOver({ tabletId, lead, resource, signal });
      if (published === undefined) throw failed(tabletId, 'what was published is gone');
      ({ cooledVersion } = published.head);
    }
    const state = this.#state(tabletId, lead);
    const emptied = gaps(state, version);
    const [first] = emptied;
    if (first !== undefined && !isLossAllowed) {
      throw failed(tabletId, `version ${first.from} is not in its cooled data`);
    }
    if (first !== undefined) {
      if (store.preparedTxns(tabletId).length > 0) {
        throw failed(tabletId, 'it has loads whose outcome it has not heard of yet: try again');
      }
      const add = emptied.map((range) => this.#emptyRowset(range));
      if (!store.replace(tabletId, { replicaId, remove: [], add })) {
        throw failed(tabletId, 'its rowsets changed meanwhile');
      }
    }
    const rows = state.rowsets.reduce((sum, rowset) => sum + rowset.rows, 0);
    log.warn('a tablet was rebuilt from what is cooled of it', {
      tabletId,
      cooledVersion,
      emptied,
    });
    return { emptied, cooledVersion, rows };
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

/** Versions up to `version` that the replica does not have. */
function gaps({ rowsets }: ReplicaState, version: number): readonly VersionRange[] {
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
