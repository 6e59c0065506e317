import { mkdtempSync, rmSync, readdirSync } from 'node:fs';
import fsp from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BlockCache } from '/work/main/be-agent/cache/block_cache.ts';
import { SharedBufferPool } from '/work/main/be-agent/cache/buffer_pool.ts';
import { WarmUpDownloader, newWarmUpProgress } from '/work/main/be-agent/cache/downloader.ts';
import { systemClock } from '/work/main/base/system_ports.ts';
import { SILENT_LOG } from '/work/main/base/ports.ts';
import http from 'node:http';
import { Worker, isMainThread, parentPort } from 'node:worker_threads';
import { Agent, request } from 'undici';
const MIB = 2**20, N = 128, SIZE = 8*MIB;
if (!isMainThread) {
  const body = Buffer.alloc(64*MIB, 'x0y1z2');
  const s = http.createServer((q, r) => {
    const m = /bytes=(\d+)-(\d+)/.exec(q.headers.range ?? ''); const a = +m[1], b = +m[2] + 1;
    r.writeHead(206, { 'content-length': b - a }); r.end(body.subarray(a, b));
  }).listen(0, '127.0.0.1', () => parentPort.postMessage(s.address().port));
} else {
const w = new Worker(new URL(import.meta.url)); 
const port = await new Promise(r => w.once('message', r));
const agent = new Agent({ connections: 16 });
let reqs = 0;
const store = { url: 'h', async get(key, { offset = 0, length, into, signal }) {
  reqs++;
  const { body } = await request(`http://127.0.0.1:${port}/${key}`, { dispatcher: agent, headers: { range: `bytes=${offset}-${offset+length-1}` }, signal });
  let at = 0; for await (const c of body) { into.set(c, at); at += c.length; }
  return into.subarray(0, at);
}};
const cpu = () => { const c = process.cpuUsage(); return (c.user + c.system) / 1e6; };
async function bare(root) {
  const t = performance.now(), c0 = cpu(); let next = 0;
  await Promise.all(Array.from({ length: 8 }, async () => {
    const buf = Buffer.allocUnsafeSlow(SIZE);
    while (next < N) { const n = next++; const d = await store.get('o'+n, { offset: 0, length: SIZE, into: buf }); await fsp.writeFile(join(root, 'bare'+n), d); }
  }));
  return { s: (performance.now() - t) / 1000, cpu: cpu() - c0 };
}
async function warm(root) {
  const cache = await BlockCache.open({ dir: join(root, 'c'), capacityBytes: 4096*MIB, shares: [5,40,5,50], clock: systemClock, log: SILENT_LOG, rangeBytes: () => 8*MIB });
  const d = new WarmUpDownloader({ cache, clock: systemClock, buffers: new SharedBufferPool(8*MIB, 128*MIB), concurrency: () => 16, rangeBytes: () => 8*MIB });
  const tablets = Array.from({ length: N }, (_, n) => ({ tabletId: n, objects: [{ store, vaultId: 1, key: 'o'+n, size: SIZE, indexOffset: SIZE, tabletId: n, partitionId: 1, expiresMs: 0 }] }));
  const p = newWarmUpProgress();
  const t = performance.now(), c0 = cpu();
  await d.run(tablets, { force: false, signal: new AbortController().signal, progress: p });
  const out = { s: (performance.now() - t) / 1000, cpu: cpu() - c0, done: p.doneBytes / MIB, f: p.failures.length, rss: process.memoryUsage().rss/MIB|0 };
  await cache.close();
  return { out, tablets };
}
const root = mkdtempSync(join(tmpdir(), 'cb-'));
for (let i = 0; i < 3; i++) {
  const b = await bare(root); for (let n=0;n<N;n++) rmSync(join(root,'bare'+n));
  const { out, tablets } = await warm(root);
  console.log('bare', b, 'warm', out, 'ratio', (b.s / out.s).toFixed(2), 'cpu ratio', (out.cpu/b.cpu).toFixed(2));
  if (i===9) {
    for (const windowBytes of [16*MIB, 0]) {
      const cache = await BlockCache.open({ dir: join(root, 'c'), capacityBytes: 4096*MIB, shares: [5,40,5,50], clock: systemClock, log: SILENT_LOG, rangeBytes: () => 8*MIB, windowBytes });
      let t = performance.now(); const o = tablets[3].objects[0];
      for (let k = 0; k < 2000; k++) await cache.read(o, (k * 7919) % (2*MIB), 4096);
      console.log('window', windowBytes/MIB, '4 KiB reads/s', (2000 / (performance.now() - t) * 1000) | 0);
      t = performance.now(); let c0 = cpu();
      for (const { objects: [x] } of tablets) await cache.read(x, 0, x.size);
      console.log('1 GiB sequential 8 MiB reads MiB/s', (1024 / (performance.now() - t) * 1000) | 0, 'cpu', cpu()-c0);
      await cache.close();
    }
  }
  rmSync(join(root, 'c'), { recursive: true });
}
rmSync(root, { recursive: true });
process.exit(0);
}
