/**
 * Start: what is in the cache is what the rows of slabs and whole block files say, in the order the
 * snapshot remembers. Rows are read in long stretches, and a row that is whole is that of a block
 * that was whole when it was written; blocks whose data the slab is too short for are dropped. A file of the snapshot is taken by its name and size (a torn one is shorter); any other file is
 * opened and its trailer checked. File system calls that are quick when the metadata is cached run
 * synchronously, in small steps: as promises 100,000 of them cost several times the CPU.
 */
import { blockFileBytes } from '../../base/cache_charge.ts';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Log } from '../../base/ports.ts';
import { TAIL_BYTES_MAX, blockPath, decodeTail, parseBlockName, objectHash } from './block_file.ts';
import type { BlockTail } from './block_file.ts';
import { errorCode, readFileEnd, removeBlockFile } from './block_files.ts';
import type { BlockIo } from './block_files.ts';
import { BLOCK_BYTES } from '../../base/schema.ts';
import { blockCharge } from './block_index.ts';
import type { BlockIndex, ObjectIdentity } from './block_index.ts';
import type { BlockPlaces } from './block_places.ts';
import { blockCount, blockLength, objectName } from './cache_object.ts';
import type { QueueNumber } from './cache_object.ts';
import type { CacheQueues } from './queues.ts';
import { SLABS, SLAB_ROW_BYTES, placeOf } from './slabs.ts';
import type { Slabs } from './slabs.ts';
import { readSnapshot, snapshotBlocks, temporarySnapshotPath } from './snapshot.ts';

const PREFIX = /^[0-9a-f]$/;
/** Files looked at between two turns of the event loop, about a millisecond. */
const STEP_FILES = 256;

export interface RebuildResult {
  readonly blocks: number;
  /** Blocks that the snapshot did not know. */
  readonly unknown: number;
  /** Files and rows removed because they were torn or foreign to the format. */
  readonly dropped: number;
  /** Blocks of the snapshot that are not there. */
  readonly missing: number;
}

export interface RebuildTarget {
  readonly io: BlockIo;
  readonly dir: string;
  readonly queues: CacheQueues;
  readonly index: BlockIndex;
  readonly places: BlockPlaces;
  readonly slabs: Slabs;
  readonly log: Log;
}

export async function rebuild(target: RebuildTarget): Promise<RebuildResult> {
  await removeBlockFile(target.io, temporarySnapshotPath(target.dir));
  const remembered = new Remembered();
  const body = await readSnapshot(target.io, target.dir);
  if (body !== undefined) await remembered.read(body);
  const scan = new Scan(target, remembered);
  for (let slab = 0; slab < SLABS; slab += 1) await scan.slab(slab);
  await scan.files();
  return await scan.insert();
}

const LISTED = 1;
const FOUND = 2;
const INSERTED = 3;

interface KnownObject {
  readonly object: ObjectIdentity;
  readonly keyBytes: number;
  /** Per block: 0: not listed in the snapshot, LISTED, FOUND on disk, INSERTED in the index. */
  readonly states: Uint8Array;
  /** By block, of those found in slabs. */
  readonly inSlabs: Map<number, SlabBlock>;
}

interface SlabBlock {
  readonly place: number;
  readonly crc: number;
}

/** What the snapshot says, in its order; columns, because there may be a million rows. */
class Remembered {
  readonly byName = new Map<string, KnownObject>();
  /** Made for the first file: a digest costs more than reading a row. */
  #byDigest: Map<string, KnownObject> | undefined;
  readonly objects: KnownObject[] = [];
  readonly blocks: number[] = [];
  readonly queues: QueueNumber[] = [];
  readonly expiries: number[] = [];

  async read(body: Buffer): Promise<void> {
    const known = new Map<ObjectIdentity, KnownObject>();
    for (const { object, block, queue, expirySec } of snapshotBlocks(body)) {
      if (this.blocks.length % (8 * STEP_FILES) === 0) await nextTurn();
      const owner = known.get(object) ?? this.#know(object);
      known.set(object, owner);
      if (block >= owner.states.length) continue;
      owner.states[block] = LISTED;
      this.objects.push(owner);
      this.blocks.push(block);
      this.queues.push(queue);
      this.expiries.push(expirySec);
    }
  }

