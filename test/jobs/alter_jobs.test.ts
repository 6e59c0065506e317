/** Alter jobs against a real catalog and backends that do what the test says. */
import { setTimeout as realSleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { AgentCalls, AgentTransport, RewriteRequest } from '../../base/agent_messages.ts';
import { Config } from '../../base/config.ts';
import { SqlError } from '../../base/errors.ts';
import { type BackendId, type JobId, id } from '../../base/ids.ts';
import { SILENT_LOG, type Clock } from '../../base/ports.ts';
import { type NewRowset, type TableDef, baseIndexOf } from '../../base/schema.ts';
import { systemRandom } from '../../base/system_ports.ts';
import type { AlterJob } from '../../catalog/alter_jobs.ts';
import type { Catalog } from '../../catalog/catalog.ts';
import { AlterJobs } from '../../jobs/alter_jobs.ts';
import { BackendRegistry } from '../../jobs/backend_registry.ts';
import { SnapshotHolds } from '../../jobs/snapshot_holds.ts';
import { CatalogFixture, FixedClock, beginLoad, createTable, load } from '../catalog/fixture.ts';
import { heartbeatOf } from './heartbeat.ts';

/** Time that runs a hundred times faster than ours, so that pauses are short. */
const clock: Clock = {
  now: () => Date.UTC(2026, 0, 10, 12),
  monotonic: () => performance.now() * 100,
  sleep: async (_ms, signal) => {
    await realSleep(1, undefined, signal === undefined ? {} : { signal });
  },
  after: (ms, fn) => {
    const timer = setTimeout(fn, Math.min(ms, 5));
    return () => {
      clearTimeout(timer);
    };
  },
};

const BACKEND = id<BackendId>(900);

/** What a backend that works would answer. */
function written(request: RewriteRequest): readonly NewRowset[] {
  return request.items.map(({ source, tabletId, rowsetId }) => {
    const { partitionId, rows, bytes, segments } = source;
    return { tabletId, rowsetId, partitionId, rows, bytes, segments };
  });
}

type Behaviour = (
  request: RewriteRequest,
  call: number,
) => readonly NewRowset[] | Promise<readonly NewRowset[]>;

/** The jobs of one server. */
class Server {
  readonly jobs: AlterJobs;
  readonly requests: RewriteRequest[] = [];

  constructor(catalog: Catalog, backend: BackendId, behaviour: Behaviour = written) {
    const config = new Config();
    // Its time stands still: the backend stays alive.
    const registry = new BackendRegistry(new FixedClock(), config);
    registry.heartbeat(heartbeatOf(backend));
    const transport: AgentTransport = {
      call: async (_backend, name, request) => {
        if (name !== 'rewriteRowsets') throw new Error(`an unexpected call: ${name}`);
        const asked = request as RewriteRequest;
        this.requests.push(asked);
        const rowsets = await behaviour(asked, this.requests.length);
        return { rowsets } as AgentCalls[typeof name]['reply'];
      },
    };
    const holds = new SnapshotHolds();
    const shared = { catalog, config, clock, random: systemRandom, log: SILENT_LOG, registry };
    this.jobs = new AlterJobs({ ...shared, holds, transport });
    this.jobs.start();
  }

  async close(): Promise<void> {
    await this.jobs.close();
  }
}

let fixture: CatalogFixture;
let catalog: Catalog;
let table: TableDef;
let backend: BackendId = BACKEND;
const servers: Server[] = [];

beforeEach(async () => {
  fixture = new CatalogFixture();
  catalog = await fixture.open();
  table = await createTable(catalog, 't', 2, 2);
  await catalog.computeGroups.create('g');
  const made = await catalog.backends.create({
    computeGroupName: 'g',
    kind: 'embedded',
    host: 'h',
    httpPort: 0,
  });
  backend = made.backendId;
});
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
  await fixture.remove();
});

function serve(behaviour?: Behaviour, of: Catalog = catalog): Server {
  const server = new Server(of, backend, behaviour);
  servers.push(server);
  return server;
}

