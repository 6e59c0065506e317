/**
 * One run: a world drawn from a seed, a phase with faults, a phase without. Between two events
 * everything settles, and after every step the invariants are checked.
 */
import { mkdtempSync, rmSync, existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JobId } from '../base/ids.ts';
import { SqlError } from '../base/errors.ts';
import type { Log } from '../base/ports.ts';
import { CancelWatch } from './cancel_watch.ts';
import { EventWatch } from './event_watch.ts';
import { FaultInjector } from './fault_injector.ts';
import { INVARIANTS, type Seen, runName } from './invariants.ts';
import { CatalogView, type JobView, type RunView } from './observed.ts';
import { type SimOptions, drawOptions } from './options.ts';
import { type Plant, PLANTS, type PlantName } from './plants.ts';
import { untilQuiet } from './quiet.ts';
import { Recovery } from './recovery.ts';
import { SeededRandom } from './seeded_random.ts';
import type { BackendWorld } from './sim_backend.ts';
import { SimNetwork } from './sim_network.ts';
import { SimServer } from './sim_server.ts';
import { SimBucket } from './sim_store.ts';
import { Trace } from './trace.ts';
import { type SimProcess, VirtualTime } from './virtual_time.ts';
import { Workload } from './workload.ts';

/** Longest that the phase without faults may take, virtual milliseconds. */
const RECOVERY_MS_MAX = 20 * 60_000;
/** How often that phase looks whether everything has ended. */
const RECOVERY_STEP_MS = 500;

/** better-sqlite3's words for a catalog that a crash has closed. */
const CLOSED_UNDER_IT = 'The database connection is not open';

export interface RunRequest {
  readonly seed: number;
  readonly events?: number;
  readonly plant?: PlantName;
  readonly print?: (line: string) => void;
}

export interface Failure {
  readonly invariant: string;
  readonly claim: string;
  readonly problem: string;
}

export interface RunResult {
  readonly seed: number;
  readonly options: SimOptions;
  /** undefined: everything held. */
  readonly failure: Failure | undefined;
  /** Two runs of one seed have the same. */
  readonly digest: string;
  readonly lastLines: readonly string[];
  readonly counts: RunCounts;
}

export interface RunCounts {
  steps: number;
  virtualMs: number;
  jobs: number;
  finishedJobs: number;
  finishedRuns: number;
  serverStarts: number;
  checkedBlocks: number;
  excusedTablets: number;
  owedRowsets: number;
}

/** What an invariant found; ends the run. */
export class Violation extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(`${failure.invariant}: ${failure.problem}`);
    this.failure = failure;
  }
}

