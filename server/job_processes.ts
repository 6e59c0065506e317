/**
 * What jobs do on backends right now, as rows of the list of processes: batches of warm-up jobs,
 * compactions, schema changes, copies of replicas, cooldown jobs. Their ids are above those of connections, so that KILL cannot mean
 * one and hit the other.
 */
import type { BackendId } from '../base/ids.ts';
import type { Clock } from '../base/ports.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { AlterJobs } from '../jobs/alter_jobs.ts';
import type { CooldownScheduler } from '../jobs/cooldown_scheduler.ts';
import type { ReplicaRepair } from '../jobs/replica_repair.ts';
import type { WarmUpJobs } from '../jobs/warm_up_jobs.ts';
import type { Rights } from './access/rights.ts';
import type { ProcessRow } from './information_schema/source.ts';
import { seesJob } from './listings/warm_up_jobs.ts';

/** Ids of connections have 32 bits. */
const FIRST_ID = 2 ** 32;

/** Whom MySQL names for what it does by itself. */
const SYSTEM_USER = 'system user';

export interface JobProcess extends ProcessRow {
  /** How it is ended, since KILL does not end it. */
  readonly endedBy: string;
}

interface Work {
  /** The same as long as it runs. */
  readonly key: string;
  readonly backendId: BackendId | undefined;
  readonly database: string;
  readonly sinceMs: number;
  readonly state: string;
  readonly info: string;
  /** Percent; undefined: nobody knows. */
  readonly progress: number | undefined;
  readonly endedBy: string;
}

export interface JobProcessesDeps {
  readonly catalog: Catalog;
  readonly clock: Clock;
  readonly warmUps: WarmUpJobs;
  readonly alters: AlterJobs;
  readonly replicaRepair: Pick<ReplicaRepair, 'runningClones'>;
  readonly cooldown: { readonly scheduler: Pick<CooldownScheduler, 'unconfirmed'> };
}

export class JobProcesses {
  readonly #deps: JobProcessesDeps;
  /** By key of the work. */
  #ids: ReadonlyMap<string, number> = new Map();
  #nextId = FIRST_ID;

  constructor(deps: JobProcessesDeps) {
    this.#deps = deps;
  }

