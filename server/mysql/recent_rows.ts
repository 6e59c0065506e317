/**
 * The rows that a short result had the last time, as they went over the wire. Dashboards ask the
 * same SHOW again and again, and most of its rows are what they were: those are copied.
 */
import type { SqlRow } from '../../base/values.ts';
import type { PacketEncoder } from './packet_encoder.ts';

/** Rows compared and kept; a longer result is encoded anew every time. */
const ROWS_MAX = 64;
/** Bytes kept of one result; there is one result per constant list of columns and character set. */
const BYTES_MAX = 32 * 1024;

export class RecentRows {
  #rows: readonly SqlRow[] = [];
  /** Whole packets, one per row, numbered from #sequence on. */
  #bytes: Buffer = Buffer.alloc(0);
  /** Where each row's packet ends in #bytes. */
  #ends: readonly number[] = [];
  #sequence = -1;

  /** Whether a result of so many rows is worth a look. */
  static takes(count: number): boolean {
    return count > 0 && count <= ROWS_MAX;
  }

  /** Writes the rows, those that have changed with `encode`. */
  write(packets: PacketEncoder, rows: readonly SqlRow[], encode: (row: SqlRow) => void): void {
    const { sequence } = packets;
    const known = sequence === this.#sequence ? this.#rows : [];
    const from = packets.size;
    let changed = known.length !== rows.length;
    let runStart = -1;
    for (let at = 0; at < rows.length; at += 1) {
      const row = rows[at];
      if (row === undefined) break;
      if (isSame(row, known[at])) {
        if (runStart < 0) runStart = at;
        continue;
      }
      changed = true;
      if (runStart >= 0) this.#copy(packets, runStart, at);
      runStart = -1;
      encode(row);
    }
    if (runStart >= 0) this.#copy(packets, runStart, rows.length);
    if (changed) this.#keep(packets, rows, from, sequence);
  }

  #copy(packets: PacketEncoder, first: number, end: number): void {
    const from = first === 0 ? 0 : (this.#ends[first - 1] ?? 0);
    const bytes = this.#bytes.subarray(from, this.#ends[end - 1] ?? from);
    packets.numberedPackets(bytes, end - first);
  }

  #keep(packets: PacketEncoder, rows: readonly SqlRow[], from: number, sequence: number): void {
    const length = packets.size - from;
    if (length > BYTES_MAX) {
      this.#rows = [];
      this.#sequence = -1;
      return;
    }
    const bytes = packets.copyFrom(from);
    const ends: number[] = [];
    for (let at = 0; at < length;) {
      at += 4 + bytes.readUIntLE(at, 3);
      ends.push(at);
    }
    this.#rows = rows;
    this.#bytes = bytes;
    this.#ends = ends;
    this.#sequence = sequence;
  }
}

/** Cell by cell: most listings make their rows anew for every answer. */
function isSame(row: SqlRow, known: SqlRow | undefined): boolean {
  if (row === known) return true;
  if (known === undefined || row.length !== known.length) return false;
  for (let at = 0; at < row.length; at += 1) if (row[at] !== known[at]) return false;
  return true;
}
