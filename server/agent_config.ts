/**
 * Tells backends at once of settings that they have a copy of. Who misses it hears of it with the
 * answer to its next heartbeat.
 */
import type { AgentTransport } from '../base/agent_messages.ts';
import { type Config, isAgentKey } from '../base/config.ts';
import type { Log } from '../base/ports.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { BackendRegistry } from '../jobs/backend_registry.ts';

const CALL_TIMEOUT_MS = 5000;

export interface AgentConfigDeps {
  readonly config: Config;
  readonly catalog: Pick<Catalog, 'backends'>;
  readonly registry: Pick<BackendRegistry, 'isAlive'>;
  readonly transport: AgentTransport;
  readonly log: Log;
}

export class AgentConfig {
  readonly #deps: AgentConfigDeps;
  #isTelling = false;
  #tellAgain = false;

  constructor(deps: AgentConfigDeps) {
    this.#deps = deps;
    deps.config.onChange((key) => {
      if (isAgentKey(key)) this.#changed();
    });
  }

  /** Settings that are set together are told together, and the last ones last. */
  #changed(): void {
    this.#tellAgain = true;
    if (!this.#isTelling) void this.#tellAll();
  }

  async #tellAll(): Promise<void> {
    const { catalog, registry, log } = this.#deps;
    this.#isTelling = true;
    try {
      while (this.#tellAgain) {
        const backends = await catalog.backends.list();
        this.#tellAgain = false;
        const alive = backends.filter(({ backendId }) => registry.isAlive(backendId));
        await Promise.all(alive.map(async ({ backendId }) => await this.#tell(backendId)));
      }
    } catch (error) {
      log.info('settings go to backends with their heartbeats', { error: String(error) });
    } finally {
      this.#isTelling = false;
    }
  }

  async #tell(backendId: Parameters<AgentTransport['call']>[0]): Promise<void> {
    const { config, transport, log } = this.#deps;
    const options = { timeoutMs: CALL_TIMEOUT_MS };
    try {
      await transport.call(backendId, 'configure', { values: config.agentValues() }, options);
    } catch (error) {
      log.info('a backend hears of settings with its heartbeat', {
        backendId,
        error: String(error),
      });
    }
  }
}
