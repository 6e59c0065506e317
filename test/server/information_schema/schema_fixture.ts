/** An information_schema over two tables that exist nowhere else. */
import { id } from '../../../base/ids.ts';
import { GLOBAL, type Privilege } from '../../../base/privileges.ts';
import type { ColumnDef, TableDef } from '../../../base/schema.ts';
import type { ColumnType } from '../../../base/values.ts';
import type { InformationSchemaSource } from '../../../server/information_schema/source.ts';
import type { SessionVariables } from '../../../server/variables.ts';

const column = (name: string, type: ColumnType, isKey: boolean, nullable: boolean): ColumnDef => ({
  name,
  type,
  isKey,
  nullable,
  comment: name === 'name' ? 'who' : '',
});

const USERS_TABLE: TableDef = {
  databaseId: id(1),
  databaseName: 'adm',
  tableId: id(2),
  name: 'users',
  keysType: 'UNIQUE',
  columns: [
    column('id', { kind: 'INT' }, true, false),
    column('name', { kind: 'VARCHAR', length: 64 }, false, false),
    column('balance', { kind: 'DECIMAL', precision: 10, scale: 2 }, false, true),
  ],
  partitionKind: 'RANGE',
  partitionColumns: ['id'],
  distributionColumns: ['id'],
  buckets: 2,
  vaultId: id(3),
  ttlSeconds: 0,
  properties: {},
  comment: 'users table',
  createdMs: Date.UTC(2024, 0, 2, 3, 4, 5),
  schemaVersion: 1,
  partitions: [
    {
      partitionId: id(4),
      name: 'p0',
      values: { kind: 'RANGE', upper: [{ value: 100 }] },
      buckets: 2,
      visibleVersion: 2,
    },
    {
      partitionId: id(5),
      name: 'p1',
      values: { kind: 'RANGE', lower: [{ value: 100 }], upper: [{ max: true }] },
      buckets: 2,
      visibleVersion: 1,
    },
  ],
  indexes: [{ indexId: id(6), name: 'users', kind: 'BASE' }],
};

const JOBS_TABLE: TableDef = {
  ...USERS_TABLE,
  tableId: id(7),
  name: 'jobs',
  keysType: 'DUPLICATE',
  partitionKind: 'NONE',
  partitionColumns: [],
  comment: '',
  partitions: [],
};

export function schemaSource(variables: SessionVariables): InformationSchemaSource {
  const tables = [
    { def: USERS_TABLE, rows: 4, bytes: 400 },
    { def: JOBS_TABLE, rows: undefined, bytes: undefined },
  ];
  return {
    databases: async () => ['adm', 'test'],
    tables: async (database) =>
      tables.filter(({ def }) => database === undefined || def.databaseName === database),
    processes: () => [
      {
        id: 7,
        user: 'root',
        host: '127.0.0.1:5000',
        database: 'adm',
        command: 'Query',
        seconds: 1.7,
        state: 'executing',
        info: 'SELECT 1',
        attributes: {},
      },
    ],
    jobProcesses: async () => await Promise.resolve([]),
    variables: (scope) => variables.list(scope),
    status: () => [['Uptime', '12']],
    roles: () => ({
      user: 'root',
      host: '%',
      applicable: ['reader', 'writer'],
      enabled: ['reader'],
      isDefault: new Set(['reader']),
    }),
    grantees: () => [
      { user: 'root', host: '%', scope: GLOBAL, privileges: new Set<Privilege>(['ADMIN']) },
    ],
    sees: () => true,
    account: () => ({ user: 'root' }),
  };
}
