/**
 * What a warm-up is compared with: the objects of a bucket read with the same HTTP client, the same
 * number at once, in ranges of the same length, and each written to a file, in one write, without
 * fsync. Nothing else.
 * Its own process, so that its CPU time and memory are its own:
 * `node bench/bare_downloader.ts '<BareOptions as JSON>'` prints a BareResult as JSON.
 */
import { createHash, createHmac } from 'node:crypto';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SignatureV4 } from '@smithy/signature-v4';
import { type Dispatcher, Pool } from 'undici';

export interface BareOptions {
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  readonly accessKey: string;
  readonly secretKey: string;
  readonly objects: readonly { readonly key: string; readonly size: number }[];
  readonly directory: string;
  readonly concurrency: number;
  readonly rangeBytes: number;
}

export interface BareResult {
  readonly seconds: number;
  readonly bytes: number;
  readonly cpuSeconds: number;
  readonly peakMemoryMib: number;
}

interface Range {
  readonly key: string;
  readonly offset: number;
  readonly length: number;
}

const PARTIAL_CONTENT = 206;
const KIB_PER_MIB = 1024;
/** Read before the time begins, and not written. */
const RANGES_BEFORE = 32;

async function download(options: BareOptions): Promise<BareResult> {
  const { objects, rangeBytes, directory, concurrency } = options;
  const ranges = objects.flatMap(({ key, size }) => cut(key, size, rangeBytes));
  const pool = new Pool(options.endpoint, { connections: concurrency, pipelining: 1 });
  const signer = signerOf(options);
  const buffers = Array.from({ length: concurrency }, () => Buffer.allocUnsafeSlow(rangeBytes));
  const all = async (
    wanted: readonly Range[],
    done: (place: number, body: Buffer) => Promise<void>,
  ): Promise<void> => {
    const queue = wanted.entries();
    const workers = buffers.map(async (buffer) => {
      for (const [place, range] of queue) {
        const body = buffer.subarray(0, range.length);
        await get(pool, signer, options, range, body);
        await done(place, body);
      }
    });
    await Promise.all(workers);
  };
  // A server has its code compiled and its connections open when a warm-up begins.
  await all(ranges.slice(0, RANGES_BEFORE), () => Promise.resolve());
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  const startMs = performance.now();
  const startCpu = process.cpuUsage();
  await all(ranges, async (place, body) => {
    await write(join(directory, String(place)), body);
  });
  const seconds = (performance.now() - startMs) / 1000;
  const { user, system } = process.cpuUsage(startCpu);
  await pool.close();
  return {
    seconds,
    bytes: objects.reduce((sum, { size }) => sum + size, 0),
    cpuSeconds: (user + system) / 1e6,
    peakMemoryMib: process.resourceUsage().maxRSS / KIB_PER_MIB,
  };
}

/** One write: writeFile would make sixteen of 512 KiB. */
async function write(path: string, body: Buffer): Promise<void> {
  const file = await open(path, 'w');
  try {
    for (let at = 0; at < body.byteLength;) at += (await file.write(body, at)).bytesWritten;
  } finally {
    await file.close();
  }
}

function cut(key: string, size: number, rangeBytes: number): Range[] {
  return Array.from({ length: Math.ceil(size / rangeBytes) }, (_, place) => {
    const offset = place * rangeBytes;
    return { key, offset, length: Math.min(rangeBytes, size - offset) };
  });
}

async function get(
  pool: Pool,
  signer: SignatureV4,
  { endpoint, bucket }: BareOptions,
  { key, offset, length }: Range,
  body: Buffer,
): Promise<void> {
  const { host } = new URL(endpoint);
  const path = `/${bucket}/${key}`;
  const headers = {
    host,
    range: `bytes=${offset}-${offset + length - 1}`,
    'x-amz-content-sha256': 'UNSIGNED-PAYLOAD',
  };
  const signed = await signer.sign({
    method: 'GET',
    protocol: 'http:',
    hostname: host,
    path,
    headers,
  });
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  let filled = 0;
  const handler: Dispatcher.DispatchHandler = {
    onRequestStart: () => undefined,
    onResponseStart: (_controller, status) => {
      if (status !== PARTIAL_CONTENT) throw new Error(`GET ${path}: ${status}`);
    },
    onResponseData: (_controller, chunk) => {
      chunk.copy(body, filled);
      filled += chunk.byteLength;
    },
    onResponseEnd: () => {
      if (filled === length) resolve(undefined);
      else reject(new Error(`GET ${path}: ${filled} of ${length} bytes`));
    },
    onResponseError: (_controller, error) => {
      reject(error);
    },
  };
  pool.dispatch({ method: 'GET', path, headers: signed.headers }, handler);
  await promise;
}

function signerOf({ region, accessKey, secretKey }: BareOptions): SignatureV4 {
  return new SignatureV4({
    service: 's3',
    region,
    credentials: { accessKeyId: accessKey, secretAccessKey: secretKey },
    sha256: Sha256,
    uriEscapePath: false,
    applyChecksum: false,
  });
}

/** Node's own SHA-256 in the shape the signer wants. */
class Sha256 {
  readonly #hash;

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash =
      secret === undefined ? createHash('sha256') : createHmac('sha256', bytesOf(secret));
  }

  update(data: string | ArrayBuffer | ArrayBufferView): void {
    this.#hash.update(bytesOf(data));
  }

  async digest(): Promise<Uint8Array> {
    return await Promise.resolve(this.#hash.digest());
  }

  reset(): void {
    throw new Error('the signer does not use a hash twice');
  }
}

function bytesOf(data: string | ArrayBuffer | ArrayBufferView): Uint8Array {
  if (typeof data === 'string') return Buffer.from(data);
  if (!ArrayBuffer.isView(data)) return new Uint8Array(data);
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

const result = await download(JSON.parse(process.argv[2] ?? '') as BareOptions);
process.stdout.write(`${JSON.stringify(result)}\n`);
