/** Entry of the process that runs SELECTs over tables, see `query_loop.ts`. */
import { flushCompileCache } from 'node:module';
import { shortenModulePaths } from '../../base/module_paths.ts';

// Before anything else is loaded.
shortenModulePaths();
const { serveQueries } = await import('./query_loop.ts');
// The process ends by a signal, which leaves no time to keep what was compiled for the next one.
flushCompileCache();
serveQueries();