async function addColumn(server: Server, of = 't'): Promise<AlterJob> {
  const now = await catalog.tables.get('d', of);
  const { indexId, name } = baseIndexOf(now);
  const added = {
    name: 'w',
    type: { kind: 'INT' },
    nullable: true,
    isKey: false,
    comment: '',
  } as const;
  const old = now.columns.map((column) => ({ column, source: column }));
  return server.jobs.create({
    kind: 'SCHEMA_CHANGE',
    tableId: now.tableId,
    schemaVersion: now.schemaVersion,
    columns: [...now.columns, added],
    indexes: [{ originIndexId: indexId, name, kind: 'BASE', columns: [...old, { column: added }] }],
    sourceGroup: 'g',
    timeoutMs: 1000,
  });
}

async function ended(jobId: JobId, of: Catalog = catalog): Promise<AlterJob> {
  for (let tries = 0; tries < 5000; tries += 1) {
    const job = await of.alterJobs.find(jobId);
    if (job?.state === 'FINISHED' || job?.state === 'CANCELLED') return job;
    await realSleep(2);
  }
  throw new Error('the job does not end');
}

/** Rows of the table, and that nothing of the job is left beside them. */
async function expectRows(rows: number, columns: number, of: Catalog = catalog): Promise<void> {
  const now = await of.tables.get('d', 't');
  expect(now.columns).toHaveLength(columns);
  const tablets = of.tablets.ofTable(now.tableId).map(({ tabletId }) => tabletId);
  const rowsets = [...(await of.rowsets.visible(tablets)).values()].flat();
  expect(rowsets.reduce((sum, rowset) => sum + rowset.rows, 0)).toBe(rows);
  expect(of.tablets.tableSize(now.tableId).rows).toBe(rows);
}

