/** The body of a request, as far as its reader is ready to keep it in memory. */
import type { HttpRequest } from './http_server.ts';

/** Somebody sent more than was agreed. */
export class BodyTooLong extends Error {
  override readonly name = 'BodyTooLong';
}

/** Throws BodyTooLong above `bytesMax`; rejects when the client breaks off. */
export async function readBody({ message }: HttpRequest, bytesMax: number): Promise<Buffer> {
  const announced = Number(message.headers['content-length'] ?? 0);
  if (announced > bytesMax) throw new BodyTooLong(`${announced} of at most ${bytesMax} bytes`);
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of message as AsyncIterable<Uint8Array>) {
    length += chunk.byteLength;
    if (length > bytesMax) throw new BodyTooLong(`more than ${bytesMax} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}
