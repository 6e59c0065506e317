/**
 * What the main thread asks of the worker thread that hosts the embedded backends, and the other
 * way round. Carried by `PortRpc`; see `server/embedded_agents.ts` and `be-agent/embedded_host.ts`.
 */
import type { AgentCallName, FrontendCallName } from './agent_messages.ts';
import type { BackendId } from './ids.ts';
import type { LogLevel } from './json_log.ts';

/** `workerData` of the thread. */
export interface AgentHostData {
  readonly logLevel: LogLevel;
}

export interface StartAgent {
  readonly backendId: BackendId;
  /** `<data dir>/backends/<id>`; made when it does not exist. */
  readonly dir: string;
  readonly host: string;
  /** 0 = any free port. */
  readonly httpPort: number;
  /** The port is only the one of last time: when somebody else has it, any free one will do. */
  readonly otherPortWillDo: boolean;
  /** What backends show each other and the server: opens the inner routes. */
  readonly clusterToken: string;
  /** Of which installation it is. */
  readonly clusterId: string;
  readonly config: Readonly<Record<string, string>>;
}

/** Main thread → worker. */
export interface AgentHostCalls {
  start: { request: StartAgent; reply: { readonly httpPort: number } };
  /** Orderly: running requests get `graceMs`, writes are finished, the cache's order is saved. */
  stop: {
    request: { readonly backendId: BackendId; readonly graceMs: number };
    reply: Record<string, never>;
  };
  /** As a crash would: nothing is saved, connections break. */
  kill: { request: { readonly backendId: BackendId }; reply: Record<string, never> };
  agent: {
    request: {
      readonly backendId: BackendId;
      readonly name: AgentCallName;
      readonly request: unknown;
    };
    reply: unknown;
  };
}

/** Worker → main thread. */
export interface AgentGuestCall {
  readonly backendId: BackendId;
  readonly name: FrontendCallName;
  readonly request: unknown;
}
