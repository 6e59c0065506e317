/**
 * Lets the simulator look into objects of the product: in this process the private fields of some
 * modules are ordinary ones. States of runs can only be compared by all that a process remembers.
 * Called before those modules are loaded.
 */
import { registerHooks } from 'node:module';

const OPENED =
  /\/(be-agent\/(cooldown|replica)\/[a-z_]+|jobs\/[a-z_]+|sim\/cooldown\/content)\.ts$/;
const PRIVATE = /#([a-z]\w*)/gi;
/** What a private field is called then. */
const PREFIX = 'private_';

export function openFields(): void {
  registerHooks({
    load: (url, context, nextLoad) => {
      const loaded = nextLoad(url, context);
      if (!OPENED.test(url) || loaded.source === undefined || loaded.source === null) return loaded;
      const text = typeof loaded.source === 'string' ? loaded.source : decode(loaded.source);
      return { ...loaded, source: text.replaceAll(PRIVATE, `${PREFIX}$1`) };
    },
  });
}

function decode(source: ArrayBuffer | NodeJS.TypedArray): string {
  return new TextDecoder().decode(source);
}
