/**
 * What people and programs do while faults happen: statements as text, through the parser and the
 * executors, and reads on the backends. A statement may fail; what matters is what is true then.
 */
import type { BackendId } from '../base/ids.ts';
import type { ObjectStore } from '../base/ports.ts';
import type { CatalogView, JobView, TableView } from './observed.ts';
import { FINAL_STATES } from './observed.ts';
import type { SimOptions } from './options.ts';
import type { SeededRandom } from './seeded_random.ts';
import { objectsOf } from './sim_backend.ts';
import type { SimServer } from './sim_server.ts';

export interface WorkloadDeps {
  readonly options: SimOptions;
  readonly random: SeededRandom;
  readonly server: SimServer;
  readonly catalog: CatalogView;
  /** Runs a statement and notes what came of it; does not wait for it. */
  readonly say: (sql: string, computeGroup?: string) => void;
  readonly note: (text: string) => void;
}

interface Action {
  readonly weight: number;
  act(): void;
}

const EVENT_DRIVEN = 'PROPERTIES ("sync_mode"="event_driven", "sync_event"="load")';
/** Compute groups and tables at once, at most: a run stays small. */
const GROUPS_MAX = 4;
const BACKENDS_MAX = 9;
const TABLES_MAX = 6;

export class Workload {
  readonly #deps: WorkloadDeps;
  readonly #actions: readonly Action[];
  readonly #total: number;
  #names = 0;

  constructor(deps: WorkloadDeps) {
    this.#deps = deps;
    this.#actions = this.#makeActions();
    this.#total = this.#actions.reduce((sum, action) => sum + action.weight, 0);
  }

  /** The statements that make the world of a run, in order. */
  static setUp(options: SimOptions): string[] {
    const statements = ['CREATE DATABASE d'];
    for (const [place, backends] of options.groups.entries()) {
      statements.push(`CREATE COMPUTE GROUP g${place}`);
      for (let i = 0; i < backends; i += 1) {
        statements.push(`ALTER SYSTEM ADD BACKEND "embedded" TO COMPUTE GROUP g${place}`);
      }
    }
    for (let place = 0; place < options.tables; place += 1) {
      statements.push(createTable(`t${place}`, options));
    }
    for (let place = 0; place < Math.min(options.eventJobs, options.groups.length); place += 1) {
      const target = (place + 1) % options.groups.length;
      const source = place % options.groups.length;
      statements.push(
        `WARM UP COMPUTE GROUP g${target} WITH COMPUTE GROUP g${source} ${EVENT_DRIVEN}`,
      );
    }
    return statements;
  }

  /** Does one thing, drawn by weight. */
  step(): void {
    let place = this.#deps.random.int(this.#total);
    for (const action of this.#actions) {
      place -= action.weight;
      if (place >= 0) continue;
      action.act();
      return;
    }
  }

