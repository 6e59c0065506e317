/** SHOW STATUS: counters that the server really has, under MySQL's names. */
import { timeText } from '../base/units.ts';
import type { TlsInfo } from './mysql/handler.ts';
import type { Services } from './services.ts';

type StatusServices = Pick<
  Services,
  'clock' | 'connections' | 'config' | 'startedMs' | 'statements'
>;

/**
 * Of parts of MySQL that this server does not have, so that they stay 0: caches of keys, tables and
 * threads, temporary tables, joins without an index, a log of slow queries. Monitors make sums and
 * quotients of them (mytop, mysqltuner, mycli's \s, phpMyAdmin) and fail where they are not there.
 */
const ABSENT = [
  'Binlog_cache_disk_use',
  'Binlog_cache_use',
  'Created_tmp_disk_tables',
  'Created_tmp_files',
  'Created_tmp_tables',
  'Flush_commands',
  'Handler_commit',
  'Handler_delete',
  'Handler_prepare',
  'Handler_read_first',
  'Handler_read_key',
  'Handler_read_last',
  'Handler_read_next',
  'Handler_read_prev',
  'Handler_read_rnd',
  'Handler_read_rnd_next',
  'Handler_rollback',
  'Handler_savepoint',
  'Handler_savepoint_rollback',
  'Handler_update',
  'Handler_write',
  'Key_blocks_not_flushed',
  'Key_blocks_unused',
  'Key_blocks_used',
  'Key_read_requests',
  'Key_reads',
  'Key_write_requests',
  'Key_writes',
  'Locked_connects',
  'Not_flushed_delayed_rows',
  'Open_files',
  'Open_streams',
  'Open_table_definitions',
  'Open_tables',
  'Opened_files',
  'Opened_table_definitions',
  'Opened_tables',
  'Qcache_free_blocks',
  'Qcache_free_memory',
  'Qcache_hits',
  'Qcache_inserts',
  'Qcache_lowmem_prunes',
  'Qcache_not_cached',
  'Qcache_queries_in_cache',
  'Qcache_total_blocks',
  'Select_full_join',
  'Select_full_range_join',
  'Select_range',
  'Select_range_check',
  'Select_scan',
  'Slow_launch_threads',
  'Slow_queries',
  'Sort_merge_passes',
  'Sort_range',
  'Sort_rows',
  'Sort_scan',
  'Table_locks_immediate',
  'Table_locks_waited',
  'Table_open_cache_hits',
  'Table_open_cache_misses',
  'Table_open_cache_overflows',
  'Tc_log_page_size',
  'Threads_cached',
  'Threads_created',
] as const;

/** In order of name. Without TLS the Ssl ones are empty, which is what clients look at. */
export function serverStatus(
  { clock, connections, config, startedMs, statements }: StatusServices,
  tls: TlsInfo | undefined,
): readonly (readonly [name: string, value: string])[] {
  const uptime = Math.max(0, Math.floor((clock.now() - startedMs) / 1000));
  const running = connections.list().filter(({ command }) => command === 'Query').length;
  const { counts } = connections;
  const { received, sent } = connections.bytes();
  const numbers: readonly (readonly [string, number])[] = [
    ...ABSENT.map((name) => [name, 0] as const),
    ...statements.list(),
    ['Aborted_clients', counts.abortedClients],
    ['Aborted_connects', counts.abortedConnects],
    ['Bytes_received', received],
    ['Bytes_sent', sent],
    ['Connections', counts.connections],
    ['Max_used_connections', counts.mostUsed],
    ['Queries', statements.total],
    ['Questions', statements.total],
    ['Threads_connected', connections.size],
    ['Threads_running', running],
    ['Uptime', uptime],
    ['Uptime_since_flush_status', uptime],
  ];
  const texts: readonly (readonly [string, string])[] = [
    ['Max_connections', config.text('max_connections')],
    ['Max_used_connections_time', timeText(counts.mostUsedAtMs).slice(0, 19)],
    ['Ssl_cipher', tls?.cipher ?? ''],
    ['Ssl_version', tls?.version ?? ''],
  ];
  const all = [...numbers.map(([name, value]) => [name, String(value)] as const), ...texts];
  return all.toSorted(([a], [b]) => (a < b ? -1 : 1));
}
