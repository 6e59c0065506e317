/**
 * Chance that always says the same, for runs in which everything is chosen: no spread, no jitter.
 * What has to be unique is unique by who asks and how often he has asked.
 */
import { createHash } from 'node:crypto';
import { SeededRandom } from '../seeded_random.ts';

export class FixedRandom extends SeededRandom {
  readonly #path: string;
  /** Streams and ids that were asked for. */
  asked = 0;

  constructor(path = 'scope') {
    super(0);
    this.#path = path;
  }

  override fork(): FixedRandom {
    this.asked += 1;
    return new FixedRandom(`${this.#path}.${this.asked}`);
  }

  override int(): number {
    return 0;
  }

  override fraction(): number {
    return 0;
  }

  override chance(): boolean {
    return false;
  }

  override between(low: number): number {
    return low;
  }

  override around(): number {
    return 0;
  }

  override bytes(count: number): Uint8Array {
    this.asked += 1;
    const hash = createHash('sha512').update(`${this.#path}/${this.asked}`).digest();
    return Uint8Array.from({ length: count }, (_, at) => hash[at % hash.length] ?? 0);
  }
}
