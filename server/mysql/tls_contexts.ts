/** What the listener needs for TLS: whether it is on, and the certificate to show. */
import type { SecureContext } from 'node:tls';

export interface TlsContexts {
  /** Whether the greeting offers TLS. */
  readonly on: boolean;
  /** The newest certificate. Rejects when there is none to be had. */
  context(): Promise<SecureContext>;
}
