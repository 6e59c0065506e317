/** A backend as a process of its own: an `Agent` on a data directory, linked to a server by HTTP. */
import { agentLost } from '../../base/agent_lost.ts';
import type { AgentCallName, FrontendPort } from '../../base/agent_messages.ts';
import type { Config } from '../../base/config.ts';
import { CONFIG_KEYS } from '../../base/config.ts';
import type { BackendId } from '../../base/ids.ts';
import type { Clock, Log, Random } from '../../base/ports.ts';
import { PROTOCOL, type RegisterRequest } from '../../base/remote_messages.ts';
import { MIB } from '../../base/units.ts';
import { Agent } from '../agent.ts';
import { SharedBufferPool } from '../cache/buffer_pool.ts';
import { type Identity, readIdentity, writeIdentity } from './identity_file.ts';
import { ServerHttp } from './server_http.ts';
import { type Registered, ServerLink } from './server_link.ts';

/** Ranges of warm-up downloads in memory at once. */
const WARM_UP_BUFFER_BYTES = 96 * MIB;
const PROCESS_BYTES = 16;

export interface RemoteBackendOptions {
  /** `http://host:port` of the server. */
  readonly server: string;
  readonly clusterToken: string;
  /** Locked by this process. */
  readonly dir: string;
  readonly host: string;
  /** 0 = any free port. */
  readonly httpPort: number;
  readonly computeGroup?: string;
  /** What is set here wins over what the server says. */
  readonly config: Config;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** It cannot go on: another process has taken the backend over, or its port is in use. */
  readonly onRefused: (error: unknown) => void;
}

export class RemoteBackend {
  readonly #options: RemoteBackendOptions;
  readonly #http: ServerHttp;
  readonly #link: ServerLink;
  readonly #process: string;
  /** Keys that the command line, the file or the environment set. */
  readonly #own: ReadonlySet<string>;
  readonly #buffers = new SharedBufferPool(8 * MIB, WARM_UP_BUFFER_BYTES);
  #identity: Identity | undefined;
  #agent: { readonly backendId: BackendId; readonly agent: Agent } | undefined;

  /** Resolves when the server has taken it and it listens; waits for the server as long as needed. */
  static async start(options: RemoteBackendOptions): Promise<RemoteBackend> {
    const backend = new RemoteBackend(options);
    try {
      await backend.#link.register();
    } catch (error) {
      await backend.stop(0);
      throw error;
    }
    backend.#link.run().catch((error: unknown) => {
      options.onRefused(error);
    });
    return backend;
  }

  private constructor(options: RemoteBackendOptions) {
    const { server, clusterToken, clock, random, log, dir } = options;
    this.#options = options;
    this.#own = new Set(CONFIG_KEYS.filter((key) => options.config.isSet(key)));
    this.#process = Buffer.from(random.bytes(PROCESS_BYTES)).toString('hex');
    const last = readIdentity(dir);
    if (last !== undefined) {
      // Before the server hears of it: no other process shall ever claim this number.
      this.#identity = { ...last, generation: last.generation + 1 };
      writeIdentity(dir, this.#identity);
    }
    this.#http = new ServerHttp(server, clusterToken);
    this.#link = new ServerLink({
      http: this.#http,
      clock,
      random,
      log,
      identity: () => this.#registerRequest(),
      handler: async (name, request, signal) => await this.#handle(name, request, signal),
      onRegistered: async (registered) => {
        await this.#registered(registered);
      },
    });
  }

  get backendId(): BackendId {
    return this.#running().backendId;
  }

  get httpPort(): number {
    return this.#running().agent.httpPort;
  }

  /** In order: running requests get `graceMs`, the server is told, the cache's order is saved. */
  async stop(graceMs: number): Promise<void> {
    await this.#agent?.agent.stop(graceMs);
    await this.#link.close();
    await this.#http.close();
  }

  #running(): { readonly backendId: BackendId; readonly agent: Agent } {
    if (this.#agent !== undefined) return this.#agent;
    throw agentLost('(not registered yet)', 'a call', 'its process has only just started');
  }

  #registerRequest(): RegisterRequest {
    const { host, httpPort, computeGroup } = this.#options;
    return {
      protocol: PROTOCOL,
      process: this.#process,
      host,
      httpPort: this.#agent?.agent.httpPort ?? httpPort,
      ...(computeGroup === undefined ? {} : { computeGroup }),
      ...(this.#identity === undefined ? {} : { known: this.#identity }),
    };
  }

  async #registered({ clusterId, backendId, generation, config }: Registered): Promise<void> {
    const known = this.#identity;
    const isKnown = known?.backendId === backendId && known.generation === generation;
    this.#identity = { clusterId, backendId, generation };
    if (!isKnown) writeIdentity(this.#options.dir, this.#identity);
    this.#options.config.replace(this.#withoutOwn(config));
    const running = this.#agent;
    if (running?.backendId === backendId) return;
    // It was dropped and added again: another backend now, with nothing of the old one's.
    this.#agent = undefined;
    await running?.agent.stop(0);
    this.#agent = { backendId, agent: await this.#startAgent(backendId, clusterId) };
  }

  async #startAgent(backendId: BackendId, clusterId: string): Promise<Agent> {
    const { dir, host, httpPort, config, clock, random, log, clusterToken } = this.#options;
    return await Agent.start({
      backendId,
      dir,
      host,
      httpPort,
      otherPortWillDo: false,
      clusterToken,
      clusterId,
      serverHost: new URL(this.#http.url).hostname.replace(/^\[(.*)\]$/, '$1'),
      config,
      clock,
      random,
      log: log.child({ backend: backendId }),
      frontend: this.#frontend(),
      buffers: this.#buffers,
    });
  }

  #frontend(): FrontendPort {
    const { frontend } = this.#link;
    return {
      call: async (name, request, options) => {
        const reply = await frontend.call(name, request, options);
        if (name !== 'heartbeat') return reply;
        const heartbeat = reply as Registered;
        return { ...heartbeat, config: this.#withoutOwn(heartbeat.config) } as never;
      },
    };
  }

  async #handle(name: string, request: unknown, signal: AbortSignal): Promise<unknown> {
    const { agent } = this.#running();
    if (name !== 'configure') return await agent.handle(name as AgentCallName, request, signal);
    const { values } = request as { readonly values: Readonly<Record<string, string>> };
    return await agent.handle('configure', { values: this.#withoutOwn(values) }, signal);
  }

  #withoutOwn(values: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
    return Object.fromEntries(Object.entries(values).filter(([key]) => !this.#own.has(key)));
  }
}
