import type { KvEvent, KvStored, StorageTier } from '../event.ts';
import { TIERS } from '../index/kv-index.ts';

interface Identity {
  readonly localHash: bigint;
  readonly parentHash: bigint | undefined;
}

interface HeldIdentity extends Identity {
  /** Bit i: held in the i-th of `TIERS`. */
  tiers: number;
}

/** An engine may tell of a lower tier's copy after the device's is gone: that long its identity is remembered. */
const MAX_GONE = 65_536;

/**
 * What one rank's blocks are, by the engine's ids: offload tiers name blocks without saying what is in them. Takes
 * memory for every block, so it is made only for ranks that do so.
 */
export class BlockIdentities {
  readonly #held = new Map<bigint, HeldIdentity>();
  readonly #gone = new Map<bigint, Identity>();

  /** `events` restore what the rank holds now. */
  constructor(events: Iterable<KvEvent>) {
    for (const event of events) this.applied(event);
  }

  /** Takes in an event that the index has applied. */
  applied(event: KvEvent): void {
    if (event.kind === 'stored') this.#stored(event);
    else if (event.kind === 'removed')
      for (const hash of event.blockHashes) this.#removed(hash, bitOf(event.tier));
    else {
      this.#held.clear();
      this.#gone.clear();
    }
  }

  /** Stores of known blocks in a tier, consecutive ones together; blocks that nobody knows are counted. */
  storesIn(
    tier: StorageTier,
    blockHashes: BigUint64Array,
  ): { readonly events: KvStored[]; readonly unknown: number } {
    const events: KvStored[] = [];
    let unknown = 0;
    let ids: bigint[] = [];
    let locals: bigint[] = [];
    let parentHash: bigint | undefined;
    const flush = (): void => {
      if (ids.length === 0) return;
      const blocks = { blockHashes: BigUint64Array.from(ids), localHashes: BigUint64Array.from(locals) };
      events.push({ kind: 'stored', tier, parentHash, ...blocks });
      ids = [];
      locals = [];
    };
    for (const hash of blockHashes) {
      const identity = this.#held.get(hash) ?? this.#gone.get(hash);
      if (identity === undefined) {
        unknown++;
        continue;
      }
      if (ids.length === 0 || identity.parentHash !== ids.at(-1)) {
        flush();
        parentHash = identity.parentHash;
      }
      ids.push(hash);
      locals.push(identity.localHash);
    }
    flush();
    return { events, unknown };
  }

  #stored({ blockHashes, localHashes, parentHash, tier }: KvStored): void {
    for (const [i, hash] of blockHashes.entries()) {
      const tiers = (this.#held.get(hash)?.tiers ?? 0) | bitOf(tier);
      const parent = i === 0 ? parentHash : blockHashes[i - 1];
      this.#held.set(hash, { localHash: localHashes[i]!, parentHash: parent, tiers });
      this.#gone.delete(hash);
    }
  }

  #removed(hash: bigint, bit: number): void {
    const identity = this.#held.get(hash);
    if (identity === undefined) return;
    identity.tiers &= ~bit;
    if (identity.tiers !== 0) return;
    this.#held.delete(hash);
    this.#gone.set(hash, identity);
    if (this.#gone.size > MAX_GONE) this.#gone.delete(this.#gone.keys().next().value!);
  }
}

function bitOf(tier: StorageTier = 'device'): number {
  return 1 << TIERS.indexOf(tier);
}
