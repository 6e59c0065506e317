/** `thermocline backend`: a backend as a process of its own. */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { type LogLevel, jsonLog } from '../base/json_log.ts';
import { systemClock, systemRandom } from '../base/system_ports.ts';
import { RemoteBackend } from '../be-agent/remote/remote_backend.ts';
import { DirectoryLock } from '../catalog/directory_lock.ts';
import { readClusterToken } from './cluster_token.ts';
import { UsageError, readSettings } from './settings.ts';

const EXIT_FAILURE = 1;
/** Group and others, any right. */
const OTHERS_MODE = 0o077;

export interface BackendFlags {
  readonly server: string;
  readonly dataDir: string;
  readonly tokenFile: string;
  readonly config?: string;
  readonly host: string;
  readonly httpPort: number;
  readonly computeGroup?: string;
  readonly set: readonly string[];
}

/** Resolves when it is ready; a signal ends the process then, in order. */
export async function runBackend(flags: BackendFlags): Promise<void> {
  const config = readSettings({
    ...(flags.config === undefined ? {} : { file: flags.config }),
    environment: process.env,
    assignments: flags.set,
  });
  const { server, host, httpPort, computeGroup } = flags;
  if (URL.parse(server)?.protocol !== 'http:') {
    throw new UsageError(`--server ${server}: expected http://host:port`);
  }
  const log = jsonLog(config.get('log_level') as LogLevel, { process: 'backend' });
  process.on('unhandledRejection', (error) => {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    log.error('a rejection was not handled', { error: text });
  });
  const dir = resolve(flags.dataDir);
  const clusterToken = readToken(flags.tokenFile);
  const others = statSync(resolve(flags.tokenFile)).mode & OTHERS_MODE;
  if (others !== 0 && process.platform !== 'win32') {
    log.warn('others than its owner may use the token file', { file: flags.tokenFile });
  }
  const lock = DirectoryLock.take(dir, `backend ${host}:${httpPort}`);
  const { promise: started, resolve: hasStarted } = Promise.withResolvers<RemoteBackend>();
  const stop = stopper(started, () => config.get('shutdown_grace_ms'), lock);
  process.on('SIGTERM', () => {
    log.info('stopping', { signal: 'SIGTERM' });
    stop(0);
  });
  process.on('SIGINT', () => {
    log.info('stopping', { signal: 'SIGINT' });
    stop(0);
  });
  const backend = await RemoteBackend.start({
    server,
    clusterToken,
    dir,
    host,
    httpPort,
    ...(computeGroup === undefined ? {} : { computeGroup }),
    config,
    clock: systemClock,
    random: systemRandom,
    log,
    onRefused: (error) => {
      const what = error instanceof Error ? error.message : String(error);
      process.stderr.write(`thermocline: ${what}\n`);
      stop(EXIT_FAILURE);
    },
  });
  hasStarted(backend);
  const line = `ready backend=${backend.backendId} http=${host}:${backend.httpPort} data=${dir}`;
  process.stdout.write(`${line}\n`);
}

/** One that still waits for the server has nothing to put in order. */
function stopper(
  started: Promise<RemoteBackend>,
  graceMs: () => number,
  lock: DirectoryLock,
): (code: number) => void {
  let running: RemoteBackend | undefined;
  let stopping = false;
  void started.then((backend) => {
    running = backend;
  });
  return (code) => {
    // A second signal does not wait.
    if (stopping) process.exit(EXIT_FAILURE);
    stopping = true;
    Promise.resolve(running?.stop(graceMs())).then(
      () => {
        lock.release();
        process.exit(code);
      },
      (error: unknown) => {
        process.stderr.write(`thermocline: stopping failed: ${String(error)}\n`);
        process.exit(EXIT_FAILURE);
      },
    );
  };
}

function readToken(file: string): string {
  try {
    return readClusterToken(resolve(file));
  } catch (error) {
    throw new UsageError(`--token-file: ${error instanceof Error ? error.message : String(error)}`);
  }
}
