/**
 * The certificate that MySQL clients see: the one of the settings ssl_cert and ssl_key, or one
 * made at its first use. Files that changed are read again, so a renewal needs no restart.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createSecureContext } from 'node:tls';
import type { SecureContext } from 'node:tls';
import type { Config } from '../base/config.ts';
import type { Clock, Log } from '../base/ports.ts';
import type { TlsContexts } from './mysql/tls_contexts.ts';

/** How long the certificate that is made is valid, days: MySQL's own are, too. */
const VALID_DAYS = 3650;
const DAY_MS = 86_400_000;

export interface TlsCertificateOptions {
  readonly config: Config;
  readonly clock: Clock;
  readonly log: Log;
  readonly dataDir: string;
}

interface Loaded {
  readonly stamp: string;
  readonly context: SecureContext;
}

export class TlsCertificate implements TlsContexts {
  readonly #options: TlsCertificateOptions;
  #loaded: Loaded | undefined;
  #making: Promise<void> | undefined;

  constructor(options: TlsCertificateOptions) {
    this.#options = options;
  }

  get on(): boolean {
    return this.#options.config.get('mysql_tls');
  }

  /** A pair of files that cannot be used keeps the one before in use. */
  async context(): Promise<SecureContext> {
    const files = await this.#files();
    try {
      const stamp = `${fileStamp(files.cert)} ${fileStamp(files.key)}`;
      if (this.#loaded?.stamp !== stamp) {
        const context = createSecureContext({
          cert: readFileSync(files.cert),
          key: readFileSync(files.key),
          minVersion: 'TLSv1.2',
        });
        this.#loaded = { stamp, context };
      }
    } catch (error) {
      this.#options.log.error('the TLS certificate cannot be used', {
        ...files,
        error: String(error),
      });
      if (this.#loaded === undefined) throw error;
    }
    return this.#loaded.context;
  }

  async #files(): Promise<{ readonly cert: string; readonly key: string }> {
    const { config, dataDir } = this.#options;
    const cert = config.get('ssl_cert');
    if (cert !== '') return { cert, key: config.get('ssl_key') || cert };
    const own = { cert: join(dataDir, 'tls', 'server.pem'), key: join(dataDir, 'tls', 'key.pem') };
    if (!existsSync(own.cert) || !existsSync(own.key)) {
      this.#making ??= this.#make(own).finally(() => {
        this.#making = undefined;
      });
      await this.#making;
    }
    return own;
  }

  async #make(own: { readonly cert: string; readonly key: string }): Promise<void> {
    const { clock, log } = this.#options;
    // Loaded when it is needed: it costs 75 ms of CPU, a sixth of a start.
    const { generate } = await import('selfsigned');
    const now = clock.now();
    const pair = await generate([{ name: 'commonName', value: 'thermocline server' }], {
      keyType: 'ec',
      curve: 'P-256',
      algorithm: 'sha256',
      notBeforeDate: new Date(now - DAY_MS),
      notAfterDate: new Date(now + VALID_DAYS * DAY_MS),
    });
    mkdirSync(dirname(own.cert), { recursive: true, mode: 0o700 });
    // The key first: who finds the certificate finds both.
    writeWhole(own.key, pair.private, 0o600);
    writeWhole(own.cert, pair.cert, 0o644);
    log.info('a self-signed TLS certificate was made', { cert: own.cert });
  }
}

function writeWhole(path: string, text: string, mode: number): void {
  writeFileSync(`${path}.new`, text, { mode });
  renameSync(`${path}.new`, path);
}

/** Changes whenever the file does. */
function fileStamp(path: string): string {
  const { mtimeMs, size, ino } = statSync(path);
  return `${mtimeMs}/${size}/${ino}`;
}
