/** A catalog in a temporary directory, with a clock that stands still unless it is moved. */
import Database from 'better-sqlite3';
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rowsetId } from '../../base/ids.ts';
import type { TabletId } from '../../base/ids.ts';
import { SILENT_LOG, type Clock } from '../../base/ports.ts';
import type { NewRowset, TableDef } from '../../base/schema.ts';
import { systemRandom } from '../../base/system_ports.ts';
import { Catalog } from '../../catalog/catalog.ts';
import type { NewTable } from '../../catalog/table_changes.ts';

export class FixedClock implements Clock {
  ms = Date.UTC(2026, 0, 10, 12);
  now = (): number => this.ms;
  monotonic = (): number => this.ms;
  sleep = async (): Promise<void> => undefined;
  after = (): (() => void) => () => undefined;
}

export class CatalogFixture {
  readonly dir: string;
  readonly clock = new FixedClock();
  readonly #open = new Set<Catalog>();
  readonly #images: CatalogFixture[] = [];

  constructor(dir: string = mkdtempSync(join(tmpdir(), 'thermocline-catalog-'))) {
    this.dir = dir;
  }

  async open(holder = 'test'): Promise<Catalog> {
    const { dir, clock } = this;
    const options = { dir, clock, random: systemRandom, log: SILENT_LOG, holder, dropGraceMs: 0 };
    const catalog = await Catalog.open(options);
    this.#open.add(catalog);
    return catalog;
  }

  async close(catalog: Catalog): Promise<void> {
    this.#open.delete(catalog);
    await catalog.close();
  }

  async reopen(catalog: Catalog): Promise<Catalog> {
    await this.close(catalog);
    return this.open();
  }

  /** Another program's connection to the file, for one piece of work. */
  raw<T>(work: (database: Database.Database) => T): T {
    const database = new Database(join(this.dir, 'catalog.db'));
    try {
      return work(database);
    } finally {
      database.close();
    }
  }

  /** What a crash at this moment would leave: the files as they are, in another directory. */
  crashImage(): CatalogFixture {
    const image = new CatalogFixture();
    this.#images.push(image);
    for (const name of readdirSync(this.dir)) {
      if (name !== 'server.lock') cpSync(join(this.dir, name), join(image.dir, name));
    }
    return image;
  }

  /** One number from the file, e.g. `count(*) FROM tablet`. */
  number(expression: string): number {
    return this.raw((db) => db.prepare(`SELECT ${expression}`).pluck().get() as number);
  }

  /** Crash images too. */
  async remove(): Promise<void> {
    for (const image of this.#images) await image.remove();
    for (const catalog of this.#open) await catalog.close();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Partitions p0, p1, ... by RANGE of `k`: p<i> holds [i * 10, i * 10 + 10). */
export async function createTable(
  catalog: Catalog,
  name: string,
  partitions = 2,
  buckets = 3,
): Promise<TableDef> {
  const known = await catalog.databases.find('d');
  if (known === undefined) await catalog.databases.create('d');
  await catalog.tableChanges.create(await newTable(catalog, name, partitions, buckets));
  return catalog.tables.get('d', name);
}

export async function newTable(
  catalog: Catalog,
  name: string,
  partitions: number,
  buckets: number,
): Promise<NewTable> {
  const vault = await catalog.vaults.default();
  if (vault === undefined) throw new Error('no default vault');
  return {
    databaseName: 'd',
    name,
    vaultId: vault.spec.vaultId,
    keysType: 'DUPLICATE',
    columns: [
      { name: 'k', type: { kind: 'BIGINT' }, nullable: false, isKey: true, comment: 'the key' },
      {
        name: 'v',
        type: { kind: 'BIGINT' },
        nullable: true,
        isKey: false,
        comment: '',
        defaultValue: 9007199254740993n,
      },
    ],
    partitionKind: 'RANGE',
    partitionColumns: ['k'],
    distributionColumns: ['k'],
    buckets,
    ttlSeconds: 0,
    properties: { replication: 'none' },
    comment: 'a table',
    partitions: Array.from({ length: partitions }, (_, i) => ({
      name: `p${i}`,
      buckets,
      values: { kind: 'RANGE', lower: [{ value: i * 10 }], upper: [{ value: i * 10 + 10 }] },
    })),
  };
}

/** One rowset per tablet, 10 rows and 100 bytes each; `salt` makes their ids different. */
export function rowsetsFor(catalog: Catalog, table: TableDef, salt: number): NewRowset[] {
  const hex = (n: number): string => n.toString(16).padStart(16, '0');
  return catalog.tablets.ofTable(table.tableId).map((tablet) => ({
    rowsetId: rowsetId(hex(salt) + hex(tablet.tabletId)),
    tabletId: tablet.tabletId,
    partitionId: tablet.partitionId,
    rows: 10,
    bytes: 100,
    segments: [{ segment: 0, bytes: 100, rows: 10, indexOffset: 80, crc32: salt }],
  }));
}

export const COUNTS = { loadedRows: 60, filteredRows: 1, loadBytes: 500 };

/** Begins and commits a load of one rowset per tablet. */
export async function load(catalog: Catalog, table: TableDef, salt: number): Promise<void> {
  const txnId = await beginLoad(catalog, table, `label-${salt}`);
  await catalog.commitLoad(txnId, rowsetsFor(catalog, table, salt), COUNTS);
}

export async function beginLoad(catalog: Catalog, table: TableDef, label: string) {
  const { databaseId, tableId } = table;
  const begun = await catalog.loads.begin({ databaseId, tableId, label, timeoutMs: 1000 });
  if (begun.status !== 'BEGUN') throw new Error(`label ${label} is taken`);
  return begun.txn.txnId;
}

export function tabletIdsOf(catalog: Catalog, table: TableDef): TabletId[] {
  return catalog.tablets.ofTable(table.tableId).map((tablet) => tablet.tabletId);
}