  /** What a user with these rights may know of, warm-ups first, the oldest first. */
  async list(rights: Rights): Promise<readonly JobProcess[]> {
    const works = [
      ...(await this.#warmUps()),
      ...(await this.#alters()),
      ...(await this.#merges()),
      ...(await this.#clones()),
      ...(await this.#cooldowns()),
    ];
    this.#ids = new Map(works.map(({ work }) => [work.key, this.#idOf(work.key)]));
    const seen = works.filter((one) => rights.isAdmin || one.seen(rights));
    const hosts = await this.#hosts();
    return seen.map(({ work }) => this.#row(work, hosts));
  }

  #idOf(key: string): number {
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    this.#nextId += 1;
    return this.#nextId;
  }

  async #hosts(): Promise<ReadonlyMap<BackendId, string>> {
    const backends = await this.#deps.catalog.backends.list();
    return new Map(
      backends.map(({ backendId, host, httpPort }) => [backendId, `${host}:${httpPort}`]),
    );
  }

  #row(work: Work, hosts: ReadonlyMap<BackendId, string>): JobProcess {
    const { backendId, sinceMs } = work;
    return {
      id: this.#ids.get(work.key) ?? 0,
      user: SYSTEM_USER,
      host: backendId === undefined ? '' : (hosts.get(backendId) ?? ''),
      database: work.database,
      command: 'Daemon',
      seconds: Math.max(0, Math.floor((this.#deps.clock.now() - sinceMs) / 1000)),
      state: work.state,
      info: work.info,
      attributes: {},
      progress: work.progress ?? 0,
      endedBy: work.endedBy,
    };
  }

  /** Batches that backends have in hand. */
  async #warmUps(): Promise<Seen[]> {
    const { catalog, warmUps } = this.#deps;
    const found: Seen[] = [];
    for (const job of await catalog.warmUpJobs.list()) {
      if (job.state !== 'RUNNING' || job.syncMode === 'EVENT_DRIVEN') continue;
      const seen = (rights: Rights): boolean => seesJob(rights, job);
      const from = job.srcGroup === null ? '' : ` from ${job.srcGroup}`;
      for (const batch of await catalog.warmUpBatches.ofRun(job.jobId, job.run, 'open')) {
        if (batch.state !== 'SENT') continue;
        const { backendId, run } = batch;
        const live = warmUps.board.batch(job.jobId, { backendId, run, batch: batch.batch });
        const counts = live ?? batch;
        const key = `warm-up/${job.jobId}/${run}/${backendId}/${batch.batch}`;
        const work: Work = {
          key,
          backendId,
          database: '',
          sinceMs: job.startMs ?? job.createMs,
          state: downloadState(counts, live?.throttled === true),
          info: `WARM UP JOB ${job.jobId}: run ${run}, batch ${batch.batch} on backend ${backendId} of ${job.dstGroup}${from}`,
          progress: percent(counts.doneBytes, counts.totalBytes),
          endedBy: `CANCEL WARM UP JOB ${job.jobId}`,
        };
        found.push({ work, seen });
      }
    }
    return found;
  }

  async #alters(): Promise<Seen[]> {
    const { catalog, alters } = this.#deps;
    const found: Seen[] = [];
    for (const job of await catalog.alterJobs.active()) {
      const table = await catalog.tables.byId(job.tableId);
      if (table === undefined) continue;
      const { databaseName: db, name } = table;
      const progress = alters.progress(job.jobId);
      const what = job.kind === 'ROLLUP' ? 'ROLLUP' : 'COLUMN';
      const work: Work = {
        key: `alter/${job.jobId}`,
        backendId: undefined,
        database: db,
        sinceMs: job.createMs,
        state: alterState(job.state, progress),
        info: `ALTER TABLE ${what} JOB ${job.jobId}: ${db}.${name} by backends of ${job.sourceGroup}`,
        progress: progress === undefined ? 0 : percent(progress.done, progress.found),
        endedBy: `CANCEL ALTER TABLE ${what} FROM ${db}.${name}`,
      };
      found.push({ work, seen: (rights) => rights.seesTable(db, name) });
    }
    return found;
  }

  async #merges(): Promise<Seen[]> {
    const { catalog } = this.#deps;
    const found: Seen[] = [];
    for (const merge of await catalog.compactions.running()) {
      const table = await catalog.tables.byId(merge.tableId);
      if (table === undefined) continue;
      const { databaseName: db, name } = table;
      const { compactionId, tabletId, backendId, inputRowsets, inputBytes } = merge;
      const work: Work = {
        key: `compaction/${compactionId}`,
        backendId,
        database: db,
        sinceMs: merge.startMs,
        state: `merging ${inputRowsets} rowsets, ${inputBytes} bytes`,
        info: `${merge.kind} COMPACTION of tablet ${tabletId} of ${db}.${name} on backend ${backendId}`,
        progress: undefined,
        endedBy:
          'ADMIN SET FRONTEND CONFIG ("disable_auto_compaction" = "true") stops further ones',
      };
      found.push({ work, seen: (rights) => rights.seesTable(db, name) });
    }
    return found;
  }

  async #clones(): Promise<Seen[]> {
    const { catalog, replicaRepair } = this.#deps;
    const found: Seen[] = [];
    for (const { tabletId, replicaId, target, source, sinceMs } of replicaRepair.runningClones) {
      const tableId = catalog.tablets.get(tabletId)?.tableId;
      const table = tableId === undefined ? undefined : await catalog.tables.byId(tableId);
      if (table === undefined) continue;
      const { databaseName: db, name } = table;
      const work: Work = {
        key: `clone/${replicaId}/${sinceMs}`,
        backendId: target,
        database: db,
        sinceMs,
        state: `copying from backend ${source}`,
        info: `REPLICA ${replicaId} of tablet ${tabletId} of ${db}.${name} on backend ${target}`,
        progress: undefined,
        endedBy: 'ADMIN SET FRONTEND CONFIG ("max_clone_task_timeout_sec" = "...") bounds it',
      };
      found.push({ work, seen: (rights) => rights.seesTable(db, name) });
    }
    return found;
  }

  /** Elections that backends are told of; as SHOW COOLDOWN JOB, for administrators. */
  async #cooldowns(): Promise<Seen[]> {
    const { catalog, cooldown } = this.#deps;
    return (await catalog.cooldown.active()).map((job) => {
      const open = cooldown.scheduler.unconfirmed(job.jobId);
      const work: Work = {
        key: `cooldown/${job.jobId}`,
        backendId: undefined,
        database: '',
        sinceMs: job.createMs,
        state: open === undefined ? 'pending' : `${open} replicas have not confirmed`,
        info: `COOLDOWN JOB ${job.jobId}: ${job.elected} elected of ${job.tablets} tablets, ${job.reason}`,
        progress: undefined,
        endedBy: `CANCEL COOLDOWN JOB ${job.jobId}`,
      };
      return { work, seen: () => false };
    });
  }
}

interface Seen {
  readonly work: Work;
  readonly seen: (rights: Rights) => boolean;
}

interface Counts {
  readonly totalBytes: number;
  readonly doneBytes: number;
  readonly totalTablets: number;
  readonly doneTablets: number;
}

function downloadState(counts: Counts, throttled: boolean): string {
  const { doneTablets, totalTablets, doneBytes, totalBytes } = counts;
  const text = `${doneTablets} of ${totalTablets} tablets, ${doneBytes} of ${totalBytes} bytes`;
  return throttled ? `downloading, throttled: ${text}` : `downloading: ${text}`;
}

function alterState(
  state: string,
  progress: { readonly done: number; readonly found: number } | undefined,
): string {
  if (state !== 'RUNNING') return state === 'PENDING' ? 'pending' : 'waiting for loads to end';
  return progress === undefined
    ? 'rewriting'
    : `rewriting: ${progress.done} of ${progress.found} rowsets`;
}

/** 0 to 100, with two digits behind the point. */
function percent(done: number, all: number): number {
  return all === 0 ? 0 : Math.min(100, Math.round((10_000 * done) / all) / 100);
}

/** Whether an id of KILL can only be one of these. */
export function isJobProcess(id: number): boolean {
  return id > FIRST_ID;
}
