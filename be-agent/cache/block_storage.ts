/**
 * The disk below the cache: slots of slabs for whole blocks, files for the others, and the promise
 * that all of them together, used or idle, stay within the capacity. After a failure it leaves the
 * disk alone for a while.
 */
import { blockChargeBytes } from '../../base/cache_charge.ts';
import type { Clock, Log } from '../../base/ports.ts';
import { BLOCK_BYTES } from '../../base/schema.ts';
import { createBlockFile, errorCode, removeBlockFile } from './block_files.ts';
import type { BlockIo } from './block_files.ts';
import { Deletions } from './deletions.ts';
import { DiskRoom } from './disk_room.ts';
import { Slabs } from './slabs.ts';
import type { MoveBlock, SlabRun } from './slabs.ts';

/** After a failed write or deletion nothing is written for this long. */
const BACK_OFF_MS = 10_000;
const LOG_INTERVAL_MS = 60_000;
const STUCK_RETRY_MAX = 16;
/** Block files written at once. */
const CREATING_MAX = 2;
/** What a slot takes of the disk, with its row: the same for every key. */
const SLOT_BYTES = blockChargeBytes(BLOCK_BYTES, 0);

export interface BlockStorageOptions {
  readonly dir: string;
  readonly io: BlockIo;
  readonly clock: Clock;
  readonly log: Log;
  /** bytes for blocks */
  readonly capacityBytes: number;
  readonly move: MoveBlock;
  /** `stuckBytes` has changed. */
  readonly onStuck: () => void;
}

interface Stuck {
  readonly work: () => Promise<void>;
  readonly freed: () => void;
  readonly bytes: number;
}

export class BlockStorage {
  writeErrors = 0;
  readonly slabs: Slabs;
  readonly #io: BlockIo;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #onStuck: () => void;
  readonly #room: DiskRoom;
  readonly #deletions = new Deletions();
  /** Files being written, and those that wait for a turn. */
  #creating = 0;
  readonly #createQueue: (() => void)[] = [];
  /** What could not be deleted, by name. */
  readonly #stuck = new Map<string, Stuck>();
  #stuckBytes = 0;
  #brokenUntil = Number.NEGATIVE_INFINITY;
  #lastError = '';
  #loggedAt = Number.NEGATIVE_INFINITY;
  /** Slots written; says whether any were since the last maintenance. */
  #slotWrites = 0;
  #slotWritesSeen = 0;
  #trimming: Promise<void> | undefined;

  constructor(options: BlockStorageOptions) {
    this.#io = options.io;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#onStuck = options.onStuck;
    this.#room = new DiskRoom(options.capacityBytes);
    this.slabs = new Slabs(options.io, options.dir, options.move);
  }

  /** Bytes of blocks that are forgotten and cannot be removed. */
  get stuckBytes(): number {
    return this.#stuckBytes;
  }

  get isBroken(): boolean {
    return this.#clock.monotonic() < this.#brokenUntil;
  }

  get lastError(): string {
    return this.#lastError;
  }

  /** Blocks found at start. */
  charge(bytes: number): void {
    this.#room.charge(bytes);
  }

  setCapacity(bytes: number): void {
    this.#room.setCapacity(bytes);
  }

  // -------------------------------------------------------------------------------------------
  // Slots of slabs

  /** Room for `count` slots, to be had from `takeSlots`; false: it may never come. */
  async acquireSlots(count: number): Promise<boolean> {
    return await this.#room.acquire(count * SLOT_BYTES);
  }

  /** Slots in a row, at most `count` of those acquired; undefined: the disk is in trouble. */
  async takeSlots(count: number): Promise<SlabRun | undefined> {
    for (;;) {
      const run = this.slabs.takeFree(count);
      if (run !== undefined) return run;
      const fresh = this.#fits() ? this.slabs.extend(count) : undefined;
      if (fresh !== undefined) return fresh;
      if (!(await this.#shrink())) return undefined;
    }
  }

  /** Gives back what was acquired and not taken. */
  releaseSlots(count: number): void {
    this.#room.release(count * SLOT_BYTES);
  }

  /** False: a failure, which was logged; `removeSlot` must follow for each. */
  async writeSlots(
    run: SlabRun,
    data: readonly Uint8Array[],
    tails: readonly Uint8Array[],
  ): Promise<boolean> {
    this.#slotWrites += run.count;
    try {
      await this.slabs.write(run, data, tails);
      return true;
    } catch (error) {
      this.failed('write', `slab ${run.slab}`, error);
      return false;
    } finally {
      this.slabs.written(run);
    }
  }

  /** Nobody reads it any more. */
  removeSlot(place: number): void {
    this.slabs.retire(place);
    this.#remove(`slab place ${place}`, {
      work: async () => {
        await this.slabs.erase(place);
      },
      freed: () => {
        this.slabs.release(place);
      },
      bytes: SLOT_BYTES,
    });
  }

