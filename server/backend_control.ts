/**
 * Starting, stopping and killing embedded backends, and what the catalog remembers of it: STOP is
 * for good (until START), KILL is what a crash would do, so the next start of the server brings the
 * backend back.
 */
import { join } from 'node:path';
import type { Config } from '../base/config.ts';
import { SqlError } from '../base/errors.ts';
import { isInsideDirectory } from '../base/inside_directory.ts';
import type { BackendId } from '../base/ids.ts';
import type { Clock, Log } from '../base/ports.ts';
import type { BackendDef } from '../base/schema.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { BackendRegistry } from '../jobs/backend_registry.ts';
import type { AgentGateway } from './agent_gateway.ts';
import type { EmbeddedAgents } from './embedded_agents.ts';

/** In the data directory. */
const BACKENDS_DIRECTORY = 'backends';
/** Milliseconds until a crashed host of embedded backends is started again, doubling. */
const RESTART_MS_MIN = 500;
const RESTART_MS_MAX = 30_000;
/** Longest wait for the first heartbeat of a backend that was just started. */
const FIRST_HEARTBEAT_MS = 10_000;

export interface BackendControlDeps {
  readonly dataDir: string;
  /** Address that embedded backends listen on. */
  readonly host: string;
  readonly catalog: Catalog;
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly registry: BackendRegistry;
  readonly agents: EmbeddedAgents;
  /** Absent: there are no remote backends. */
  readonly gateway?: AgentGateway;
  readonly clusterToken: string;
  readonly clusterId: string;
}

export class BackendControl {
  readonly #deps: BackendControlDeps;
  #restartMs = RESTART_MS_MIN;
  #closed = false;

  constructor(deps: BackendControlDeps) {
    this.#deps = deps;
  }