describe('an alter job', () => {
  it('rewrites what is loaded meanwhile, and waits for loads that began before it', async () => {
    await load(catalog, table, 1);
    const early = await beginLoad(catalog, table, 'early');
    let salt = 10;
    const server = serve(async (request) => {
      // While a backend writes, more comes in, for a while.
      salt += 1;
      if (salt < 14) await load(catalog, table, salt);
      return written(request);
    });
    const job = await addColumn(server);
    for (let tries = 0; tries < 20; tries += 1) await realSleep(1);
    expect((await catalog.alterJobs.find(job.jobId))?.state).toBe('WAITING_TXN');
    expect(server.requests).toEqual([]);
    await catalog.loads.abort(early, 'enough');
    expect(await ended(job.jobId)).toMatchObject({ state: 'FINISHED', msg: '' });
    await expectRows(40 * 4, 3);
    expect(server.jobs.progress(job.jobId)).toBeUndefined();
  });

  it('tries again what may pass, under new names, and leaves what was written as garbage', async () => {
    await load(catalog, table, 1);
    const server = serve((request, call) => {
      if (call === 1)
        throw new SqlError('AGENT_LOST', { backend: 1, what: 'x', why: 'for a test' });
      if (call === 2) throw new SqlError('STORE_FAILED', { what: 'slow down' });
      return written(request);
    });
    const job = await addColumn(server);
    expect(await ended(job.jobId)).toMatchObject({ state: 'FINISHED' });
    await expectRows(40, 3);
    const names = server.requests.flatMap(({ items }) => items.map(({ rowsetId }) => rowsetId));
    expect(new Set(names).size).toBe(names.length);
    const failed = "count(*) FROM garbage WHERE reason = 'rewrite failed'";
    expect(fixture.number(failed)).toBe(names.length - 4);
    expect(fixture.number('count(*) FROM alter_write')).toBe(0);
  });

  it.each([
    [
      'a value that does not fit',
      new SqlError('BAD_VALUE', { type: 'integer', value: 'x', column: 'v', row: 3 }),
    ],
    ['a damaged object', new SqlError('CORRUPT_OBJECT', { key: 'k', what: 'torn' })],
  ])('ends with %s, and the table is as it was', async (_what, error) => {
    await load(catalog, table, 1);
    const job = await addColumn(
      serve(() => {
        throw error;
      }),
    );
    expect(await ended(job.jobId)).toMatchObject({ state: 'CANCELLED', msg: error.message });
    await catalog.purged();
    await expectRows(40, 2);
    expect(fixture.number('count(*) FROM tablet')).toBe(4);
    expect(fixture.number('count(*) FROM index_def')).toBe(1);
  });

  it('does not take rowsets that are not what was asked for', async () => {
    await load(catalog, table, 1);
    const server = serve((request) => written(request).map((rowset) => ({ ...rowset, rows: 9 })));
    const job = await addColumn(server);
    const end = await ended(job.jobId);
    expect(end.state).toBe('CANCELLED');
    expect(end.msg).toContain('is not what was to be written');
    await expectRows(40, 2);
  });

  it('is cancelled while backends write, and can be asked for again', async () => {
    await load(catalog, table, 1);
    const { promise: reached, resolve: reach } = Promise.withResolvers<void>();
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const server = serve(async (request) => {
      reach();
      await released;
      return written(request);
    });
    const job = await addColumn(server);
    await reached;
    await server.jobs.cancel(job.jobId, 'user cancelled');
    expect(await ended(job.jobId)).toMatchObject({ state: 'CANCELLED', msg: 'user cancelled' });
    await expect(server.jobs.cancel(job.jobId, 'again')).rejects.toMatchObject({
      code: 'ALTER_NO_JOB',
    });
    release();
    const again = await addColumn(server);
    expect(await ended(again.jobId)).toMatchObject({ state: 'FINISHED' });
    await expectRows(40, 3);
    await catalog.purged();
    expect(fixture.number('count(*) FROM tablet')).toBe(4);
    expect(fixture.number('count(*) FROM alter_write')).toBe(0);
  });

  it('that has to wait leaves its place to others', async () => {
    const server = serve();
    const waiting: AlterJob[] = [];
    for (let n = 0; n < 6; n += 1) {
      table = await createTable(catalog, `t${n}`, 1, 1);
      await beginLoad(catalog, table, `load${n}`);
      waiting.push(await addColumn(server, `t${n}`));
    }
    table = await createTable(catalog, 'last', 1, 1);
    await load(catalog, table, 9);
    const last = await addColumn(server, 'last');
    expect(await ended(last.jobId)).toMatchObject({ state: 'FINISHED' });
    const states = (await catalog.alterJobs.active()).map(({ state }) => state);
    expect(states).toEqual(waiting.map(() => 'WAITING_TXN'));
    const [first] = waiting;
    if (first === undefined) throw new Error('no job');
    await server.jobs.cancel(first.jobId, 'user cancelled');
    expect(await ended(first.jobId)).toMatchObject({ state: 'CANCELLED' });
  });

  it('ends with its table', async () => {
    await load(catalog, table, 1);
    const dropped = serve(async (request) => {
      await catalog.tables.drop(table.tableId);
      return written(request);
    });
    const job = await addColumn(dropped);
    expect(await ended(job.jobId)).toMatchObject({ state: 'CANCELLED', msg: 'table was dropped' });
    await catalog.purged();
    expect(fixture.number('count(*) FROM tablet')).toBe(0);
    expect(fixture.number('count(*) FROM rowset')).toBe(0);
  });

  it('goes on from wherever the server died', async () => {
    await load(catalog, table, 1);
    const images: CatalogFixture[] = [];
    const image = (): void => {
      images.push(fixture.crashImage());
    };
    const server = serve(async (request, call) => {
      image();
      if (call === 1) await load(catalog, table, 2);
      return written(request);
    });
    const job = await addColumn(server);
    image();
    expect(await ended(job.jobId)).toMatchObject({ state: 'FINISHED' });
    image();
    expect(images.length).toBeGreaterThan(3);
    for (const each of images) {
      const revived = await each.open('after the crash');
      const next = new Server(revived, backend);
      try {
        const end = await ended(job.jobId, revived);
        expect(end).toMatchObject({ state: 'FINISHED', msg: '' });
        const loads = each.number("count(*) FROM load_txn WHERE state = 'VISIBLE'");
        await expectRows(40 * loads, 3, revived);
        await revived.purged();
        expect(each.number('count(*) FROM tablet')).toBe(4);
        expect(each.number('count(*) FROM alter_write')).toBe(0);
      } finally {
        await next.close();
        await each.close(revived);
      }
    }
  });
});
