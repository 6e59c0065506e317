/**
 * Whole blocks (1 MiB of data) share a few large files, the slabs: making a file costs up to ten
 * times what writing a megabyte into an open one does (docs/adr/0007-cache-slabs.md).
 *
 * `slab_<n>` is data alone, slot after slot of 1 MiB; `slab_<n>.rows` has a row per slot, `0.. |
 * key | trailer` as behind the data of a block's own file, so that a start reads the rows alone.
 * Order on disk: data, then its row; a slot is used again only after its row was erased. So a row
 * that survives a killed process is that of a whole block.
 */
import { join } from 'node:path';
import { BLOCK_BYTES } from '../../base/schema.ts';
import { readFully, writeAll } from './block_files.ts';
import type { BlockIo } from './block_files.ts';
import { SlabSpace } from './slab_space.ts';
import type { SlotRun } from './slab_space.ts';

/**
 * Two writes into the same file wait for each other, spinning, inside the kernel: as many files as
 * a warm-up has downloads at once by default. All are kept open.
 */
export const SLABS = 8;
/** Room for a key of 1024 bytes and the trailer; less than the unit of 4 KiB charged for them. */
export const SLAB_ROW_BYTES = 1152;
const ROWS_AT_ONCE = 256;
const ERASED_ROW = new Uint8Array(SLAB_ROW_BYTES);

interface OpenSlab {
  readonly data: number;
  readonly rows: number;
}

export interface SlabRun extends SlotRun {
  readonly slab: number;
}

/**
 * Moves a block between two places: `copy`, `moved`, and it resolves when nobody reads the old one.
 * False: there is no such block any more. When it rejects the block is where it was.
 */
export type MoveBlock = (owner: number, from: number, to: number) => Promise<boolean>;

export function slabPath(dir: string, slab: number): string {
  return join(dir, `slab_${slab}`);
}

export function slabRowsPath(dir: string, slab: number): string {
  return join(dir, `slab_${slab}.rows`);
}

export function placesOf({ slab, first, count }: SlabRun): number[] {
  return Array.from({ length: count }, (_, step) => (first + step) * SLABS + slab);
}

/** A place is a slot of a slab, as one number. */
export class Slabs {
  readonly #io: BlockIo;
  readonly #dir: string;
  readonly #move: MoveBlock;
  readonly #spaces = Array.from({ length: SLABS }, () => new SlabSpace());
  readonly #open: (Promise<OpenSlab> | undefined)[] = [];
  #turn = 0;
  #closed = false;
  #shrinking: Promise<boolean> | undefined;
  readonly #waiting: ((changed: boolean) => void)[] = [];

  constructor(io: BlockIo, dir: string, move: MoveBlock) {
    this.#io = io;
    this.#dir = dir;
    this.#move = move;
  }

  /** Slots that take up disk and hold no block. */
  get idle(): number {
    return this.#spaces.reduce((sum, { idle }) => sum + idle, 0);
  }

