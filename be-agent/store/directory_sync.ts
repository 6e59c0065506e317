/** Makes directory entries durable, many writers at a time. */
import { dirname } from 'node:path';
import type { FileCalls, OpenFile } from './file_calls.ts';
import { errnoOf } from './file_errors.ts';

interface Turn {
  readonly running: Promise<void>;
  /** The sync that begins when `running` ends; everybody who comes meanwhile shares it. */
  next: Promise<void> | undefined;
}

/**
 * `fsync` of directories, coalesced: whoever asks while a sync of the same directory runs shares
 * the one after it, so 64 concurrent puts into a directory cost two syncs and not 64.
 */
export class DirectorySync {
  readonly #files: FileCalls;
  readonly #root: string;
  readonly #turns = new Map<string, Turn>();

  /** `root`: absolute; nothing above it is touched. */
  constructor(files: FileCalls, root: string) {
    this.#files = files;
    this.#root = root;
  }

  /**
   * Everything renamed, linked or made in `directory` and in its parents up to the root before
   * this call is durable when it resolves. Parents are included because another writer may have
   * made `directory` a moment ago; a sync of a directory without changes costs next to nothing.
   */
  async upToRoot(directory: string): Promise<void> {
    const waits: Promise<void>[] = [];
    for (let at = directory; ; at = dirname(at)) {
      waits.push(this.#one(at));
      if (at === this.#root || at === dirname(at)) break;
    }
    // All are waited for even when one fails, so that none fails unseen.
    const failed = (await Promise.allSettled(waits)).find((wait) => wait.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  #one(directory: string): Promise<void> {
    const turn = this.#turns.get(directory);
    if (turn === undefined) return this.#start(directory);
    turn.next ??= turn.running.then(
      () => this.#start(directory),
      () => this.#start(directory),
    );
    return turn.next;
  }

  #start(directory: string): Promise<void> {
    const running = this.#sync(directory);
    const turn: Turn = { running, next: undefined };
    this.#turns.set(directory, turn);
    const forget = (): void => {
      if (turn.next === undefined && this.#turns.get(directory) === turn) {
        this.#turns.delete(directory);
      }
    };
    running.then(forget, forget);
    return running;
  }

  async #sync(directory: string): Promise<void> {
    // Windows cannot open a directory; NTFS journals its entries by itself.
    if (process.platform === 'win32') return;
    let handle: OpenFile;
    try {
      handle = await this.#files.open(directory, 'r');
    } catch (error) {
      // What was put here has been deleted again and its directory pruned: nothing to keep.
      if (errnoOf(error) === 'ENOENT' && directory !== this.#root) return;
      throw error;
    }
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
}
