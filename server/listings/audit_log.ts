/** `information_schema.audit_log`: the newest entries, with Doris's names for their columns. */
import { timeText } from '../../base/units.ts';
import { type ResultColumn, bigintColumn, textColumn } from '../../base/values.ts';
import type { Services } from '../services.ts';
import { type Listing, nobody } from './listing.ts';

const queryTime: ResultColumn = { name: 'query_time', type: { kind: 'DOUBLE' } };

export const AUDIT_LOG: Listing<Pick<Services, 'audit'>> = {
  columns: [
    textColumn('time'),
    bigintColumn('connection_id'),
    ...['client_ip', 'user', 'db', 'stmt_type', 'state'].map(textColumn),
    bigintColumn('error_code'),
    textColumn('error_message'),
    // milliseconds
    queryTime,
    bigintColumn('return_rows'),
    ...['job_id', 'stmt'].map(textColumn),
  ],
  likeColumns: ['stmt'],
  seen: nobody,
  rows: ({ audit }) =>
    audit
      .recent()
      .map((entry) => [
        timeText(entry.atMs),
        BigInt(entry.connectionId),
        entry.host,
        entry.user,
        entry.database,
        entry.kind,
        entry.errno === 0 ? 'OK' : 'ERR',
        BigInt(entry.errno),
        entry.error,
        entry.durationMs,
        BigInt(entry.rows),
        entry.jobId === '' ? null : entry.jobId,
        entry.text,
      ]),
};