  /** Free slots of one slab in a row, at most `limit`; `done` or `failed` must follow. */
  takeFree(limit: number): SlabRun | undefined {
    return this.#take(
      (space) => space.free > 0,
      (space) => space.takeFree(limit),
    );
  }

  /** New slots; the caller has made sure of the room. undefined: every slab is being shrunk. */
  extend(count: number): SlabRun | undefined {
    return this.#take(
      () => true,
      (space) => space.extend(count),
    );
  }

  /** From the slab with the fewest writers, taking turns. */
  #take(
    fits: (space: SlabSpace) => boolean,
    take: (space: SlabSpace) => SlotRun | undefined,
  ): SlabRun | undefined {
    let best: number | undefined;
    let fewest = Infinity;
    this.#turn += 1;
    for (let step = 0; step < SLABS; step += 1) {
      const slab = (this.#turn + step) % SLABS;
      const space = this.#space(slab);
      if (space.locked || !fits(space) || space.writers >= fewest) continue;
      best = slab;
      fewest = space.writers;
    }
    if (best === undefined) return undefined;
    const space = this.#space(best);
    const run = take(space);
    if (run === undefined) return undefined;
    space.writers += 1;
    return { slab: best, ...run };
  }

  /** The data of all slots of the run, then their rows. */
  async write(
    { slab, first, count }: SlabRun,
    data: readonly Uint8Array[],
    tails: readonly Uint8Array[],
  ): Promise<void> {
    const rows = Buffer.alloc(count * SLAB_ROW_BYTES);
    for (const [step, tail] of tails.entries()) {
      rows.set(tail, (step + 1) * SLAB_ROW_BYTES - tail.length);
    }
    const files = await this.#files(slab);
    await writeAll(this.#io, files.data, data, first * BLOCK_BYTES);
    await writeAll(this.#io, files.rows, [rows], first * SLAB_ROW_BYTES);
  }

  /** The run's write is over, well or not. */
  written({ slab }: SlabRun): void {
    this.#space(slab).writers -= 1;
    this.#changed();
  }

  setLive(place: number, owner: number): void {
    this.#space(place % SLABS).setLive(slotOf(place), owner);
    this.#changed();
  }

  /** The block is forgotten: `erase` and `release` come next. */
  retire(place: number): void {
    this.#space(place % SLABS).retire(slotOf(place));
  }

  /** After this a start does not find the block. */
  async erase(place: number): Promise<void> {
    const { rows } = await this.#files(place % SLABS);
    await writeAll(this.#io, rows, [ERASED_ROW], slotOf(place) * SLAB_ROW_BYTES);
  }

  release(place: number): void {
    this.#space(place % SLABS).release(slotOf(place));
    this.#changed();
  }

  /** False: the file is shorter. */
  async read(place: number, into: Uint8Array): Promise<boolean> {
    const { data } = await this.#files(place % SLABS);
    return await readFully(this.#io, data, into, slotOf(place) * BLOCK_BYTES);
  }

  /** For a `MoveBlock`: from now on the block is at `to`. `from` keeps its bytes until it is done. */
  moved(owner: number, from: number, to: number): void {
    this.#space(to % SLABS).setLive(slotOf(to), owner);
    this.#space(from % SLABS).retire(slotOf(from));
  }

  /** Data first, then the row, as in a write. */
  async copy(from: number, to: number): Promise<void> {
    const source = await this.#files(from % SLABS);
    const target = await this.#files(to % SLABS);
    const data = Buffer.allocUnsafeSlow(BLOCK_BYTES);
    const row = Buffer.alloc(SLAB_ROW_BYTES);
    await readFully(this.#io, source.data, data, slotOf(from) * BLOCK_BYTES);
    await readFully(this.#io, source.rows, row, slotOf(from) * SLAB_ROW_BYTES);
    await writeAll(this.#io, target.data, [data], slotOf(to) * BLOCK_BYTES);
    await writeAll(this.#io, target.rows, [row], slotOf(to) * SLAB_ROW_BYTES);
  }

  // -------------------------------------------------------------------------------------------
  // Giving disk back

  /**
   * One step: cuts free slots off a file's end, or moves a file's last block down, or waits until
   * one of that is possible. False: nothing is idle, or `interrupt`. One step at a time; a second caller hears how the running one went. Rejects
   * with the error of the disk.
   */
  async shrink(): Promise<boolean> {
    this.#shrinking ??= this.#shrink().finally(() => {
      this.#shrinking = undefined;
    });
    return await this.#shrinking;
  }

  async #shrink(): Promise<boolean> {
    if (await this.#cutAny()) return true;
    for (const [slab, space] of this.#spaces.entries()) {
      const move = space.beginMove();
      if (move === undefined) continue;
      space.locked = true;
      const to = placeOf(slab, move.to);
      try {
        const moved = await this.#move(move.owner, placeOf(slab, move.from), to);
        space.release(moved ? move.from : move.to);
        if (moved) return true;
      } catch (error) {
        space.release(move.to);
        throw error;
      } finally {
        space.locked = false;
      }
    }
    if (this.idle === 0) return false;
    // The last slots are being written or erased, or a reader holds them.
    return await new Promise<boolean>((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  /** Who waits for slots to become free hears that it may never be. */
  interrupt(): void {
    for (const go of this.#waiting.splice(0)) go(false);
  }

  /** Whether free slots at the end of any slab went. */
  async #cutAny(): Promise<boolean> {
    let cut = false;
    for (const [slab, space] of this.#spaces.entries()) {
      const count = space.trailingFree();
      if (count === 0) continue;
      const slots = space.high - count;
      space.locked = true;
      try {
        const { data, rows } = await this.#files(slab);
        await this.#io.truncate(data, slots * BLOCK_BYTES);
        await this.#io.truncate(rows, slots * SLAB_ROW_BYTES);
        space.cut(count);
        cut = true;
      } finally {
        space.locked = false;
      }
    }
    return cut;
  }

  /** Whether a slab ends in free slots. */
  get endsFree(): boolean {
    return this.#spaces.some((space) => space.trailingFree() > 0);
  }

  // -------------------------------------------------------------------------------------------
  // Start and end

  /** Rows of a slab in steps. From now on all of its slots are free, except what is restored. */
  async *rows(slab: number): AsyncGenerator<{ readonly first: number; readonly rows: Buffer }> {
    const dataBytes = this.#io.size(slabPath(this.#dir, slab)) ?? 0;
    const rowsBytes = this.#io.size(slabRowsPath(this.#dir, slab)) ?? 0;
    const slots = Math.max(
      Math.ceil(dataBytes / BLOCK_BYTES),
      Math.ceil(rowsBytes / SLAB_ROW_BYTES),
    );
    if (slots === 0) return;
    this.#space(slab).found(slots);
    const whole = Math.min(slots, Math.floor(rowsBytes / SLAB_ROW_BYTES));
    const files = await this.#files(slab);
    for (let first = 0; first < whole; first += ROWS_AT_ONCE) {
      const count = Math.min(ROWS_AT_ONCE, whole - first);
      const rows = Buffer.allocUnsafeSlow(count * SLAB_ROW_BYTES);
      if (!(await readFully(this.#io, files.rows, rows, first * SLAB_ROW_BYTES))) return;
      yield { first, rows };
    }
  }

  /** Slots whose data is wholly in the file. */
  wholeSlots(slab: number): number {
    return Math.floor((this.#io.size(slabPath(this.#dir, slab)) ?? 0) / BLOCK_BYTES);
  }

  /** A block found at start. */
  restore(place: number, owner: number): void {
    this.#space(place % SLABS).restore(slotOf(place), owner);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const [slab, opening] of this.#open.entries()) {
      this.#open[slab] = undefined;
      if (opening === undefined) continue;
      const { data, rows } = await opening;
      // What a close reports too late to be told to anybody, checksums find out.
      await Promise.allSettled([this.#io.close(data), this.#io.close(rows)]);
    }
  }

  #space(slab: number): SlabSpace {
    const space = this.#spaces[slab];
    if (space === undefined) throw new Error(`there is no slab ${slab}`);
    return space;
  }

  async #files(slab: number): Promise<OpenSlab> {
    // A closed number may be that of another file by now.
    if (this.#closed) throw Object.assign(new Error('the cache is closed'), { code: 'EBADF' });
    const opening = this.#open[slab] ?? this.#openFiles(slab);
    this.#open[slab] = opening;
    try {
      return await opening;
    } catch (error) {
      if (this.#open[slab] === opening) this.#open[slab] = undefined;
      throw error;
    }
  }

  async #openFiles(slab: number): Promise<OpenSlab> {
    await this.#io.mkdir(this.#dir);
    const data = await this.#io.open(slabPath(this.#dir, slab), 'rw');
    try {
      return { data, rows: await this.#io.open(slabRowsPath(this.#dir, slab), 'rw') };
    } catch (error) {
      await this.#io.close(data);
      throw error;
    }
  }

  #changed(): void {
    for (const go of this.#waiting.splice(0)) go(true);
  }
}

export function placeOf(slab: number, slot: number): number {
  return slot * SLABS + slab;
}

function slotOf(place: number): number {
  return Math.floor(place / SLABS);
}
