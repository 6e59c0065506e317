/**
 * The embedded backends: one worker thread that hosts them all, started with the first of them.
 * This is the `AgentTransport` of a server without remote backends.
 */
import { Worker } from 'node:worker_threads';
import { agentLost } from '../base/agent_lost.ts';
import type {
  AgentGuestCall,
  AgentHostCalls,
  AgentHostData,
  StartAgent,
} from '../base/agent_host.ts';
import type {
  AgentCallName,
  AgentCallOptions,
  AgentCalls,
  AgentTransport,
  FrontendPort,
} from '../base/agent_messages.ts';
import { SqlError } from '../base/errors.ts';
import type { BackendId } from '../base/ids.ts';
import type { LogLevel } from '../base/json_log.ts';
import { PortRpc } from '../base/port_rpc.ts';
import type { Clock, Log } from '../base/ports.ts';

/** Starting a backend reads the index of its block cache; stopping one writes it. */
const HOST_CALL_TIMEOUT_MS = 120_000;
/**
 * Young objects of the thread, MiB. V8 would let them grow to 192, and most of what a scan makes is
 * garbage at once: reads of three million rows had their peak at 720 MB, with this at 390, for
 * the same CPU.
 */
const YOUNG_MIB = 24;

export interface EmbeddedAgentsDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly logLevel: LogLevel;
  /** Answers what a backend asks; the backend's id is checked by the host. */
  readonly frontend: (backendId: BackendId) => FrontendPort;
  /** The worker died: none of its backends answers any more. */
  readonly onCrash: (error: unknown) => void;
}

export class EmbeddedAgents implements AgentTransport {
  readonly #deps: EmbeddedAgentsDeps;
  readonly #running = new Set<BackendId>();
  #host: { readonly worker: Worker; readonly rpc: PortRpc } | undefined;

  constructor(deps: EmbeddedAgentsDeps) {
    this.#deps = deps;
  }

  isRunning(backendId: BackendId): boolean {
    return this.#running.has(backendId);
  }

  /** Starts a backend; answers the port it listens on. Fails when its directory or port is taken. */
  async start(request: StartAgent): Promise<{ readonly httpPort: number }> {
    const reply = await this.#hostCall('start', request);
    this.#running.add(request.backendId);
    return reply;
  }

  /** Its running requests get `graceMs` to end. */
  async stop(backendId: BackendId, graceMs: number): Promise<void> {
    if (!this.#running.delete(backendId)) return;
    await this.#hostCall('stop', { backendId, graceMs });
  }

  async kill(backendId: BackendId): Promise<void> {
    if (!this.#running.delete(backendId)) return;
    await this.#hostCall('kill', { backendId });
  }

  async call<Name extends AgentCallName>(
    backendId: BackendId,
    name: Name,
    request: AgentCalls[Name]['request'],
    options: AgentCallOptions,
  ): Promise<AgentCalls[Name]['reply']> {
    if (this.#host === undefined || !this.#running.has(backendId)) {
      const why = 'it does not run; ALTER SYSTEM START BACKEND starts it';
      throw agentLost(backendId, name, why);
    }
    try {
      const { rpc } = this.#host;
      const reply = await rpc.call('agent', { backendId, name, request }, options);
      return reply as AgentCalls[Name]['reply'];
    } catch (error) {
      const isOfHost = error instanceof SqlError && error.args['backend'] === 'host';
      throw isOfHost ? agentLost(backendId, name, String(error.args['why'])) : error;
    }
  }

  /** Stops all backends in order, then the thread. */
  async close(graceMs: number): Promise<void> {
    const host = this.#host;
    if (host === undefined) return;
    await Promise.allSettled([...this.#running].map((backendId) => this.stop(backendId, graceMs)));
    this.#host = undefined;
    host.rpc.close();
    await host.worker.terminate();
  }

  async #hostCall<Name extends keyof AgentHostCalls>(
    name: Name,
    request: AgentHostCalls[Name]['request'],
  ): Promise<AgentHostCalls[Name]['reply']> {
    const { rpc } = this.#ensureHost();
    const reply = await rpc.call(name, request, { timeoutMs: HOST_CALL_TIMEOUT_MS });
    // The host answers each call with the reply of its name (be-agent/embedded_host.ts).
    // oxlint-disable-next-line typescript/no-unnecessary-type-assertion -- tsc needs it
    return reply as never;
  }

  #ensureHost(): { readonly worker: Worker; readonly rpc: PortRpc } {
    if (this.#host !== undefined) return this.#host;
    const { clock, log, logLevel, frontend } = this.#deps;
    const workerData: AgentHostData = { logLevel };
    const resourceLimits = { maxYoungGenerationSizeMb: YOUNG_MIB };
    const worker = new Worker(workerUrl(), { workerData, resourceLimits });
    const rpc = new PortRpc(worker, {
      clock,
      log,
      lost: (what, why) => agentLost('host', what, why),
      handler: async (_name, request, signal) => {
        const call = request as AgentGuestCall;
        const options = { timeoutMs: HOST_CALL_TIMEOUT_MS, signal };
        return await frontend(call.backendId).call(call.name, call.request as never, options);
      },
    });
    this.#host = { worker, rpc };
    worker.on('error', (error) => {
      this.#crashed(error);
    });
    worker.on('exit', (code) => {
      if (this.#host?.worker === worker) this.#crashed(new Error(`worker exit code ${code}`));
    });
    return this.#host;
  }

  #crashed(error: unknown): void {
    const host = this.#host;
    if (host === undefined) return;
    this.#host = undefined;
    this.#running.clear();
    host.rpc.close();
    this.#deps.onCrash(error);
  }
}

/** `.ts` from a checkout, `.js` from a build: whichever this file is. */
function workerUrl(): URL {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  return new URL(`../be-agent/worker_main.${extension}`, import.meta.url);
}