  ofDigest(digest: string): KnownObject | undefined {
    if (this.#byDigest === undefined) {
      this.#byDigest = new Map();
      for (const known of this.byName.values()) {
        const { vaultId, key } = known.object;
        this.#byDigest.set(objectHash(vaultId, key), known);
      }
    }
    return this.#byDigest.get(digest);
  }

  #know(object: ObjectIdentity): KnownObject {
    const name = objectName(object.vaultId, object.key);
    const known = this.byName.get(name) ?? {
      object,
      keyBytes: Buffer.byteLength(object.key),
      states: new Uint8Array(blockCount(object.size)),
      inSlabs: new Map<number, SlabBlock>(),
    };
    this.byName.set(name, known);
    return known;
  }
}

/** A whole block that the snapshot does not know. */
interface Unknown {
  readonly tail: BlockTail;
  /** undefined: a file. */
  readonly inSlab: SlabBlock | undefined;
}

class Scan {
  readonly #target: RebuildTarget;
  readonly #remembered: Remembered;
  readonly #unknown: Unknown[] = [];
  /** `<name>#<block>` of those in slabs: a copy that a move left behind counts once. */
  readonly #unknownNames = new Set<string>();
  #files = 0;
  #dropped = 0;

  constructor(target: RebuildTarget, remembered: Remembered) {
    this.#target = target;
    this.#remembered = remembered;
  }

  async slab(slab: number): Promise<void> {
    const { slabs } = this.#target;
    const wholeSlots = slabs.wholeSlots(slab);
    for await (const { first, rows } of slabs.rows(slab)) {
      const bad: number[] = [];
      for (let at = 0; at < rows.length; at += SLAB_ROW_BYTES) {
        const slot = first + at / SLAB_ROW_BYTES;
        const row = rows.subarray(at, at + SLAB_ROW_BYTES);
        // Never written, or erased.
        if (row.readUInt32LE(SLAB_ROW_BYTES - 4) === 0) continue;
        const whole = slot < wholeSlots && this.#row(row, placeOf(slab, slot));
        if (!whole) bad.push(placeOf(slab, slot));
      }
      for (const place of bad) await this.#erase(place);
    }
  }

  /** Whether the row is that of a block that is not found elsewhere. */
  #row(row: Buffer, place: number): boolean {
    const tail = decodeTail(row);
    if (tail === undefined || tail.dataBytes !== BLOCK_BYTES) return false;
    if (blockLength(tail.size, tail.block) !== BLOCK_BYTES) return false;
    const name = objectName(tail.vaultId, tail.key);
    const known = this.#remembered.byName.get(name);
    if (known !== undefined && known.object.size !== tail.size) return false;
    const found = { place, crc: tail.dataCrc };
    const state = known?.states[tail.block];
    if (known !== undefined && state === LISTED) {
      known.states[tail.block] = FOUND;
      known.inSlabs.set(tail.block, found);
      return true;
    }
    const blockName = `${name}#${tail.block}`;
    if (state === FOUND || this.#unknownNames.has(blockName)) return false;
    this.#unknownNames.add(blockName);
    this.#unknown.push({ tail, inSlab: found });
    return true;
  }

