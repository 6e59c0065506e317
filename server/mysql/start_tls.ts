/** From TCP to TLS in the middle of a connection, where MySQL's handshake has it. */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { SecureContext } from 'node:tls';
import { clientGone } from './packet_writer.ts';

export interface StartedTls {
  /** Reads and writes what travels encrypted; takes `plain` over. */
  readonly socket: TLSSocket;
  /** Resolves when the handshake is done; rejects when it fails or the client goes away. */
  readonly secured: Promise<void>;
}

/** `ahead`: what was read of `plain` too early; the TLS layer gets it first. */
export function startTls(plain: Socket, ahead: Buffer, secureContext: SecureContext): StartedTls {
  // A flowing stream without listeners would throw away what is put back.
  plain.pause();
  if (ahead.length > 0) plain.unshift(ahead);
  const socket = new TLSSocket(plain, { isServer: true, secureContext });
  const secured = new Promise<void>((resolve, reject) => {
    socket.once('secure', resolve);
    socket.once('close', () => {
      plain.destroy();
      reject(clientGone());
    });
  });
  // A connection that ends later, or before anybody waits, is no failure of the process.
  secured.catch(() => undefined);
  return { socket, secured };
}
