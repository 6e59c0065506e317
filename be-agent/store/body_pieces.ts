/** Hands out a large body in pieces that memory can hold. */
import { type BodySource, ObjectStoreError } from '../../base/ports.ts';
import { throwIfAborted } from './retry.ts';

/**
 * S3 wants 5 MiB at least for every part but the last. With 8 MiB a radosgw took segments of 16 MiB
 * at 0.55 of the speed of single PUTs: a part costs little, the requests around them do.
 */
export const PIECE_BYTES = 16 * 2 ** 20;
/** S3's limit. */
const PIECES_MAX = 10_000;

/** Pieces of 16 MiB, or larger ones where there would be too many. */
export function pieceBytes(size: number): number {
  return Math.max(PIECE_BYTES, Math.ceil(size / PIECES_MAX));
}

/** In order; a piece is good until the next one is asked for. Throws TRUNCATED for a short one. */
export async function* pieces(
  source: BodySource,
  key: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  const step = pieceBytes(source.size);
  for (let at = 0; at < source.size; at += step) {
    throwIfAborted(key, signal);
    const length = Math.min(step, source.size - at);
    const piece = await source.read(at, length);
    if (piece.byteLength !== length) {
      const what = `${piece.byteLength} bytes from ${at} instead of ${length}`;
      throw new ObjectStoreError('TRUNCATED', key, `upload of '${key}': its source gave ${what}`);
    }
    yield piece;
  }
}