export async function simulate(request: RunRequest): Promise<RunResult> {
  const dir = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'thermocline-sim-'));
  const simulation = new Simulation(request, dir);
  try {
    return await simulation.run();
  } finally {
    simulation.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

class Simulation {
  readonly #seed: number;
  readonly #options: SimOptions;
  readonly #plant: Plant;
  readonly #random: SeededRandom;
  readonly #time = new VirtualTime();
  readonly #trace: Trace;
  readonly #network: SimNetwork;
  readonly #bucket: SimBucket;
  readonly #server: SimServer;
  readonly #cancelWatch: CancelWatch;
  readonly #events = new EventWatch((text) => {
    this.#note(text);
  });
  #catalog: CatalogView | undefined;
  #jobs: ReadonlyMap<JobId, JobView> = new Map();
  #runs: ReadonlyMap<string, RunView> = new Map();
  /** Found while an event ran; thrown after the step. */
  #problem: Failure | undefined;
  readonly #startsAsked = new Map<string, number>();
  readonly #warmth = { checkedBlocks: 0, excusedTablets: 0 };
  readonly #counts: RunCounts = {
    steps: 0,
    virtualMs: 0,
    jobs: 0,
    finishedJobs: 0,
    finishedRuns: 0,
    serverStarts: 0,
    checkedBlocks: 0,
    excusedTablets: 0,
    owedRowsets: 0,
  };

  constructor(request: RunRequest, dir: string) {
    this.#seed = request.seed;
    this.#plant = PLANTS[request.plant ?? 'none'];
    const random = new SeededRandom(request.seed);
    this.#options = this.#plant.options(drawOptions(random.fork(), request.events));
    this.#random = random;
    this.#trace = new Trace(request.print);
    const { network, store } = this.#options;
    this.#network = new SimNetwork(this.#time, random.fork(), this.#trace, { ...network });
    this.#bucket = new SimBucket({ ...store });
    this.#server = new SimServer(dir);
    this.#cancelWatch = new CancelWatch(this.#server, this.#options, this.#time);
  }

  async run(): Promise<RunResult> {
    let failure: Failure | undefined;
    const onUnhandled = (error: unknown): void => {
      // What a dead server had begun: it would not be there to meet this.
      if (error instanceof Error && error.message === CLOSED_UNDER_IT) return;
      this.#found('nothing-fails-inside', 'No promise is rejected unheard.', describe(error));
    };
    process.on('unhandledRejection', onUnhandled);
    try {
      await this.#setUp();
      await this.#phaseWithFaults();
      await this.#phaseWithout();
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      ({ failure } = error);
    } finally {
      process.off('unhandledRejection', onUnhandled);
    }
    this.#counts.virtualMs = Math.round(this.#time.nowMs);
    this.#counts.owedRowsets = this.#events.owedRowsets;
    this.#counts.jobs = this.#jobs.size;
    this.#counts.finishedJobs = [...this.#jobs.values()].filter(
      (job) => job.state === 'FINISHED',
    ).length;
    this.#counts.finishedRuns = [...this.#runs.values()].filter(
      (run) => run.outcome === 'FINISHED',
    ).length;
    const counts = { ...this.#counts, ...this.#warmth };
    const digest = this.#trace.digest();
    const lastLines = this.#trace.last;
    return { seed: this.#seed, options: this.#options, failure, digest, lastLines, counts };
  }

  close(): void {
    this.#server.crash();
    for (const backend of this.#server.backends.values()) backend.kill();
    this.#catalog?.close();
  }

  // -------------------------------------------------------------------------------------------
  // Phases

  /** A calm start: groups, backends, tables, without faults. */
  async #setUp(): Promise<void> {
    this.#server.connect(this.#world());
    const { faults } = this.#network;
    const drawn = { ...faults };
    Object.assign(faults, { drop: 0, duplicate: 0, replyLost: 0, slow: 0 });
    void this.#server.start();
    await this.#until(() => this.#server.isReady, 60_000);
    this.#catalog = new CatalogView(this.#server.catalogFile);
    for (const sql of Workload.setUp(this.#options)) {
      const said = { isAnswered: false };
      const error = this.#say(sql).finally(() => {
        said.isAnswered = true;
      });
      await this.#until(() => said.isAnswered, 60_000);
      const known = await error;
      if (known !== undefined) throw new Error(`${sql}: ${known.message}`);
    }
    Object.assign(faults, drawn);
  }

  async #phaseWithFaults(): Promise<void> {
    const { events, pauseMs } = this.#options;
    const random = this.#random.fork();
    const workload = new Workload({
      options: this.#options,
      random,
      server: this.#server,
      catalog: this.#view,
      say: (sql, group) => {
        void this.#say(sql, group);
      },
      note: (text) => {
        this.#note(text);
      },
    });
    const injector = this.#injector();
    injector.start();
    this.#note(`phase one: ${events} events with faults`);
    for (let event = 0; event < events; event += 1) {
      await this.#go(random.around(pauseMs), injector);
      workload.step();
      await this.#settle();
    }
    injector.stop();
  }

  /** Everything is healed; then all work must end. */
  async #phaseWithout(): Promise<void> {
    this.#note('phase two: no more faults');
    const injector = this.#injector();
    injector.healAll();
    const endMs = this.#time.nowMs + RECOVERY_MS_MAX;
    let left = 'it has not begun';
    const recovery = new Recovery(
      {
        server: this.#server,
        catalog: this.#view,
        warmth: this.#warmth,
        events: this.#events,
        say: (sql) => {
          void this.#say(sql);
        },
      },
      this.#time.nowMs,
    );
    while (this.#time.nowMs < endMs) {
      await this.#go(RECOVERY_STEP_MS);
      const found = await recovery.look();
      ({ left } = found);
      if (found.lost !== undefined) {
        this.#found(
          'events-arrive',
          'What an event-driven job has acknowledged is in the cache of its target.',
          found.lost,
        );
        this.#throwFound();
      }
      if (left === '') return;
    }
    this.#found('everything-ends', 'Without faults every job ends and every event arrives.', left);
    this.#throwFound();
  }

  // -------------------------------------------------------------------------------------------
  // Steps

  async #go(ms: number, injector?: FaultInjector): Promise<void> {
    const untilMs = this.#time.nowMs + ms;
    for (;;) {
      const event = this.#time.step(untilMs);
      if (event === undefined) return;
      this.#trace.tick(event.atMs, event.label);
      await injector?.afterEvent(event);
      await this.#settle();
    }
  }

  async #until(done: () => boolean, msMax: number): Promise<void> {
    const endMs = this.#time.nowMs + msMax;
    while (!done()) {
      await untilQuiet();
      if (done()) break;
      if (this.#time.nowMs >= endMs) throw new Error('the world of the run could not be made');
      await this.#go(10);
    }
  }

  /** Lets everything go on that can, then checks. */
  async #settle(): Promise<void> {
    if (!(await untilQuiet())) {
      const problem = 'something takes turns of the event loop without end';
      this.#found('nothing-fails-inside', 'Nothing goes round in circles.', problem);
    }
    this.#counts.steps += 1;
    for (const backend of this.#server.backends.values()) backend.noticeEvictions();
    this.#throwFound();
    if (this.#catalog?.changed() === true) await this.#check(this.#catalog);
  }

  async #check(catalog: CatalogView): Promise<void> {
    const jobs = catalog.jobs();
    const runs = catalog.runs();
    const seen: Seen = {
      nowMs: this.#time.nowMs,
      jobs,
      before: this.#jobs,
      runs,
      runsBefore: this.#runs,
      slots: catalog.slots(),
      catalog,
      server: this.#server,
      startsAsked: this.#startsAsked,
      visibleMs: (rowset) => this.#events.visibleMs(rowset),
      warmth: this.#warmth,
    };
    this.#noteChanges(jobs);
    this.#cancelWatch.note(jobs, this.#jobs);
    this.#events.note(this.#time.nowMs, catalog, jobs, this.#jobs);
    for (const invariant of INVARIANTS) {
      const problem = await invariant.check(seen);
      const { name, claim } = invariant;
      if (problem !== undefined) throw new Violation({ invariant: name, claim, problem });
    }
    this.#jobs = jobs;
    this.#runs = new Map(runs.map((run) => [runName(run), run]));
  }

  #noteChanges(jobs: ReadonlyMap<JobId, JobView>): void {
    for (const job of jobs.values()) {
      const before = this.#jobs.get(job.jobId);
      if (before?.state === job.state && before.run === job.run) continue;
      const why = job.errMsg === '' ? '' : ` (${job.errMsg})`;
      this.#note(
        `job ${job.jobId} ${job.syncMode} ${job.srcGroup ?? 'tables'} -> ${job.dstGroup} ` +
          `run ${job.run}: ${before?.state ?? 'new'} -> ${job.state}${why}`,
      );
    }
  }

  // -------------------------------------------------------------------------------------------
  // Parts

  get #view(): CatalogView {
    if (this.#catalog === undefined) throw new Error('the catalog is not open yet');
    return this.#catalog;
  }

  #world(): BackendWorld {
    return {
      options: this.#options,
      time: this.#time,
      trace: this.#trace,
      network: this.#network,
      bucket: this.#bucket,
      random: this.#random.fork(),
      plant: this.#plant,
      server: this.#server,
      logFor: (process) => this.#logFor(process),
      onDownload: (backend, key) => {
        const problem = this.#cancelWatch.onDownload(backend, key);
        if (problem !== undefined) {
          this.#found(
            'cancelled-jobs-stop',
            'A cancelled job causes no download that starts later than a second after.',
            problem,
          );
        }
      },
    };
  }

  #injector(): FaultInjector {
    return new FaultInjector({
      options: this.#options,
      random: this.#random.fork(),
      time: this.#time,
      server: this.#server,
      network: this.#network,
      bucket: this.#bucket,
      note: (text) => {
        this.#note(text);
      },
      isEnabled: ({ backendId }) =>
        this.#view.backends().some((one) => one.backendId === backendId && one.state !== 'STOPPED'),
      onServerCrash: () => {
        this.#cancelWatch.serverCrashed();
      },
      onServerStart: () => {
        this.#counts.serverStarts += 1;
      },
    });
  }

  /** Resolves when the statement was answered, with its error; never, when its server died. */
  async #say(sql: string, group = ''): Promise<SqlError | undefined> {
    this.#note(`> ${group === '' ? '' : `@${group} `}${sql}`);
    try {
      const { kind } = await this.#server.execute(sql, group);
      this.#note(`< ${kind}: ${sql}`);
      return undefined;
    } catch (error) {
      this.#note(`< ${describe(error)}: ${sql}`);
      if (error instanceof SqlError) return error;
      this.#found(
        'nothing-fails-inside',
        'Every error of a statement is a known one.',
        describe(error),
      );
      return undefined;
    }
  }

  /** A warning is part of life; an error is something that a part did not expect. */
  #logFor(process: SimProcess): Log {
    const log: Log = {
      debug: () => undefined,
      info: () => undefined,
      warn: () => undefined,
      error: (event, fields) => {
        if (process.isDead) return;
        const text = `${process.name}: ${event} ${JSON.stringify(fields ?? {})}`;
        this.#note(text);
        this.#found('nothing-fails-inside', 'No part meets an error that it did not expect.', text);
      },
      child: () => log,
    };
    return log;
  }

  #note(text: string): void {
    this.#trace.note(this.#time.nowMs, text);
  }

  #found(invariant: string, claim: string, problem: string): void {
    this.#problem ??= { invariant, claim, problem };
  }

  #throwFound(): void {
    const problem = this.#problem;
    if (problem !== undefined) throw new Violation(problem);
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.name === 'SqlError' ? error.message : (error.stack ?? error.message);
}
