import type { BlockStored } from '../../formats/kv-events/engine-event.ts';

/** Marks salts that a frontend passes to engines, so that they are known again among an engine's extra keys. */
export const SALT_PREFIX = 'dynamo-cache-salt:';

const AMBIGUOUS = Symbol('ambiguous');

/**
 * Cache salts of one rank's blocks. Only the first block of a sequence tells its salt: those after it have that of
 * their parent. Blocks without a salt, nearly all, are not kept.
 */
export class BlockSalts {
  readonly #salts = new Map<bigint, string | typeof AMBIGUOUS>();

  /** The salt of a store's blocks; null when their parent was seen under two salts. */
  saltOf(event: BlockStored): string | undefined | null {
    const told = saltIn(event);
    if (told !== undefined || event.parentHash === undefined) return told;
    const inherited = this.#salts.get(event.parentHash);
    return inherited === AMBIGUOUS ? null : inherited;
  }

  stored(blockHashes: BigUint64Array, salt: string | undefined): void {
    if (salt === undefined && this.#salts.size === 0) return;
    for (const hash of blockHashes) {
      const known = this.#salts.get(hash);
      if (known !== undefined && known !== salt) this.#salts.set(hash, AMBIGUOUS);
      else if (salt !== undefined) this.#salts.set(hash, salt);
    }
  }

  removed(blockHashes: BigUint64Array): void {
    if (this.#salts.size > 0) for (const hash of blockHashes) this.#salts.delete(hash);
  }

  clear(): void {
    this.#salts.clear();
  }
}

function saltIn({ cacheSalt, extraKeys, loraName }: BlockStored): string | undefined {
  if (cacheSalt !== undefined && cacheSalt !== '') return withoutPrefix(cacheSalt);
  const first = extraKeys?.[0];
  if (!Array.isArray(first)) return undefined;
  const named = first.indexOf(loraName);
  const tagged = first.find(
    (key, i) => i !== named && typeof key === 'string' && key.startsWith(SALT_PREFIX),
  );
  return tagged === undefined ? undefined : withoutPrefix(tagged as string) || undefined;
}

function withoutPrefix(salt: string): string {
  return salt.startsWith(SALT_PREFIX) ? salt.slice(SALT_PREFIX.length) : salt;
}
