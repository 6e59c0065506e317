/** What the server and a query process say to each other, and the frames it travels in. */
import { deserialize, serialize } from 'node:v8';
import type { WireError } from '../../base/errors.ts';
import type { ColumnType, SqlValue } from '../../base/values.ts';
import type { Counted } from './function_library.ts';
import type { Clause } from './speller_context.ts';

export interface QueryTable {
  readonly sqlName: string;
  /** `db.table`, for messages. */
  readonly fullName: string;
  readonly columns: readonly { readonly name: string; readonly type: ColumnType }[];
  readonly nocase: boolean;
  /** Read while the statement runs instead of being copied first. */
  readonly streaming: boolean;
}

/** Server → process. */
export type QueryRequest =
  | {
      readonly kind: 'run';
      readonly text: string;
      readonly sql: string;
      readonly params: readonly SqlValue[];
      readonly types: readonly (ColumnType | undefined)[];
      readonly rowsMax: number;
      readonly memoryBytes: number;
      /** Bytes that the process may take. */
      readonly memoryMax: number;
      readonly firstClause: ReadonlyMap<string, Clause>;
      readonly tables: readonly QueryTable[];
      /** User variables that it assigns to. */
      readonly variables: ReadonlyMap<string, SqlValue>;
    }
  /** The answer to `pull`. */
  | {
      readonly kind: 'rows';
      readonly rows: number;
      /** Instead of `columns`: so many bytes of `packed_columns.ts` come after this message. */
      readonly packedBytes?: number;
      readonly columns: readonly (readonly SqlValue[])[];
      readonly done: boolean;
    };

/** Process → server. */
export type QueryReply =
  /** More rows of a table are wanted. */
  | { readonly kind: 'pull'; readonly table: number }
  | {
      readonly kind: 'batch';
      readonly types: readonly ColumnType[] | undefined;
      readonly rows: readonly (readonly SqlValue[])[];
      readonly done: boolean;
      /** Bytes that the process has now; with the last batch. */
      readonly memory?: number;
      /** What is worth a warning, since the batch before. */
      readonly counted: Counted;
      /** With the last batch, of a statement that assigns to some. */
      readonly variables?: ReadonlyMap<string, SqlValue>;
    }
  | { readonly kind: 'failed'; readonly error: WireError };

/** What a query process ends itself with when it takes more memory than it may. */
export const MEMORY_SIGNAL = 'SIGUSR2';

const HEADER_BYTES = 4;
/** A larger frame means that the stream is out of step. */
export const FRAME_BYTES_MAX = 1024 * 1024 * 1024;

/** Length (big endian) and the value as V8 writes it. */
export function encodeFrame(message: QueryRequest | QueryReply): Buffer {
  const body = serialize(message);
  const frame = Buffer.allocUnsafe(HEADER_BYTES + body.length);
  frame.writeUInt32BE(body.length, 0);
  body.copy(frame, HEADER_BYTES);
  return frame;
}

export function frameLength(header: Uint8Array): number {
  return Buffer.from(header.buffer, header.byteOffset, HEADER_BYTES).readUInt32BE(0);
}

export function decodeBody<Message>(body: Uint8Array): Message {
  return deserialize(body) as Message;
}
