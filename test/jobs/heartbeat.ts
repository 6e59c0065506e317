/** A backend's heartbeat where only who it is matters. */
import type { Heartbeat } from '../../base/agent_messages.ts';
import type { BackendId } from '../../base/ids.ts';

export function heartbeatOf(backendId: BackendId, more: Partial<Heartbeat> = {}): Heartbeat {
  return {
    backendId,
    incarnation: 'x',
    startedMs: 0,
    httpPort: 1,
    cacheCapacityBytes: 1,
    cacheUsedBytes: 0,
    diskAvailableBytes: 1,
    diskTotalBytes: 1,
    ...more,
  };
}
