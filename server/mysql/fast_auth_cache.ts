/** Accounts remembered; the one unused for longest goes first. */
const ENTRIES_MAX = 10_000;

/**
 * Digests of caching_sha2_password's fast path. The key holds the stored hash, so a changed
 * password or a dropped and re-created account is another entry and needs a full login again.
 */
export class FastAuthCache {
  readonly #digests = new Map<string, Buffer>();

  get(user: string, authString: string): Buffer | undefined {
    const key = `${authString}\0${user}`;
    const digest = this.#digests.get(key);
    if (digest === undefined) return undefined;
    this.#digests.delete(key);
    this.#digests.set(key, digest);
    return digest;
  }

  set(user: string, authString: string, digest: Buffer): void {
    this.#digests.set(`${authString}\0${user}`, digest);
    if (this.#digests.size <= ENTRIES_MAX) return;
    for (const oldest of this.#digests.keys()) {
      this.#digests.delete(oldest);
      break;
    }
  }

  clear(): void {
    this.#digests.clear();
  }
}