  async #erase(place: number): Promise<void> {
    this.#dropped += 1;
    try {
      await this.#target.slabs.erase(place);
    } catch (error) {
      // Its data is checked against its row in any case.
      this.#target.log.warn('a row of a slab cannot be erased', { error: errorCode(error) });
    }
  }

  async files(): Promise<void> {
    const { io, dir } = this.#target;
    for (const prefix of await io.readdir(dir)) {
      if (!PREFIX.test(prefix)) continue;
      for (const name of await io.readdir(join(dir, prefix))) {
        this.#files += 1;
        if (this.#files % STEP_FILES === 0) await nextTurn();
        const path = join(dir, prefix, name);
        const size = io.size(path);
        // Not ours: a directory, a link.
        if (size === undefined) continue;
        const named = parseBlockName(prefix, name);
        const whole = named !== undefined && (await this.#file(path, size, named));
        if (!whole) await this.#drop(path);
      }
    }
  }

  /** Whether the file is a whole block. */
  async #file(
    path: string,
    size: number,
    { digest, block }: { readonly digest: string; readonly block: number },
  ): Promise<boolean> {
    const known = this.#remembered.ofDigest(digest);
    if (known?.states[block] === LISTED) {
      const data = blockLength(known.object.size, block);
      if (blockFileBytes(data, known.keyBytes) !== size) return false;
      known.states[block] = FOUND;
      return true;
    }
    const tail = await this.#tail(path, size);
    // Found in a slab: a file of an older version that could not be deleted.
    if (known?.states[block] === FOUND) return false;
    if (tail?.block !== block || objectHash(tail.vaultId, tail.key) !== digest) return false;
    if (tail.dataBytes !== blockLength(tail.size, block)) return false;
    if (known !== undefined && known.object.size !== tail.size) return false;
    const name = `${objectName(tail.vaultId, tail.key)}#${block}`;
    if (this.#unknownNames.has(name)) return false;
    this.#unknown.push({ tail, inSlab: undefined });
    return true;
  }

  async #tail(path: string, size: number): Promise<BlockTail | undefined> {
    try {
      const end = await readFileEnd(this.#target.io, path, size, TAIL_BYTES_MAX);
      return end === undefined ? undefined : decodeTail(end, size);
    } catch (error) {
      this.#target.log.warn('a cached block cannot be read', { path, error: errorCode(error) });
      return undefined;
    }
  }

  async #drop(path: string): Promise<void> {
    this.#dropped += 1;
    await removeBlockFile(this.#target.io, path);
  }

  /** Hot to cold, each at the cold end; what the snapshot did not know comes last. */
  async insert(): Promise<RebuildResult> {
    const { objects, blocks, queues, expiries } = this.#remembered;
    let inserted = 0;
    let missing = 0;
    for (let row = objects.length - 1; row >= 0; row -= 1) {
      if (row % (8 * STEP_FILES) === 0) await nextTurn();
      const known = objects[row];
      const block = blocks[row];
      const queue = queues[row];
      if (known === undefined || block === undefined || queue === undefined) continue;
      if (known.states[block] === LISTED) missing += 1;
      if (known.states[block] !== FOUND) continue;
      known.states[block] = INSERTED;
      const inSlab = known.inSlabs.get(block);
      const expirySec = expiries[row] ?? 0;
      if (this.#insertOne(known.object, { block, queue, expirySec }, inSlab)) inserted += 1;
    }
    for (const { tail, inSlab } of this.#unknown) {
      if (this.#insertOne(tail, tail, inSlab)) inserted += 1;
      else if (inSlab === undefined) await this.#drop(blockPathOf(this.#target.dir, tail));
      else await this.#erase(inSlab.place);
    }
    return { blocks: inserted, unknown: this.#unknown.length, dropped: this.#dropped, missing };
  }

  /** False: the index holds another object under this name. */
  #insertOne(
    identity: ObjectIdentity,
    { block, queue, expirySec }: Pick<BlockTail, 'block' | 'queue' | 'expirySec'>,
    inSlab: SlabBlock | undefined,
  ): boolean {
    const { queues, index, places, slabs } = this.#target;
    const object = index.entry(objectName(identity.vaultId, identity.key), identity);
    if (object.size !== identity.size) return false;
    const slot = queues.insertCold(queue, blockCharge(object, block), expirySec);
    index.attach(object, block, slot);
    if (inSlab !== undefined) {
      places.inSlab(slot, inSlab.place, inSlab.crc);
      slabs.restore(inSlab.place, slot);
    }
    return true;
  }
}

function blockPathOf(dir: string, tail: BlockTail): string {
  return blockPath(dir, objectHash(tail.vaultId, tail.key), tail.block);
}
