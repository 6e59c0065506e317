/** Scans that the server is reading: a cursor each, dropped when nobody asks for its next batch. */
import { agentLost } from '../base/agent_lost.ts';
import type {
  OpenedScan as OpenedScanReply,
  OpenScanRequest,
  ScanBatch,
  ScanRepeats,
} from '../base/agent_messages.ts';
import { SqlError } from '../base/errors.ts';
import type { BackendId } from '../base/ids.ts';
import type { Clock, Random } from '../base/ports.ts';
import type { Scan } from './data/scan.ts';
import { type RepeatableScan, ScanTickets } from './scan_tickets.ts';

/** Scans open at once; one more is refused. */
const OPEN_SCANS_MAX = 1000;
/** Milliseconds after which a scan that is not read is dropped. */
const IDLE_MS = 600_000;
/** How long the answer to `openScan` waits for the first rows. */
const FIRST_WAIT_MS = 1000;

export interface OpenedScan {
  readonly scan: Pick<Scan, 'nextBatch' | 'close'>;
  /** Called once, when the scan is closed. */
  readonly release: () => void;
  /** For scans that can be answered again without reading; asked when all has been read. */
  readonly repeatable?: () => RepeatableScan | undefined;
}

interface OpenScan extends OpenedScan {
  stopTimer: () => void;
  /** Batches that were asked for. */
  asked: number;
  /** The last one: its request may come twice. */
  last: Promise<ScanBatch> | undefined;
}

export class OpenScans {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #make: (request: OpenScanRequest) => Promise<OpenedScan>;
  readonly #backendId: BackendId;
  readonly #open = new Map<string, OpenScan>();
  readonly tickets: ScanTickets;
  #isClosed = false;

  constructor(
    clock: Clock,
    random: Random,
    make: (request: OpenScanRequest) => Promise<OpenedScan>,
    backendId: BackendId,
    tickets: ScanTickets = new ScanTickets(random),
  ) {
    this.#clock = clock;
    this.#random = random;
    this.#make = make;
    this.#backendId = backendId;
    this.tickets = tickets;
  }

  /**
   * Opens a scan and begins to read it: most scans are over with their first batch, and need no
   * second message then. Throws what making a scan and reading it throw.
   */
  async openAndRead(request: OpenScanRequest): Promise<OpenedScanReply> {
    const { scanId } = await this.open(request);
    const repeatable = this.#open.get(scanId)?.repeatable;
    const first = await this.#firstSoon(scanId);
    if (first === undefined) return { scanId };
    const repeat = first.done ? repeatable?.() : undefined;
    return { scanId, first, ...(repeat === undefined ? {} : this.tickets.issue(repeat)) };
  }

  /** See AgentCalls.repeatScans. */
  async repeat(repeats: ScanRepeats): Promise<{ readonly same: readonly boolean[] }> {
    if (this.#isClosed) throw this.#lost('repeatScans');
    return { same: await this.tickets.repeat(repeats) };
  }

  /** undefined: it takes its time, and is there for `nextBatch`. */
  async #firstSoon(scanId: string): Promise<ScanBatch | undefined> {
    const late = Promise.withResolvers<undefined>();
    const stopTimer = this.#clock.after(FIRST_WAIT_MS, () => {
      late.resolve(undefined);
    });
    const reading = this.nextBatch(scanId, 0);
    // Whoever asks for it later sees the failure.
    reading.catch(() => undefined);
    try {
      return await Promise.race([reading, late.promise]);
    } catch (error) {
      this.close(scanId);
      throw error;
    } finally {
      stopTimer();
    }
  }

  /** Throws what making a scan throws. */
  async open(request: OpenScanRequest): Promise<{ readonly scanId: string }> {
    if (this.#open.size >= OPEN_SCANS_MAX) {
      const why = `${OPEN_SCANS_MAX} scans are open on this backend already`;
      throw new SqlError('STORE_FAILED', { what: why });
    }
    const scanId = Buffer.from(this.#random.bytes(16)).toString('hex');
    const made = await this.#make(request);
    const scan: OpenScan = { ...made, stopTimer: () => undefined, asked: 0, last: undefined };
    if (this.#isClosed) {
      scan.release();
      throw this.#lost('openScan');
    }
    this.#open.set(scanId, scan);
    this.#arm(scanId, scan);
    return { scanId };
  }

  /**
   * Number `batch` from 0 on. Throws QUERY_INTERRUPTED when there is no such scan (any more) or it
   * is another one's turn, AGENT_LOST at the end.
   */
  async nextBatch(scanId: string, batch: number): Promise<ScanBatch> {
    const open = this.#open.get(scanId);
    if (open === undefined) {
      if (this.#isClosed) throw this.#lost('nextBatch');
      throw new SqlError('QUERY_INTERRUPTED', {}, { hint: 'the scan is closed' });
    }
    // Come twice: two batches for one question would be rows that nobody sees.
    if (batch === open.asked - 1 && open.last !== undefined) return await open.last;
    if (batch !== open.asked) {
      const hint = `batch ${batch} of the scan was asked for, ${open.asked} is the next`;
      throw new SqlError('QUERY_INTERRUPTED', {}, { hint });
    }
    open.asked += 1;
    open.last = this.#read(scanId, open);
    return await open.last;
  }

  async #read(scanId: string, open: OpenScan): Promise<ScanBatch> {
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
    this.tickets.endLeases();
    for (const scanId of this.#open.keys()) this.close(scanId);
  }

  /** Whoever asks may try another replica. */
  #lost(what: string): SqlError {
    return agentLost(this.#backendId, what, 'the scan was closed, or the backend stops');
  }

  #arm(scanId: string, open: OpenScan): void {
    open.stopTimer = this.#clock.after(IDLE_MS, () => {
      this.close(scanId);
    });
  }
}
