/** Reading one scan of one backend to its end, or closing it. */
import type {
  AgentTransport,
  OpenedScan,
  OpenScanRequest,
  ScanBatch,
} from '../base/agent_messages.ts';
import type { BackendId } from '../base/ids.ts';
import type { Clock, Log } from '../base/ports.ts';
import type { BackendRegistry } from '../jobs/backend_registry.ts';
import { whileAlive } from '../jobs/while_alive.ts';
import { PackedRows } from './select/packed_rows.ts';
import type { ScanRows } from './select/table_provider.ts';

/** A backend reads and decodes up to 65,536 rows for one batch. */
const BATCH_TIMEOUT_MS = 300_000;
const CLOSE_TIMEOUT_MS = 5000;

export interface BackendScan {
  readonly backendId: BackendId;
  readonly request: OpenScanRequest;
  /** Default: as long as a batch. */
  readonly openTimeoutMs?: number;
}

export interface BackendScanServices {
  readonly transport: AgentTransport;
  readonly registry: BackendRegistry;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The next batch is read while the last one is used. `onTicket` gets the name by which the backend
 * knows a scan that was over with its first batch. Throws what the backend's calls throw, and
 * AGENT_LOST as soon as the backend is known to be dead.
 */
export async function* readScan(
  services: BackendScanServices,
  { backendId, request, openTimeoutMs = BATCH_TIMEOUT_MS }: BackendScan,
  signal: AbortSignal,
  onTicket: (opened: OpenedScan & { readonly ticket: string }, all: ScanBatch) => void = () =>
    undefined,
): AsyncGenerator<ScanRows> {
  const { transport, log } = services;
  const opened = await whileAlive(services, backendId, 'openScan', signal, (ends) =>
    transport.call(backendId, 'openScan', request, { timeoutMs: openTimeoutMs, signal: ends }),
  );
  const { scanId, first, ticket } = opened;
  let asked = first === undefined ? 0 : 1;
  const nextBatch = (): Promise<ScanBatch> => {
    const request = { scanId, batch: asked };
    asked += 1;
    return whileAlive(services, backendId, 'nextBatch', signal, (ends) => {
      const options = { timeoutMs: BATCH_TIMEOUT_MS, signal: ends };
      return transport.call(backendId, 'nextBatch', request, options);
    });
  };
  let done = false;
  try {
    let next = first === undefined ? nextBatch() : Promise.resolve(first);
    while (!done) {
      const batch = await next;
      ({ done } = batch);
      if (done && ticket !== undefined && batch === first) onTicket({ ...opened, ticket }, first);
      if (!done) {
        next = nextBatch();
        next.catch(() => undefined);
      }
      if (batch.rows > 0) yield rowsOf(batch);
    }
  } finally {
    if (!done) {
      const closing = { timeoutMs: CLOSE_TIMEOUT_MS };
      transport.call(backendId, 'closeScan', { scanId }, closing).catch((error: unknown) => {
        log.debug('a scan was not closed', { backendId, error: String(error) });
      });
    }
  }
}

function rowsOf(batch: ScanBatch): ScanRows {
  return batch.packed === undefined ? batch : new PackedRows(batch.rows, batch.packed);
}
