/**
 * The LRU order on disk: which blocks, from cold to hot per queue. A help, not the truth: the
 * truth is the block files, which a start compares it with (rebuild.ts).
 *
 * `header | (object record | block record)* | crc32`; an object stands before its first block.
 */
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { errorCode, readBlockFile, writeAll } from './block_files.ts';
import type { BlockIo } from './block_files.ts';
import type { BlockIndex, BlockOwner, IndexedObject, ObjectIdentity } from './block_index.ts';
import { isQueueNumber } from './cache_object.ts';
import type { QueueNumber } from './cache_object.ts';
import type { CacheQueues } from './queues.ts';

const MAGIC = 0x6b6c_5354;
const VERSION = 1;
const HEADER_BYTES = 8;
/** kind, place, size, index offset, vault, tablet, partition, length of the key */
const OBJECT_BYTES = 1 + 4 + 5 * 8 + 2;
/** kind, place, block, queue, expiry */
const BLOCK_BYTES = 1 + 4 + 4 + 1 + 4;
const OBJECT_RECORD = 0x4f;
const BLOCK_RECORD = 0x42;
/** Blocks between two turns of the event loop: well below a millisecond. */
const STEP_BLOCKS = 2048;
const QUEUES: readonly QueueNumber[] = [0, 1, 2, 3];

export function snapshotPath(dir: string): string {
  return join(dir, 'index.snapshot');
}

export function temporarySnapshotPath(dir: string): string {
  return join(dir, 'index.snapshot.tmp');
}

/** Writes the order of all queues; the old snapshot stays until the new one is whole. */
export async function writeSnapshot(
  io: BlockIo,
  dir: string,
  queues: CacheQueues,
  index: BlockIndex,
): Promise<void> {
  const temporary = temporarySnapshotPath(dir);
  await io.mkdir(dir);
  const fd = await io.open(temporary, 'w');
  try {
    let crc = 0;
    for (const chunk of chunks(queues, index)) {
      crc = crc32(chunk, crc);
      await writeAll(io, fd, [chunk]);
    }
    const end = Buffer.alloc(4);
    end.writeUInt32LE(crc);
    await writeAll(io, fd, [end]);
  } finally {
    await io.close(fd);
  }
  await io.rename(temporary, snapshotPath(dir));
}

function* chunks(queues: CacheQueues, index: BlockIndex): Generator<Buffer, void, undefined> {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(MAGIC, 0);
  header.writeUInt32LE(VERSION, 4);
  yield header;
  // By place; a place that another object took meanwhile is described again.
  const described = new Map<number, IndexedObject>();
  for (const queue of QUEUES) {
    // Blocks touched during the walk come again at its end; without a bound it might not end.
    let budget = 2 * queues.queueBlocks(queue) + STEP_BLOCKS;
    let more = true;
    for (let restart = true; more && budget > 0; restart = false) {
      const records: Buffer[] = [];
      more = queues.walk(queue, restart, STEP_BLOCKS, (slot) => {
        // A block that is being written is in its queue, but not yet in the index.
        const owner = index.ownerIfAny(slot);
        if (owner !== undefined) describe(owner, queue, queues.expiryOf(slot), described, records);
      });
      budget -= STEP_BLOCKS;
      if (records.length > 0) yield Buffer.concat(records);
    }
  }
}

function describe(
  { object, block }: BlockOwner,
  queue: QueueNumber,
  expirySec: number,
  described: Map<number, IndexedObject>,
  records: Buffer[],
): void {
  if (described.get(object.place) !== object) {
    described.set(object.place, object);
    records.push(objectRecord(object));
  }
  const record = Buffer.allocUnsafe(BLOCK_BYTES);
  record.writeUInt8(BLOCK_RECORD, 0);
  record.writeUInt32LE(object.place, 1);
  record.writeUInt32LE(block, 5);
  record.writeUInt8(queue, 9);
  record.writeUInt32LE(expirySec, 10);
  records.push(record);
}

function objectRecord(object: IndexedObject): Buffer {
  const record = Buffer.allocUnsafe(OBJECT_BYTES + object.keyBytes);
  record.writeUInt8(OBJECT_RECORD, 0);
  record.writeUInt32LE(object.place, 1);
  record.writeDoubleLE(object.size, 5);
  record.writeDoubleLE(object.indexOffset, 13);
  record.writeDoubleLE(object.vaultId, 21);
  record.writeDoubleLE(object.tabletId, 29);
  record.writeDoubleLE(object.partitionId, 37);
  record.writeUInt16LE(object.keyBytes, 45);
  record.write(object.key, OBJECT_BYTES, 'utf8');
  return record;
}

export interface SnapshotBlock {
  readonly object: ObjectIdentity;
  readonly block: number;
  readonly queue: QueueNumber;
  readonly expirySec: number;
}

/** The bytes of the last snapshot; undefined when there is none or it is damaged. */
export async function readSnapshot(io: BlockIo, dir: string): Promise<Buffer | undefined> {
  const path = snapshotPath(dir);
  const size = io.size(path);
  if (size === undefined || size < HEADER_BYTES + 4) return undefined;
  let bytes: Uint8Array | undefined;
  try {
    bytes = await readBlockFile(io, path, size);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  if (bytes === undefined) return undefined;
  const snapshot = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (snapshot.readUInt32LE(0) !== MAGIC || snapshot.readUInt32LE(4) !== VERSION) return undefined;
  const body = snapshot.subarray(0, -4);
  return crc32(body) === snapshot.readUInt32LE(size - 4) ? body : undefined;
}

/** Cold to hot per queue. A block may come twice: then the later place counts. */
export function* snapshotBlocks(body: Buffer): Generator<SnapshotBlock, void, undefined> {
  const objects = new Map<number, ObjectIdentity>();
  let place = HEADER_BYTES;
  while (place < body.length) {
    const at = place;
    const number = body.readUInt32LE(at + 1);
    if (body.readUInt8(at) === OBJECT_RECORD) {
      const keyBytes = body.readUInt16LE(at + 45);
      place = at + OBJECT_BYTES + keyBytes;
      objects.set(number, {
        size: body.readDoubleLE(at + 5),
        indexOffset: body.readDoubleLE(at + 13),
        vaultId: body.readDoubleLE(at + 21),
        tabletId: body.readDoubleLE(at + 29),
        partitionId: body.readDoubleLE(at + 37),
        key: body.toString('utf8', at + OBJECT_BYTES, place),
      });
      continue;
    }
    place = at + BLOCK_BYTES;
    const object = objects.get(number);
    const queue = body.readUInt8(at + 9);
    if (object === undefined || !isQueueNumber(queue)) continue;
    const expirySec = body.readUInt32LE(at + 10);
    yield { object, block: body.readUInt32LE(at + 5), queue, expirySec };
  }
}
