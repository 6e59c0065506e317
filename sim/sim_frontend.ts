/** What a life of a backend says to the server, over the network. */
import type { FrontendPort } from '../base/agent_messages.ts';
import { SqlError } from '../base/errors.ts';
import type { BackendId } from '../base/ids.ts';
import type { Endpoint, SimNetwork } from './sim_network.ts';
import type { SimProcess } from './virtual_time.ts';

export function simFrontend(
  { network, server }: { readonly network: SimNetwork; readonly server: Endpoint },
  process: SimProcess,
  { backendId, name: line }: { readonly backendId: BackendId; readonly name: string },
): FrontendPort {
  return {
    call: async (name, request, { timeoutMs, signal }) =>
      (await network.call({
        from: process,
        to: server,
        line,
        name,
        request: { from: backendId, request },
        timeoutMs,
        signal,
        lost: () =>
          new SqlError('AGENT_LOST', {
            backend: 0,
            what: name,
            why: `nothing within ${timeoutMs} ms`,
          }),
      })) as never,
  };
}
