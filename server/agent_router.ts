/** To a backend wherever it is: in this process, or one that asks over HTTP. */
import type {
  AgentCallName,
  AgentCallOptions,
  AgentCalls,
  AgentTransport,
} from '../base/agent_messages.ts';
import type { BackendId } from '../base/ids.ts';
import type { AgentGateway } from './agent_gateway.ts';
import type { EmbeddedAgents } from './embedded_agents.ts';

export class AgentRouter implements AgentTransport {
  readonly #embedded: EmbeddedAgents;
  readonly #gateway: AgentGateway;

  constructor(embedded: EmbeddedAgents, gateway: AgentGateway) {
    this.#embedded = embedded;
    this.#gateway = gateway;
  }

  async call<Name extends AgentCallName>(
    backendId: BackendId,
    name: Name,
    request: AgentCalls[Name]['request'],
    options: AgentCallOptions,
  ): Promise<AgentCalls[Name]['reply']> {
    const transport = this.#gateway.hasSession(backendId) ? this.#gateway : this.#embedded;
    return await transport.call(backendId, name, request, options);
  }
}
