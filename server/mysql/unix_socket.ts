/** A unix socket as a second door: its file, and who may knock. */
import { chmod, lstat, unlink } from 'node:fs/promises';
import { type Server, connect } from 'node:net';

/** Bytes of the path, by the kernel's sockaddr_un. */
const PATH_BYTES_MAX = 107;

/**
 * Listens at `path`, whose file gets `mode`. A file that a server left which is gone is replaced;
 * rejects with an Error that says why when another server uses it, or it is something else.
 */
export async function listenUnix(server: Server, path: string, mode: number): Promise<void> {
  const bytes = Buffer.byteLength(path);
  if (bytes > PATH_BYTES_MAX) {
    throw new Error(`cannot listen on ${path}: ${bytes} bytes, at most ${PATH_BYTES_MAX} allowed`);
  }
  await removeStale(path);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      reject(new Error(`cannot listen on ${path}: ${error.message}`, { cause: error }));
    });
    server.listen({ path }, resolve);
  });
  // Until here nobody but the owner may write to it, so nobody else gets in.
  await chmod(path, mode);
}

async function removeStale(path: string): Promise<void> {
  let found;
  try {
    found = await lstat(path);
  } catch {
    return;
  }
  if (!found.isSocket()) throw new Error(`cannot listen on ${path}: there is a file, no socket`);
  if (await isAlive(path)) throw new Error(`cannot listen on ${path}: another server uses it`);
  await unlink(path);
}

async function isAlive(path: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const probe = connect({ path });
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => {
      resolve(false);
    });
  });
}
