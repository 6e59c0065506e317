/** SHOW STATUS: counters that the server really has, under MySQL's names. */
import type { TlsInfo } from './mysql/handler.ts';
import type { Services } from './services.ts';

type StatusServices = Pick<
  Services,
  'clock' | 'connections' | 'config' | 'startedMs' | 'statements'
>;

/** In order of name. Without TLS the Ssl ones are empty, which is what clients look at. */
export function serverStatus(
  { clock, connections, config, startedMs, statements }: StatusServices,
  tls: TlsInfo | undefined,
): readonly (readonly [name: string, value: string])[] {
  const uptime = String(Math.max(0, Math.floor((clock.now() - startedMs) / 1000)));
  const running = connections.list().filter(({ command }) => command === 'Query').length;
  return [
    // What mycli's \s wants to show: there is no cache of tables and no log of slow queries.
    ['Flush_commands', '0'],
    ['Max_connections', config.text('max_connections')],
    ['Open_tables', '0'],
    ['Opened_tables', '0'],
    ['Queries', String(statements())],
    ['Questions', String(statements())],
    ['Slow_queries', '0'],
    ['Ssl_cipher', tls?.cipher ?? ''],
    ['Ssl_version', tls?.version ?? ''],
    ['Threads_connected', String(connections.size)],
    ['Threads_running', String(running)],
    ['Uptime', uptime],
    ['Uptime_since_flush_status', uptime],
  ];
}
