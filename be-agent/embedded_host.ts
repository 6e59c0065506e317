/** The embedded backends, in the worker thread that `worker_main.ts` is the entry of. */
import { parentPort, workerData } from 'node:worker_threads';
import { agentLost } from '../base/agent_lost.ts';
import type { AgentHostCalls, AgentHostData, StartAgent } from '../base/agent_host.ts';
import type {
  AgentCallName,
  AgentCalls,
  FrontendCallName,
  FrontendPort,
  ScanBatch,
} from '../base/agent_messages.ts';
import { Config } from '../base/config.ts';
import { SqlError } from '../base/errors.ts';
import type { BackendId } from '../base/ids.ts';
import { jsonLog } from '../base/json_log.ts';
import { packColumns } from '../base/packed_columns.ts';
import { Moved, PortRpc } from '../base/port_rpc.ts';
import { systemClock, systemRandom } from '../base/system_ports.ts';
import { MIB } from '../base/units.ts';
import { Agent } from './agent.ts';
import { SharedBufferPool } from './cache/buffer_pool.ts';
import { OwnPeers } from './replica/peers.ts';

const data = workerData as AgentHostData;
const log = jsonLog(data.logLevel, { thread: 'agents' });
const agents = new Map<BackendId, Agent>();

/** Ranges of warm-up downloads in memory at once, over all backends of the process. */
const WARM_UP_BUFFER_BYTES = 96 * MIB;
const buffers = new SharedBufferPool(8 * MIB, WARM_UP_BUFFER_BYTES);
const ownPeers = new OwnPeers();

if (parentPort === null) throw new Error('embedded_host.ts runs in a worker thread only');

process.on('unhandledRejection', (error) => {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  log.error('a rejection was not handled', { error: text });
});

type HostHandlers = {
  readonly [Name in keyof AgentHostCalls]: (
    request: AgentHostCalls[Name]['request'],
    signal: AbortSignal,
  ) => Promise<AgentHostCalls[Name]['reply']>;
};

const handlers: HostHandlers = {
  start: async (request) => ({ httpPort: await start(request) }),
  stop: async ({ backendId, graceMs }) => {
    const agent = agents.get(backendId);
    agents.delete(backendId);
    await agent?.stop(graceMs);
    return {};
  },
  kill: async ({ backendId }) => {
    const agent = agents.get(backendId);
    agents.delete(backendId);
    await agent?.kill();
    return {};
  },
  agent: async ({ backendId, name, request }, signal) => {
    const reply = await agentOf(backendId, name).handle(name, request, signal);
    return name === 'nextBatch' ? packed(request as NextBatch, reply as ScanBatch) : reply;
  },
};

type NextBatch = AgentCalls['nextBatch']['request'];

/** The server passes most batches on to a query process: then their values need not be there. */
function packed({ batch }: NextBatch, reply: ScanBatch): ScanBatch | Moved {
  if (batch === 0 || reply.rows === 0 || reply.columns.length === 0) return reply;
  const bytes = packColumns(reply.columns);
  return new Moved({ ...reply, columns: [], packed: bytes }, [bytes.buffer]);
}

const rpc = new PortRpc(parentPort, {
  clock: systemClock,
  log,
  lost: (what, why) => new SqlError('SERVER_LOST', { what, why }),
  handler: async (name, request, signal) => {
    const handler = handlers[name as keyof AgentHostCalls];
    return await handler(request as never, signal);
  },
});

async function start(request: StartAgent): Promise<number> {
  const { backendId, dir, host, httpPort, otherPortWillDo, clusterToken, clusterId } = request;
  await agents.get(backendId)?.stop(0);
  const config = new Config();
  config.replace(request.config);
  const agent = await Agent.start({
    backendId,
    dir,
    host,
    httpPort,
    otherPortWillDo,
    clusterToken,
    clusterId,
    config,
    clock: systemClock,
    random: systemRandom,
    log: log.child({ backend: backendId }),
    frontend: frontendOf(backendId),
    buffers,
    ownPeers,
  });
  agents.set(backendId, agent);
  return agent.httpPort;
}

function frontendOf(backendId: BackendId): FrontendPort {
  return {
    call: async (name: FrontendCallName, request: unknown, options) => {
      try {
        return (await rpc.call('frontend', { backendId, name, request }, options)) as never;
      } catch (error) {
        if (!(error instanceof SqlError) || error.code !== 'SERVER_LOST') throw error;
        throw new SqlError('SERVER_LOST', { ...error.args, what: name });
      }
    },
  };
}

function agentOf(backendId: BackendId, what: AgentCallName): Agent {
  const agent = agents.get(backendId);
  if (agent === undefined) {
    throw agentLost(backendId, what, 'it does not run; ALTER SYSTEM START BACKEND starts it');
  }
  return agent;
}
