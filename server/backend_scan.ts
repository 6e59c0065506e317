/** Reading one scan of one backend to its end, or closing it. */
import type { AgentTransport, OpenScanRequest, ScanBatch } from '../base/agent_messages.ts';
import type { BackendId } from '../base/ids.ts';
import type { Clock, Log } from '../base/ports.ts';
import type { BackendRegistry } from '../jobs/backend_registry.ts';
import { whileAlive } from '../jobs/while_alive.ts';
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
 * The next batch is read while the last one is used. Throws what the backend's calls throw, and
 * AGENT_LOST as soon as the backend is known to be dead.
 */
export async function* readScan(
  services: BackendScanServices,
  { backendId, request, openTimeoutMs = BATCH_TIMEOUT_MS }: BackendScan,
  signal: AbortSignal,
): AsyncGenerator<ScanRows> {
  const { transport, log } = services;
  const { scanId } = await whileAlive(services, backendId, 'openScan', signal, (ends) =>
    transport.call(backendId, 'openScan', request, { timeoutMs: openTimeoutMs, signal: ends }),
  );
  const nextBatch = (): Promise<ScanBatch> =>
    whileAlive(services, backendId, 'nextBatch', signal, (ends) =>
      transport.call(
        backendId,
        'nextBatch',
        { scanId },
        { timeoutMs: BATCH_TIMEOUT_MS, signal: ends },
      ),
    );
  let done = false;
  try {
    let next = nextBatch();
    while (!done) {
      const batch = await next;
      ({ done } = batch);
      if (!done) {
        next = nextBatch();
        next.catch(() => undefined);
      }
      if (batch.rows > 0) yield { rows: batch.rows, columns: batch.columns };
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
