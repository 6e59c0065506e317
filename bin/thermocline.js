#!/usr/bin/env node
// Checks the Node version before anything else is loaded: on Node 20 the native addon of the
// catalog crashes the process instead of failing with a message.
import { existsSync } from 'node:fs';
import module from 'node:module';
import { fileURLToPath } from 'node:url';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 12)) {
  process.stderr.write(
    `thermocline needs Node.js 22.12 or newer, this is ${process.version}. ` +
      'From a checkout, `npm start -- <args>` runs it on the Node 24 that `npm ci` installed.\n',
  );
  process.exit(1);
}

const source = new URL('../server/main.ts', import.meta.url);
const built = new URL('../dist/server/main.js', import.meta.url);
const fromSource = existsSync(source) && process.features.typescript !== false;
if (!fromSource && !existsSync(built)) {
  process.stderr.write(
    `thermocline: this Node.js (${process.version}) does not run TypeScript; ` +
      'run `npm run build` first, or use Node.js 24.\n',
  );
  process.exit(1);
}

// What V8 compiled (and Node stripped of its types) is kept for the next start, which then takes
// about half the CPU time. Threads and child processes find the directory in the environment. Where it
// cannot be written every start compiles, as without it; NODE_DISABLE_COMPILE_CACHE=1 turns it off.
process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(
  new URL('../node_modules/.cache/thermocline-compile', import.meta.url),
);
module.enableCompileCache(process.env['NODE_COMPILE_CACHE']);

const base = fromSource ? '../base/module_paths.ts' : '../dist/base/module_paths.js';
const { shortenModulePaths } = await import(new URL(base, import.meta.url).href);
shortenModulePaths();

const { main } = await import(fromSource ? source.href : built.href);
await main(process.argv.slice(2));
