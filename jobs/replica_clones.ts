/**
 * Copies that run: few at once, so that loads and reads go on, and none again right after it
 * failed. A copy is a task of the target's backend; what came of it counts by what is reported
 * and by the version that the backend answers.
 */
import type { AgentTransport } from '../base/agent_messages.ts';
import type { Config } from '../base/config.ts';
import type { BackendId, ReplicaId, TabletId } from '../base/ids.ts';
import type { Clock, Log } from '../base/ports.ts';
import type { NewReplica } from '../base/replica.ts';
import type { BackendDef } from '../base/schema.ts';
import type { Catalog } from '../catalog/catalog.ts';

/** Pause after a failure, doubling with each, milliseconds. */
const RETRY_MS_MIN = 1000;
const RETRY_MS_MAX = 60_000;
/** The backend gives up first. */
const SLACK_MS = 10_000;
const REPORT_TIMEOUT_MS = 5000;

export interface CloneSource {
  readonly replicaId: ReplicaId;
  readonly backend: BackendDef;
}

export interface ReplicaClonesDeps {
  readonly catalog: Catalog;
  readonly transport: AgentTransport;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly onEnd: (tabletId: TabletId) => void;
}

/** Since the server started. */
export interface CloneCounts {
  readonly running: number;
  readonly done: number;
  readonly failed: number;
}

export interface RunningClone {
  readonly tabletId: TabletId;
  /** The replica that is made. */
  readonly replicaId: ReplicaId;
  readonly target: BackendId;
  readonly source: BackendId;
  /** Wall clock. */
  readonly sinceMs: number;
}

interface Failed {
  readonly count: number;
  /** Monotonic. */
  readonly notBefore: number;
  readonly why: string;
}

export class ReplicaClones {
  readonly #deps: ReplicaClonesDeps;
  readonly #running = new Map<ReplicaId, RunningClone>();
  readonly #failed = new Map<ReplicaId, Failed>();
  readonly #stopping = new AbortController();
  #done = 0;
  #errors = 0;

  constructor(deps: ReplicaClonesDeps) {
    this.#deps = deps;
  }

  get counts(): CloneCounts {
    return { running: this.#running.size, done: this.#done, failed: this.#errors };
  }

  /** The oldest first. */
  get running(): readonly RunningClone[] {
    return [...this.#running.values()];
  }

  isRunning(tabletId: TabletId): boolean {
    return [...this.#running.values()].some((one) => one.tabletId === tabletId);
  }

  errorOf(replicaId: ReplicaId): string {
    return this.#failed.get(replicaId)?.why ?? '';
  }

  /** Nothing happens when it runs, has just failed, or there is no room: it is asked for again. */
  start(replica: NewReplica, target: BackendDef, sources: readonly CloneSource[]): void {
    const { config, clock } = this.#deps;
    const { replicaId, tabletId } = replica;
    if (this.#stopping.signal.aborted || this.#running.has(replicaId)) return;
    if (this.#running.size >= config.get('max_concurrent_replica_clones')) return;
    const failed = this.#failed.get(replicaId);
    if (failed !== undefined && failed.notBefore > clock.monotonic()) return;
    if (!this.#hasRoom(target.backendId)) return;
    // Not always the same one: it may be the one that fails.
    const free = sources.filter(({ backend }) => this.#hasRoom(backend.backendId));
    const source = free[(failed?.count ?? 0) % Math.max(1, free.length)];
    if (source === undefined) return;
    const from = source.backend.backendId;
    const running = { tabletId, replicaId, target: target.backendId, source: from };
    this.#running.set(replicaId, { ...running, sinceMs: clock.now() });
    void this.#run(replica, target, source);
  }

  /** What runs on backends goes on there; nobody waits for it any more. */
  close(): void {
    this.#stopping.abort();
  }

  #hasRoom(backendId: BackendId): boolean {
    let running = 0;
    for (const { target, source } of this.#running.values()) {
      if (target === backendId || source === backendId) running += 1;
    }
    return running < this.#deps.config.get('replica_clone_slots_per_backend');
  }

  async #run(replica: NewReplica, target: BackendDef, source: CloneSource): Promise<void> {
    const { log, onEnd } = this.#deps;
    const { replicaId, tabletId } = replica;
    const fields = { tabletId, replicaId, to: target.backendId, from: source.backend.backendId };
    try {
      const version = await this.#call(replica, target, source);
      this.#failed.delete(replicaId);
      this.#done += 1;
      await this.#cloned(replica, version);
      log.info('a replica was copied', { ...fields, version });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#fail(replicaId, why);
      if (!this.#stopping.signal.aborted) {
        log.warn('a replica could not be copied', { ...fields, error: why });
      }
    } finally {
      this.#running.delete(replicaId);
      onEnd(tabletId);
    }
  }

  async #call(replica: NewReplica, target: BackendDef, source: CloneSource): Promise<number> {
    const { config, transport } = this.#deps;
    const timeoutMs = config.get('max_clone_task_timeout_sec') * 1000;
    const { backendId, host, httpPort } = source.backend;
    const { replicaId } = source;
    const request = {
      tabletId: replica.tabletId,
      replica,
      source: { backendId, host, httpPort, replicaId },
      timeoutMs,
    };
    const options = { timeoutMs: timeoutMs + SLACK_MS, signal: this.#stopping.signal };
    return (await transport.call(target.backendId, 'cloneReplica', request, options)).version;
  }

  async #cloned(replica: NewReplica, version: number): Promise<void> {
    const { catalog } = this.#deps;
    // False: a load that it missed was committed meanwhile; the next copy brings that.
    if (!(await catalog.replicas.clearMissing(replica, version))) return;
    await catalog.replicas.setState(replica, ['CLONING'], 'NORMAL');
    const known = catalog.replicas.get(replica.tabletId, replica.replicaId);
    if (known !== undefined) this.#askForReport(known.backendId);
  }

  /** What was reported before the copy does not count any more. */
  #askForReport(backendId: BackendId): void {
    const options = { timeoutMs: REPORT_TIMEOUT_MS };
    this.#deps.transport.call(backendId, 'reportNow', {}, options).catch(() => {
      // It reports by itself.
    });
  }

  #fail(replicaId: ReplicaId, why: string): void {
    const { clock } = this.#deps;
    this.#errors += 1;
    const count = (this.#failed.get(replicaId)?.count ?? 0) + 1;
    const pauseMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** (count - 1));
    this.#failed.set(replicaId, { count, notBefore: clock.monotonic() + pauseMs, why });
  }
}
