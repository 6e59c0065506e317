/** All chance of a run comes from one number: the same seed draws the same everything. */
import type { Random } from '../base/ports.ts';

/** Seeds are whole numbers below this; they fit into an argument and a log line. */
export const SEEDS = 2 ** 32;

/** sfc32, seeded through splitmix32: small, quick and good enough for choosing faults. */
export class SeededRandom implements Random {
  readonly #state: [number, number, number, number];

  constructor(seed: number) {
    let mix = seed >>> 0;
    const next = (): number => {
      mix = (mix + 0x9e37_79b9) | 0;
      let word = mix ^ (mix >>> 16);
      word = Math.imul(word, 0x21f0_aaad);
      word ^= word >>> 15;
      word = Math.imul(word, 0x735a_2d97);
      return (word ^ (word >>> 15)) | 0;
    };
    this.#state = [next(), next(), next(), next()];
  }

  /** A stream of its own: more draws in one part of the run change nothing in the others. */
  fork(): SeededRandom {
    return new SeededRandom(this.#word());
  }

  int(below: number): number {
    return Math.floor(this.fraction() * below);
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.#word() & 0xff);
  }

  /** [0, 1) */
  fraction(): number {
    return (this.#word() >>> 0) / 2 ** 32;
  }

  chance(probability: number): boolean {
    return probability > 0 && this.fraction() < probability;
  }

  /** Whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.int(high - low + 1);
  }

  /** Exponentially distributed around `mean`: mostly shorter, sometimes much longer. */
  around(mean: number): number {
    return -Math.log(1 - this.fraction()) * mean;
  }

  pick<T>(from: readonly T[]): T | undefined {
    return from[this.int(from.length)];
  }

  /** Of a list that has something in it. */
  one<T>(from: readonly [T, ...T[]]): T {
    return from[this.int(from.length)] ?? from[0];
  }

  #word(): number {
    const state = this.#state;
    const [a, b, c, counter] = state;
    const word = (((a + b) | 0) + counter) | 0;
    state[3] = (counter + 1) | 0;
    state[0] = b ^ (b >>> 9);
    state[1] = (c + (c << 3)) | 0;
    state[2] = (((c << 21) | (c >>> 11)) + word) | 0;
    return word;
  }
}
