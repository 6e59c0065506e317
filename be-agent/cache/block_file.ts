/**
 * The form of a block that has a file of its own, since it is shorter than 1 MiB (older versions
 * wrote all so): `data | key | trailer`, at `<dir>/<hash[0]>/<hash>_<offset>`. Whole blocks lie in
 * slabs, with the same tail in a row (slabs.ts). Sixteen directories for all files, since making
 * one for every object costs as much as making a file (0.4 to 0.8 ms of CPU where it was measured).
 * The trailer says everything that the index knows, so that a start rebuilds it, and carries
 * checksums, so that a torn or rotten block is not served.
 */
import { hash } from 'node:crypto';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { CACHE_TRAILER_BYTES, blockFileBytes } from '../../base/cache_charge.ts';
import { BLOCK_BYTES } from '../../base/schema.ts';
import { isQueueNumber, objectName } from './cache_object.ts';
import type { QueueNumber } from './cache_object.ts';

const MAGIC = 0x6b6c_4254;
const VERSION = 1;

export interface BlockHeader {
  readonly vaultId: number;
  readonly key: string;
  /** bytes of the whole object */
  readonly size: number;
  readonly indexOffset: number;
  readonly tabletId: number;
  readonly partitionId: number;
  readonly block: number;
  readonly queue: QueueNumber;
  /** Seconds since the epoch; 0 = never. */
  readonly expirySec: number;
}

/** 32 hex digits: 128 bits of SHA-256 over vault and key. */
export function objectHash(vaultId: number, key: string): string {
  return hash('sha256', objectName(vaultId, key), 'hex').slice(0, 32);
}

export function blockPath(dir: string, digest: string, block: number): string {
  return join(dir, digest.slice(0, 1), `${digest}_${block * BLOCK_BYTES}`);
}

/** The reverse, from directory and name; undefined: not the name of a block here. */
export function parseBlockName(
  prefix: string,
  name: string,
): { readonly digest: string; readonly block: number } | undefined {
  const [, digest, offset] = /^([0-9a-f]{32})_(\d{1,15})$/.exec(name) ?? [];
  const block = Number(offset) / BLOCK_BYTES;
  if (digest === undefined || !digest.startsWith(prefix)) return undefined;
  return Number.isInteger(block) ? { digest, block } : undefined;
}

/** Key and trailer, to be written behind the data, or into a slab's row. */
export function encodeTail(header: BlockHeader, dataBytes: number, dataCrc: number): Uint8Array {
  const key = Buffer.from(header.key, 'utf8');
  const tail = Buffer.alloc(key.length + CACHE_TRAILER_BYTES);
  key.copy(tail);
  let place = key.length;
  place = tail.writeUInt32LE(MAGIC, place);
  place = tail.writeUInt16LE(VERSION, place);
  place = tail.writeUInt8(header.queue, place);
  place = tail.writeUInt8(0, place);
  place = tail.writeDoubleLE(header.expirySec * 1000, place);
  place = tail.writeDoubleLE(header.size, place);
  place = tail.writeDoubleLE(header.indexOffset, place);
  place = tail.writeDoubleLE(header.vaultId, place);
  place = tail.writeDoubleLE(header.tabletId, place);
  place = tail.writeDoubleLE(header.partitionId, place);
  place = tail.writeUInt32LE(header.block, place);
  place = tail.writeUInt32LE(dataBytes, place);
  place = tail.writeUInt32LE(key.length, place);
  place = tail.writeUInt32LE(dataCrc, place);
  place += 4;
  tail.writeUInt32LE(crc32(tail.subarray(0, place)), place);
  return tail;
}

export interface BlockTail extends BlockHeader {
  readonly dataBytes: number;
  readonly dataCrc: number;
}

/** Longest tail: a key has at most 1024 bytes. */
export const TAIL_BYTES_MAX = 1024 + CACHE_TRAILER_BYTES;

/**
 * Reads a tail from the end of a file of `size` bytes, or of a slab's row; undefined when it is not
 * that of a block, or the file is not a whole one. `end` holds at least the last `TAIL_BYTES_MAX`
 * bytes, or all.
 */
export function decodeTail(end: Uint8Array, size?: number): BlockTail | undefined {
  const bytes = Buffer.from(end.buffer, end.byteOffset, end.byteLength);
  let place = bytes.length - CACHE_TRAILER_BYTES;
  if (place < 0 || bytes.readUInt32LE(place) !== MAGIC) return undefined;
  if (bytes.readUInt16LE(place + 4) !== VERSION) return undefined;
  const queue = bytes.readUInt8(place + 6);
  const keyBytes = bytes.readUInt32LE(place + 64);
  const keyStart = place - keyBytes;
  if (keyStart < 0 || !isQueueNumber(queue)) return undefined;
  const crcPlace = bytes.length - 4;
  if (crc32(bytes.subarray(keyStart, crcPlace)) !== bytes.readUInt32LE(crcPlace)) return undefined;
  const dataBytes = bytes.readUInt32LE(place + 60);
  if (dataBytes > BLOCK_BYTES) return undefined;
  if (size !== undefined && blockFileBytes(dataBytes, keyBytes) !== size) return undefined;
  place += 8;
  return {
    key: bytes.toString('utf8', keyStart, keyStart + keyBytes),
    queue,
    expirySec: Math.floor(bytes.readDoubleLE(place) / 1000),
    size: bytes.readDoubleLE(place + 8),
    indexOffset: bytes.readDoubleLE(place + 16),
    vaultId: bytes.readDoubleLE(place + 24),
    tabletId: bytes.readDoubleLE(place + 32),
    partitionId: bytes.readDoubleLE(place + 40),
    block: bytes.readUInt32LE(place + 48),
    dataBytes,
    dataCrc: bytes.readUInt32LE(place + 60),
  };
}

/**
 * The data of a whole block file, or undefined when it is not exactly this block: other length,
 * wrong checksum, another object under the same hash.
 */
export function verifiedData(
  file: Uint8Array,
  vaultId: number,
  key: string,
  block: number,
): Uint8Array | undefined {
  const tail = decodeTail(file, file.length);
  if (tail?.vaultId !== vaultId || tail.key !== key || tail.block !== block) return undefined;
  const data = file.subarray(0, tail.dataBytes);
  return crc32(data) === tail.dataCrc ? data : undefined;
}
