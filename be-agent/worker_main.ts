/** Entry of the worker thread that hosts the embedded backends. */
import { shortenModulePaths } from '../base/module_paths.ts';

// Before anything else is loaded.
shortenModulePaths();
await import('./embedded_host.ts');
