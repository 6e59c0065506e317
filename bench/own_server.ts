/** A whole server in the process of a bench, so that it can be asked how its main loop does. */
import type { Config } from '../base/config.ts';
import { SILENT_LOG } from '../base/ports.ts';
import { systemClock, systemRandom } from '../base/system_ports.ts';
import { ThermoclineServer } from '../server/server.ts';
import type { BenchContext } from './bench.ts';

interface OwnServerOptions {
  readonly dataDir: string;
  /** Compute groups and how many embedded backends each has. */
  readonly embedded: ReadonlyMap<string, number>;
  readonly config: Config;
}

/** Closed when the bench is over. */
export async function startOwnServer(
  context: BenchContext,
  options: OwnServerOptions,
): Promise<ThermoclineServer> {
  const server = await ThermoclineServer.start({
    ...options,
    host: '127.0.0.1',
    mysqlPort: 0,
    httpPort: 0,
    clock: systemClock,
    random: systemRandom,
    log: SILENT_LOG,
  });
  context.defer(async () => {
    await server.close(0);
  });
  return server;
}
