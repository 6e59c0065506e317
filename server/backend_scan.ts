/** Reading one scan of one backend to its end, or closing it. */
import type { AgentTransport, OpenScanRequest } from '../base/agent_messages.ts';
import type { BackendId } from '../base/ids.ts';
import type { Log } from '../base/ports.ts';
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

/** The next batch is read while the last one is used. Throws what the backend's calls throw. */
export async function* readScan(
  { transport, log }: { readonly transport: AgentTransport; readonly log: Log },
  { backendId, request, openTimeoutMs = BATCH_TIMEOUT_MS }: BackendScan,
  signal: AbortSignal,
): AsyncGenerator<ScanRows> {
  const options = { timeoutMs: BATCH_TIMEOUT_MS, signal };
  const opening = { timeoutMs: openTimeoutMs, signal };
  const { scanId } = await transport.call(backendId, 'openScan', request, opening);
  let done = false;
  try {
    let next = transport.call(backendId, 'nextBatch', { scanId }, options);
    while (!done) {
      const batch = await next;
      ({ done } = batch);
      if (!done) {
        next = transport.call(backendId, 'nextBatch', { scanId }, options);
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
