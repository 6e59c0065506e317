/** A process that adds entries to one object by compare-and-set: directory, key, name, entries. */
import { systemClock, systemRandom } from '../../../base/system_ports.ts';
import { FileStore } from '../../../be-agent/store/file_store.ts';
import { addEntries } from './swap_entries.ts';

const [root = '', key = '', name = '', entries = ''] = process.argv.slice(2);
const limits = () => ({ retries: 20, timeoutMs: 30_000 });
const store = await FileStore.open(root, { clock: systemClock, random: systemRandom, limits });
await addEntries(store, key, name, Number(entries), () => {
  process.stdout.write('.');
});
await store.close();
