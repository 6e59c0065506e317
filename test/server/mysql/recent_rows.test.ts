import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type ResultColumn, type SqlRow, textColumn } from '../../../base/values.ts';
import { encodeBinaryRow } from '../../../server/mysql/binary_row.ts';
import { BufferPool } from '../../../server/mysql/buffer_pool.ts';
import { PacketEncoder } from '../../../server/mysql/packet_encoder.ts';
import { RecentRows } from '../../../server/mysql/recent_rows.ts';
import { RawClient } from './raw_client.ts';
import { rowsResult, startServer } from './scripted_front_door.ts';

const cell = fc.constantFrom<SqlRow[number]>(null, '', 'a', 'b', 'ü', 'x'.repeat(300));
const rowsOf = fc.array(fc.array(cell, { minLength: 3, maxLength: 3 }), {
  minLength: 1,
  maxLength: 12,
});

function encoded(
  sequence: number,
  write: (packets: PacketEncoder, one: (row: SqlRow) => void) => void,
): { readonly bytes: string; readonly next: number } {
  const packets = new PacketEncoder(new BufferPool());
  packets.sequence = sequence;
  packets.begin();
  packets.u8(7);
  packets.end();
  write(packets, (row) => {
    encodeBinaryRow(packets, row, ['STRING', 'STRING', 'STRING'], false);
  });
  return { bytes: packets.take().toString('hex'), next: packets.sequence };
}

describe('rows that are remembered', () => {
  it('have the bytes they would have without memory, whatever changed since', () => {
    const results = fc.array(fc.tuple(rowsOf, fc.constantFrom(1, 250)), { maxLength: 8 });
    fc.assert(
      fc.property(results, (answers) => {
        const recent = new RecentRows();
        for (const [rows, sequence] of answers) {
          const anew = encoded(sequence, (_, one) => {
            for (const row of rows) one(row);
          });
          const remembered = encoded(sequence, (packets, one) => {
            recent.write(packets, rows, one);
          });
          expect(remembered).toEqual(anew);
        }
      }),
    );
  });

  it('are encoded once, and again only where a cell has changed', () => {
    const recent = new RecentRows();
    const asked: SqlRow[] = [];
    const write = (rows: readonly SqlRow[]): number => {
      asked.length = 0;
      encoded(1, (packets, one) => {
        recent.write(packets, rows, (row) => {
          asked.push(row);
          one(row);
        });
      });
      return asked.length;
    };
    expect(write([['a'], ['b'], ['c']])).toBe(3);
    expect(write([['a'], ['b'], ['c']])).toBe(0);
    expect(write([['a'], ['B'], ['c']])).toBe(1);
    expect(write([['a'], ['B'], ['c'], ['d']])).toBe(1);
    expect(write([['a'], ['B']])).toBe(0);
    // Too long to be kept.
    expect(write([['a'], ['x'.repeat(40_000)]])).toBe(1);
    expect(write([['a'], ['x'.repeat(40_000)]])).toBe(2);
  });
});

it('one client never sees what another one got', async () => {
  const server = await startServer();
  const columns: readonly ResultColumn[] = [textColumn('who'), textColumn('what')];
  const clients: RawClient[] = [];
  try {
    server.door.onQuery = async function* answer(sql, _options, { login }) {
      await Promise.resolve();
      const rows = [
        [login.user, sql],
        ['all', 'same'],
      ];
      yield { result: rowsResult(columns, rows), warnings: 0, more: false };
    };
    for (const user of ['root', 'native', 'sha']) {
      clients.push(await RawClient.loggedIn(server.port, { user, password: passwordOf(user) }));
    }
    for (let round = 0; round < 3; round += 1) {
      for (const client of clients) {
        const [first, second] = (await client.queryOne(`ask ${round}`)).rows;
        expect(second).toEqual(['all', 'same']);
        expect(first?.[1]).toBe(`ask ${round}`);
        expect(first?.[0]).toBe(['root', 'native', 'sha'][clients.indexOf(client)]);
      }
    }
  } finally {
    for (const client of clients) client.destroy();
    await server.close();
  }
});

function passwordOf(user: string): string {
  return user === 'root' ? '' : 'secret';
}