  // -------------------------------------------------------------------------------------------
  // Files

  /** False: no room, or a failure, which was logged. Nothing is left of the file then. */
  async writeFile(path: string, bytes: number, parts: readonly Uint8Array[]): Promise<boolean> {
    await this.#deletions.settled(path);
    if (this.#stuck.has(path) || !(await this.#room.acquire(bytes))) return false;
    while (!this.#fits()) {
      if (await this.#shrink()) continue;
      this.#room.release(bytes);
      return false;
    }
    try {
      await this.#create(path, parts);
      return true;
    } catch (error) {
      this.failed('write', path, error);
      this.removeFile(path, bytes);
      return false;
    }
  }

  /** Readers that have it open may go on. */
  removeFile(path: string, bytes: number): void {
    const work = async (): Promise<void> => {
      await removeBlockFile(this.#io, path);
    };
    this.#remove(path, { work, freed: () => undefined, bytes });
  }

  // -------------------------------------------------------------------------------------------
  // Giving disk back

  /** Resolves when everything removed is gone and idle slots are within the capacity. */
  async settled(): Promise<void> {
    await this.#deletions.allSettled();
    while (!this.#fits()) if (!(await this.#shrink())) return;
  }

  /** Resolves when everything removed is gone and no slot is idle. */
  async giveBackIdle(): Promise<void> {
    await this.#deletions.allSettled();
    while (this.slabs.idle > 0) if (!(await this.#shrink())) return;
  }

  /** Called about four times a second. */
  maintain(): void {
    this.#retryStuck();
    const quiet = this.#slotWrites === this.#slotWritesSeen;
    this.#slotWritesSeen = this.#slotWrites;
    // While blocks come in they take the free slots again.
    const due = !this.#fits() || (quiet && this.slabs.endsFree);
    if (!due || this.isBroken) return;
    this.#trimming ??= this.#shrink().then(() => {
      this.#trimming = undefined;
    });
  }

  /** After it the disk is left alone. Readers and writers must have ended. */
  async close(): Promise<void> {
    await this.#deletions.allSettled();
    this.slabs.interrupt();
    await this.#trimming;
    await this.slabs.close();
  }

  #retryStuck(): void {
    if (this.#stuck.size === 0 || this.isBroken) return;
    let tries = 0;
    for (const [name, stuck] of this.#stuck) {
      tries += 1;
      if (tries > STUCK_RETRY_MAX) break;
      this.#stuck.delete(name);
      this.#stuckBytes -= stuck.bytes;
      this.#remove(name, stuck);
    }
    this.#onStuck();
  }

  /** Whether what is on the disk is within the capacity, with idle slots. */
  #fits(): boolean {
    const { idle } = this.slabs;
    return idle === 0 || this.#room.usedBytes + idle * SLOT_BYTES <= this.#room.capacityBytes;
  }

  /** False: nothing is idle any more, or the disk is in trouble. */
  async #shrink(): Promise<boolean> {
    try {
      return await this.slabs.shrink();
    } catch (error) {
      this.failed('shrink', 'slabs', error);
      return false;
    }
  }

  #remove(name: string, { work, freed, bytes }: Stuck): void {
    this.#deletions.add(name, work, (error) => {
      if (error === undefined) {
        freed();
        this.#room.release(bytes);
        return;
      }
      this.#stuck.set(name, { work, freed, bytes });
      this.#stuckBytes += bytes;
      this.failed('delete', name, error);
      this.#room.refuseWaiting();
      this.slabs.interrupt();
      this.#onStuck();
    });
  }

  /** A few at a time: more only wait for each other inside the file system, and spin meanwhile. */
  async #create(path: string, parts: readonly Uint8Array[]): Promise<void> {
    if (this.#creating >= CREATING_MAX) {
      await new Promise<void>((resolve) => {
        this.#createQueue.push(resolve);
      });
    } else {
      this.#creating += 1;
    }
    try {
      await createBlockFile(this.#io, path, parts);
    } finally {
      const next = this.#createQueue.shift();
      if (next === undefined) this.#creating -= 1;
      else next();
    }
  }

  failed(operation: 'write' | 'delete' | 'shrink', name: string, error: unknown): void {
    this.writeErrors += 1;
    this.#brokenUntil = this.#clock.monotonic() + BACK_OFF_MS;
    this.#lastError = errorCode(error);
    this.warn(`the cache cannot ${operation} a block; reads go to the store`, name, error);
  }

  /** At most one line a minute: a broken disk fails thousands of times a second. */
  warn(event: string, path: string, error: unknown): void {
    const now = this.#clock.monotonic();
    if (now - this.#loggedAt < LOG_INTERVAL_MS) return;
    this.#loggedAt = now;
    this.#log.warn(event, { path, error: errorCode(error) });
  }
}
