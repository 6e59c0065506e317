import { describe, expect, it } from '@jest/globals';
import { textColumn } from '../../../base/values.ts';
import { InformationSchema } from '../../../server/information_schema/information_schema.ts';
import type { InformationSchemaSource } from '../../../server/information_schema/source.ts';
import { listingTable } from '../../../server/information_schema/virtual_table.ts';
import { GlobalVariables, SessionVariables } from '../../../server/variables.ts';
import { schemaSource } from './schema_fixture.ts';

const source = schemaSource(new SessionVariables(new GlobalVariables()));

describe('information_schema', () => {
  it('has rows as wide as its columns, in every table', async () => {
    const schema = new InformationSchema<InformationSchemaSource>([]);
    for (const table of schema.tables) {
      const rows = await table.rows(source);
      for (const row of rows) {
        expect(row).toHaveLength(table.columns.length);
        for (const [at, { name, nullable }] of table.columns.entries()) {
          if (!nullable && row[at] === null) throw new Error(`${table.name}.${name} is NULL`);
        }
      }
    }
    expect(schema.tables.map(({ name }) => name)).toContain('REFERENTIAL_CONSTRAINTS');
  });

  it('takes the listing of a SHOW statement as a table, without case', async () => {
    const listing = { columns: [textColumn('JobId')], rows: () => [['7']] };
    const schema = new InformationSchema<InformationSchemaSource>([
      listingTable('warm_up_jobs', listing),
    ]);
    const table = schema.resolve('WARM_UP_JOBS', source);
    expect(table).toMatchObject({ name: 'warm_up_jobs', nocase: true });
    const batches = [];
    const signal = new AbortController().signal;
    for await (const batch of table?.scan(['JobId'], [], signal) ?? []) batches.push(batch);
    expect(batches).toEqual([{ rows: 1, columns: [['7']] }]);
    expect(schema.resolve('nope', source)).toBeUndefined();
  });
});
