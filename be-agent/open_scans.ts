/** Scans that the server is reading: a cursor each, dropped when nobody asks for its next batch. */
import type { OpenScanRequest, ScanBatch } from '../base/agent_messages.ts';
import { SqlError } from '../base/errors.ts';
import type { BackendId } from '../base/ids.ts';
import type { Clock, Random } from '../base/ports.ts';
import type { Scan } from './data/scan.ts';

/** Scans open at once; one more is refused. */
const OPEN_SCANS_MAX = 1000;
/** Milliseconds after which a scan that is not read is dropped. */
const IDLE_MS = 600_000;

export interface OpenedScan {
  readonly scan: Scan;
  /** Called once, when the scan is closed. */
  readonly release: () => void;
}

interface OpenScan extends OpenedScan {
  stopTimer: () => void;
}

export class OpenScans {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #make: (request: OpenScanRequest) => Promise<OpenedScan>;
  readonly #backendId: BackendId;
  readonly #open = new Map<string, OpenScan>();
  #isClosed = false;

  constructor(
    clock: Clock,
    random: Random,
    make: (request: OpenScanRequest) => Promise<OpenedScan>,
    backendId: BackendId,
  ) {
    this.#clock = clock;
    this.#random = random;
    this.#make = make;
    this.#backendId = backendId;
  }

  /** Throws what making a scan throws. */
  async open(request: OpenScanRequest): Promise<{ readonly scanId: string }> {
    if (this.#open.size >= OPEN_SCANS_MAX) {
      const why = `${OPEN_SCANS_MAX} scans are open on this backend already`;
      throw new SqlError('STORE_FAILED', { what: why });
    }
    const scanId = Buffer.from(this.#random.bytes(16)).toString('hex');
    const scan = { ...(await this.#make(request)), stopTimer: () => undefined };
    if (this.#isClosed) {
      scan.release();
      throw this.#lost('openScan');
    }
    this.#open.set(scanId, scan);
    this.#arm(scanId, scan);
    return { scanId };
  }

  /** Throws QUERY_INTERRUPTED when there is no such scan (any more), AGENT_LOST at the end. */
  async nextBatch(scanId: string): Promise<ScanBatch> {
    const open = this.#open.get(scanId);
    if (open === undefined) {
      if (this.#isClosed) throw this.#lost('nextBatch');
      throw new SqlError('QUERY_INTERRUPTED', {}, { hint: 'the scan is closed' });
    }
    open.stopTimer();
    const batch = await open.scan.nextBatch();
    // Closed meanwhile, it says that it is done, and is not.
    if (this.#open.get(scanId) !== open) throw this.#lost('nextBatch');
    if (batch.done) this.close(scanId);
    else if (this.#open.has(scanId)) this.#arm(scanId, open);
    return batch;
  }

  close(scanId: string): void {
    const open = this.#open.get(scanId);
    if (open === undefined) return;
    open.stopTimer();
    open.scan.close();
    open.release();
    this.#open.delete(scanId);
  }

  /** None can be opened any more. */
  closeAll(): void {
    this.#isClosed = true;
    for (const scanId of this.#open.keys()) this.close(scanId);
  }

  /** Whoever asks may try another replica. */
  #lost(what: string): SqlError {
    const args = { backend: this.#backendId, what, timeoutMs: 0 };
    return new SqlError('AGENT_LOST', args, { hint: 'the scan was closed, or the backend stops' });
  }

  #arm(scanId: string, open: OpenScan): void {
    open.stopTimer = this.#clock.after(IDLE_MS, () => {
      this.close(scanId);
    });
  }
}
