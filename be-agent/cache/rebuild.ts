/**
 * Start: what is in the cache is what whole block files say, in the order the snapshot remembers.
 * A file of the snapshot is taken by its name and size (a torn one is shorter); any other file is
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
import { blockCharge } from './block_index.ts';
import type { BlockIndex, ObjectIdentity } from './block_index.ts';
import { blockCount, blockLength, objectName } from './cache_object.ts';
import type { QueueNumber } from './cache_object.ts';
import type { CacheQueues } from './queues.ts';
import { readSnapshot, snapshotBlocks, temporarySnapshotPath } from './snapshot.ts';

const PREFIX = /^[0-9a-f]$/;
/** Files looked at between two turns of the event loop, about a millisecond. */
const STEP_FILES = 256;

export interface RebuildResult {
  readonly blocks: number;
  /** Files that the snapshot did not know. */
  readonly unknown: number;
  /** Files removed because they were torn or foreign to the format. */
  readonly dropped: number;
  /** Blocks of the snapshot that have no file. */
  readonly missing: number;
}

export interface RebuildTarget {
  readonly io: BlockIo;
  readonly dir: string;
  readonly queues: CacheQueues;
  readonly index: BlockIndex;
  readonly log: Log;
}

export async function rebuild(target: RebuildTarget): Promise<RebuildResult> {
  await removeBlockFile(target.io, temporarySnapshotPath(target.dir));
  const remembered = new Remembered();
  const body = await readSnapshot(target.io, target.dir);
  if (body !== undefined) await remembered.read(body);
  const scan = new Scan(target, remembered);
  await scan.run();
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
}

/** What the snapshot says, in its order; columns, because there may be a million rows. */
class Remembered {
  readonly byDigest = new Map<string, KnownObject>();
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

  #know(object: ObjectIdentity): KnownObject {
    const digest = objectHash(object.vaultId, object.key);
    const known = this.byDigest.get(digest) ?? {
      object,
      keyBytes: Buffer.byteLength(object.key),
      states: new Uint8Array(blockCount(object.size)),
    };
    this.byDigest.set(digest, known);
    return known;
  }
}

class Scan {
  readonly #target: RebuildTarget;
  readonly #remembered: Remembered;
  readonly #unknown: BlockTail[] = [];
  #files = 0;
  #dropped = 0;

  constructor(target: RebuildTarget, remembered: Remembered) {
    this.#target = target;
    this.#remembered = remembered;
  }

  async run(): Promise<void> {
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
    const known = this.#remembered.byDigest.get(digest);
    if (known?.states[block] === LISTED) {
      const data = blockLength(known.object.size, block);
      if (blockFileBytes(data, known.keyBytes) !== size) return false;
      known.states[block] = FOUND;
      return true;
    }
    const tail = await this.#tail(path, size);
    if (tail?.block !== block || objectHash(tail.vaultId, tail.key) !== digest) return false;
    if (tail.dataBytes !== blockLength(tail.size, block)) return false;
    if (known !== undefined && known.object.size !== tail.size) return false;
    this.#unknown.push(tail);
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
      if (this.#insertOne(known.object, block, queue, expiries[row] ?? 0)) inserted += 1;
    }
    for (const tail of this.#unknown) {
      if (this.#insertOne(tail, tail.block, tail.queue, tail.expirySec)) inserted += 1;
      else await this.#drop(blockPathOf(this.#target.dir, tail));
    }
    return { blocks: inserted, unknown: this.#unknown.length, dropped: this.#dropped, missing };
  }

  /** False: the index holds another object under this name. */
  #insertOne(
    identity: ObjectIdentity,
    block: number,
    queue: QueueNumber,
    expirySec: number,
  ): boolean {
    const { queues, index } = this.#target;
    const object = index.entry(objectName(identity.vaultId, identity.key), identity);
    if (object.size !== identity.size) return false;
    const slot = queues.insertCold(queue, blockCharge(object, block), expirySec);
    index.attach(object, block, slot);
    return true;
  }
}

function blockPathOf(dir: string, tail: BlockTail): string {
  return blockPath(dir, objectHash(tail.vaultId, tail.key), tail.block);
}