  /** Whether the path is where embedded backends have what is theirs. */
  isOfBackends(path: string): boolean {
    return isInsideDirectory(path, join(this.#deps.dataDir, BACKENDS_DIRECTORY));
  }

  /** All ENABLED embedded backends, side by side; one that cannot start is logged, not fatal. */
  async startAll(): Promise<void> {
    const { catalog, log } = this.#deps;
    const backends = (await catalog.backends.list()).filter(
      (backend) => backend.kind === 'embedded' && backend.adminState !== 'STOPPED',
    );
    await Promise.all(
      backends.map(async (backend) => {
        try {
          await this.#start(backend);
        } catch (error) {
          const { backendId } = backend;
          log.error('an embedded backend did not start', { backendId, error: String(error) });
        }
      }),
    );
  }

  /** A new embedded backend, started. When it cannot start, nothing of it is left. */
  async add(computeGroupName: string, httpPort: number): Promise<BackendDef> {
    const { catalog, host } = this.#deps;
    const created = await catalog.backends.create({
      computeGroupName,
      kind: 'embedded',
      host,
      httpPort,
    });
    try {
      return await this.#start(created, 'this port');
    } catch (error) {
      await catalog.backends.drop(created.backendId);
      throw error;
    }
  }

  /** A backend that waits for its process, which `thermocline backend` starts there. */
  async addRemote(computeGroupName: string, host: string, httpPort: number): Promise<BackendDef> {
    const { catalog } = this.#deps;
    return await catalog.backends.create({ computeGroupName, kind: 'remote', host, httpPort });
  }

  /** Throws BACKEND_STATE when it runs already. */
  async start(backend: BackendDef): Promise<void> {
    const { catalog, agents } = this.#deps;
    expectEmbedded(backend, 'START');
    if (agents.isRunning(backend.backendId)) this.#refuse(backend, 'running', 'nothing to start');
    // Heartbeats of a STOPPED backend do not count, so it is ENABLED before it sends the first.
    const { backendId, adminState } = backend;
    if (adminState === 'STOPPED') await catalog.backends.setAdminState(backendId, 'ENABLED');
    try {
      await this.#start(backend);
    } catch (error) {
      if (adminState === 'STOPPED') await catalog.backends.setAdminState(backendId, 'STOPPED');
      throw error;
    }
  }

  /** In order: running work ends, the cache's order is saved. Throws BACKEND_STATE. */
  async stop(backend: BackendDef): Promise<void> {
    const { catalog, agents, registry } = this.#deps;
    expectEmbedded(backend, 'STOP');
    if (backend.adminState === 'STOPPED') this.#refuse(backend, 'stopped', 'nothing to stop');
    await catalog.backends.setAdminState(backend.backendId, 'STOPPED');
    registry.forget(backend.backendId);
    await agents.stop(backend.backendId, this.#graceMs());
    registry.forget(backend.backendId);
  }

  /** As a crash: nothing is saved. Throws BACKEND_STATE when it does not run. */
  async kill(backend: BackendDef): Promise<void> {
    const { agents, registry } = this.#deps;
    expectEmbedded(backend, 'KILL');
    if (!agents.isRunning(backend.backendId))
      this.#refuse(backend, 'not running', 'nothing to kill');
    await agents.kill(backend.backendId);
    registry.forget(backend.backendId);
  }

  async drop(backend: BackendDef): Promise<void> {
    const { agents, catalog, gateway, registry } = this.#deps;
    await agents.stop(backend.backendId, this.#graceMs());
    registry.forget(backend.backendId);
    await catalog.backends.drop(backend.backendId);
    gateway?.forget(backend.backendId);
  }

  /** The host of the embedded backends died: start it again, after a pause. */
  crashed(error: unknown): void {
    const { clock, log } = this.#deps;
    if (this.#closed) return;
    const restartMs = this.#restartMs;
    this.#restartMs = Math.min(RESTART_MS_MAX, restartMs * 2);
    log.error('the host of the embedded backends died', { error: String(error), restartMs });
    clock.after(restartMs, () => {
      if (!this.#closed) void this.startAll();
    });
  }

  close(): void {
    this.#closed = true;
  }

  async #start(
    backend: BackendDef,
    port: 'this port' | 'any port' = 'any port',
  ): Promise<BackendDef> {
    const { agents, catalog, clusterToken, clusterId, config, dataDir, host, registry } =
      this.#deps;
    const { backendId } = backend;
    const hasStarted = registry.starting(backendId);
    try {
      const { httpPort } = await agents.start({
        backendId,
        dir: join(dataDir, BACKENDS_DIRECTORY, String(backendId)),
        host,
        httpPort: backend.httpPort,
        otherPortWillDo: port === 'any port',
        clusterToken,
        clusterId,
        config: config.agentValues(),
      });
      await this.#untilAlive(backendId);
      this.#restartMs = RESTART_MS_MIN;
      if (httpPort === backend.httpPort || !registry.isAlive(backendId)) return backend;
      return await catalog.backends.setHttpPort(backendId, httpPort);
    } finally {
      hasStarted();
    }
  }

  async #untilAlive(backendId: BackendId): Promise<void> {
    const { clock, registry } = this.#deps;
    if (registry.isAlive(backendId)) return;
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const stopListening = registry.onHeartbeat(() => {
      if (registry.isAlive(backendId)) resolve(undefined);
    });
    const stopTimer = clock.after(FIRST_HEARTBEAT_MS, () => {
      resolve(undefined);
    });
    await promise;
    stopListening();
    stopTimer();
  }

  #graceMs(): number {
    return this.#deps.config.get('shutdown_grace_ms');
  }

  #refuse(backend: BackendDef, state: string, what: string): never {
    throw new SqlError('BACKEND_STATE', { name: backend.backendId, state, what });
  }
}

/** Throws NOT_SUPPORTED, and says what to do where the process is. */
function expectEmbedded(
  { backendId, kind, host, httpPort }: BackendDef,
  verb: 'START' | 'STOP' | 'KILL',
): void {
  if (kind === 'embedded') return;
  const what = `${verb} of backend ${backendId}, whose process is not the server's`;
  throw new SqlError('NOT_SUPPORTED', { what }, { hint: INSTEAD[verb](host, httpPort) });
}

/** Of backends with a process of their own. */
const INSTEAD: Readonly<
  Record<'START' | 'STOP' | 'KILL', (host: string, httpPort: number) => string>
> = {
  START: (host, httpPort) =>
    `run "thermocline backend" on ${host} with its data directory and --http-port ${httpPort}`,
  STOP: (host, httpPort) =>
    `send SIGTERM to the process on ${host} that listens on ${httpPort}; to be rid of it for good, ALTER SYSTEM DECOMMISSION BACKEND first`,
  KILL: (host, httpPort) => `kill the process on ${host} that listens on ${httpPort}`,
};