  #makeActions(): Action[] {
    return [
      { weight: 30, act: () => this.#load() },
      { weight: 10, act: () => this.#read() },
      { weight: 16, act: () => this.#warmTables() },
      { weight: 10, act: () => this.#warmGroup() },
      { weight: 6, act: () => this.#periodic() },
      { weight: 6, act: () => this.#eventDriven() },
      { weight: 8, act: () => this.#onJob('CANCEL') },
      { weight: 4, act: () => this.#onJob('PAUSE') },
      { weight: 6, act: () => this.#onJob('RESUME') },
      { weight: 2, act: () => this.#onJob('RETRY') },
      { weight: 3, act: () => this.#table() },
      { weight: 3, act: () => this.#compact() },
      { weight: 2, act: () => this.#alter() },
      { weight: 3, act: () => this.#group() },
      { weight: 5, act: () => this.#backend() },
      { weight: 2, act: () => this.#clear() },
    ];
  }

  #load(): void {
    const { random, say } = this.#deps;
    const table = this.#tableName();
    const group = this.#groupName();
    if (table === undefined || group === undefined) return;
    say(`INSERT INTO d.${table} VALUES (${random.int(30)}, 1)`, group);
  }

  #read(): void {
    const { random, server, catalog, note } = this.#deps;
    const table = random.pick(catalog.tables());
    const partition = random.pick(table?.partitions ?? []);
    const backend = random.pick(catalog.backends());
    if (table === undefined || partition === undefined || backend === undefined) return;
    const node = server.backends.get(backend.backendId as BackendId);
    const rowsets = catalog
      .visibleRowsets()
      .filter((rowset) => rowset.partitionId === partition.partitionId)
      .slice(0, 5);
    note(`be-${backend.backendId} reads ${table.name}.${partition.name}`);
    // The backend puts its own store in.
    const store = undefined as never as ObjectStore;
    const objects = rowsets.flatMap((rowset) =>
      objectsOf(
        store,
        {
          tabletId: rowset.tabletId,
          partitionId: rowset.partitionId as never,
          ttlSeconds: rowset.ttlSeconds,
        },
        rowset,
      ),
    );
    const access = {
      tableId: table.tableId as never,
      indexId: table.indexId as never,
      partitionId: partition.partitionId as never,
    };
    node?.query(access, objects).catch((error: unknown) => {
      note(`be-${backend.backendId} could not read: ${String(error)}`);
    });
  }

  #warmTables(): void {
    const { random, catalog, say } = this.#deps;
    const target = this.#groupName();
    const tables = catalog.tables().filter(() => random.chance(0.6));
    if (target === undefined || tables.length === 0) return;
    const items = tables.map((table) => `TABLE d.${table.name}${this.#partitionOf(table)}`);
    const force = random.chance(0.3) ? ' FORCE' : '';
    say(`WARM UP COMPUTE GROUP ${target} WITH ${items.join(' AND ')}${force}`);
  }

  #partitionOf(table: TableView): string {
    const { random } = this.#deps;
    const partition = random.pick(table.partitions);
    return partition === undefined || random.chance(0.7) ? '' : ` PARTITION ${partition.name}`;
  }

  #warmGroup(): void {
    const { random, say } = this.#deps;
    const force = random.chance(0.3) ? ' FORCE' : '';
    say(`WARM UP COMPUTE GROUP ${this.#pair()}${force}`);
  }

  #periodic(): void {
    const { random, say } = this.#deps;
    const interval = random.one([1, 3, 10, 30]);
    const properties = `"sync_mode"="periodic", "sync_interval_sec"="${interval}"`;
    say(`WARM UP COMPUTE GROUP ${this.#pair()} PROPERTIES (${properties})`);
  }

  #eventDriven(): void {
    const { random, say } = this.#deps;
    const filter = random.one([
      '',
      '',
      ` ON TABLES (INCLUDE 'd.t${random.int(3)}')`,
      ` ON TABLES (INCLUDE 'd.*', EXCLUDE 'd.t${random.int(3)}')`,
    ]);
    say(`WARM UP COMPUTE GROUP ${this.#pair()}${filter} ${EVENT_DRIVEN}`);
  }

  #onJob(what: 'CANCEL' | 'PAUSE' | 'RESUME' | 'RETRY'): void {
    const { random, catalog, say } = this.#deps;
    const wanted = (job: JobView): boolean => {
      switch (what) {
        case 'CANCEL':
        case 'PAUSE':
          return !FINAL_STATES.has(job.state) && job.state !== 'PAUSED';
        case 'RESUME':
          return job.state === 'PAUSED';
        case 'RETRY':
          return job.failedTablets > 0 || job.syncMode !== 'ONCE';
      }
    };
    const job = random.pick([...catalog.jobs().values()].filter(wanted));
    if (job === undefined) return;
    say(`${what} WARM UP JOB${what === 'CANCEL' ? ' WHERE ID =' : ''} ${job.jobId}`);
  }

  #table(): void {
    const { random, catalog, options, say } = this.#deps;
    const tables = catalog.tables();
    const table = random.pick(tables);
    const what = random.int(3);
    if (table === undefined || (what === 0 && tables.length < TABLES_MAX)) {
      say(createTable(`t${random.int(TABLES_MAX)}`, options));
    } else if (what === 1) {
      say(`DROP TABLE d.${table.name}`);
    } else {
      say(`ALTER TABLE d.${table.name} RENAME t${random.int(TABLES_MAX)}`);
    }
  }

  #compact(): void {
    const table = this.#tableName();
    if (table !== undefined) this.#deps.say(`ALTER TABLE d.${table} COMPACT`);
  }

  #alter(): void {
    const table = this.#tableName();
    if (table === undefined) return;
    this.#names += 1;
    const what = this.#deps.random.chance(0.6)
      ? `ADD COLUMN c${this.#names} BIGINT`
      : `ADD ROLLUP r${this.#names} (k)`;
    this.#deps.say(`ALTER TABLE d.${table} ${what}`);
  }

  #group(): void {
    const { random, catalog, say } = this.#deps;
    const groups = catalog.groups();
    const group = random.pick(groups);
    if (group === undefined) return;
    const what = random.int(3);
    if (what === 0 && groups.length < GROUPS_MAX) {
      this.#names += 1;
      say(`CREATE COMPUTE GROUP h${this.#names}`);
    } else if (what === 1 && groups.length > 2) {
      say(`DROP COMPUTE GROUP ${group} FORCE`);
    } else {
      // Away, or back: names are few, so that jobs find theirs again.
      say(`ALTER SYSTEM RENAME COMPUTE GROUP ${group} TO g${random.int(GROUPS_MAX)}`);
    }
  }

  #backend(): void {
    const { random, catalog, say } = this.#deps;
    const backends = catalog.backends();
    const backend = random.pick(backends);
    const group = this.#groupName();
    const what = random.int(4);
    if (
      group !== undefined &&
      (backend === undefined || (what === 0 && backends.length < BACKENDS_MAX))
    ) {
      say(`ALTER SYSTEM ADD BACKEND "embedded" TO COMPUTE GROUP ${group}`);
    } else if (backend !== undefined) {
      const verb = ['', 'DROPP', 'STOP', 'START'][what] ?? '';
      say(`ALTER SYSTEM ${verb === '' ? 'KILL' : verb} BACKEND ${backend.backendId}`);
    }
  }

  /** An operator empties a cache. */
  #clear(): void {
    const { random, server, note } = this.#deps;
    const backend = random.pick([...server.backends.values()].filter((one) => one.isRunning));
    if (backend === undefined) return;
    note(`${backend.name}: its cache is cleared`);
    backend.handle('clearCache', {}).catch(() => undefined);
  }

  #pair(): string {
    const { random, catalog } = this.#deps;
    const groups = catalog.groups();
    const target = random.pick(groups) ?? 'g0';
    // Now and then the same: that must be refused.
    const others = random.chance(0.03) ? groups : groups.filter((group) => group !== target);
    return `${target} WITH COMPUTE GROUP ${random.pick(others) ?? 'g1'}`;
  }

  #groupName(): string | undefined {
    return this.#deps.random.pick(this.#deps.catalog.groups());
  }

  #tableName(): string | undefined {
    return this.#deps.random.pick(this.#deps.catalog.tables())?.name;
  }
}

function createTable(name: string, { partitions, buckets }: SimOptions): string {
  const parts = Array.from(
    { length: partitions },
    (_, place) => `PARTITION p${place} VALUES LESS THAN ("${place * 10 + 10}")`,
  );
  return (
    `CREATE TABLE d.${name} (k BIGINT NOT NULL, v BIGINT) DUPLICATE KEY(k) ` +
    `PARTITION BY RANGE(k) (${parts.join(', ')}) DISTRIBUTED BY HASH(k) BUCKETS ${buckets}`
  );
}
