import type { StorageTier } from '../kv/event.ts';
import { TIERS } from '../kv/index/kv-index.ts';
import { type HeldBlock, storedEvent, storedEvents } from './cache-snapshot.ts';
import type { EngineSettings } from './engine-settings.ts';
import type { RankEvent } from './pass.ts';
import type { RankSnapshot } from './scheduler.ts';
import type { Sequence } from './sequence.ts';

/** Numbers one rank's cache changes, holds those of the pass under way and, where asked, what they add up to. */
export class EventLog {
  readonly enabled: boolean;
  readonly events: RankEvent[] = [];
  #nextId = 0;
  #told = 0;
  readonly #withTokens: boolean;
  readonly #blockSize: number;
  readonly #held: Map<bigint, HeldBlock> | undefined;

  constructor(settings: EngineSettings, snapshots: boolean) {
    this.enabled = settings.emitKvEvents && settings.enablePrefixCaching;
    this.#withTokens = settings.emitKvTokenIds;
    this.#blockSize = settings.blockSize;
    // What goes down a tier is told again, when the request that made it may be long gone.
    if (this.enabled && (snapshots || settings.offload.hostBlocks > 0)) this.#held = new Map();
  }

  /** Forgets the events of the pass before; what happened since, between passes, is told with the new one. */
  startPass(): void {
    if (this.#told > 0) this.events.splice(0, this.#told);
    this.#told = 0;
  }

  /** All events so far belong to the pass that ends. */
  endPass(): void {
    this.#told = this.events.length;
  }

  /** Blocks `from` to `to` (excluded) of a sequence became visible on the device. */
  stored(sequence: Sequence, from: number, to: number): void {
    if (!this.enabled) return;
    const { local: localHashes, sequence: blockHashes } = sequence.hashes(from, to);
    const parentHash = from === 0 ? undefined : sequence.blockHash(from - 1);
    const tokenIds = this.#withTokens
      ? sequence.tokens(from * this.#blockSize, to * this.#blockSize)
      : undefined;
    const { namespace } = sequence.request.prompt;
    this.events.push({
      id: this.#nextId++,
      event: { kind: 'stored', parentHash, blockHashes, localHashes },
      tokenIds,
      ...(namespace && { namespace }),
    });
    if (this.#held === undefined) return;
    for (let i = 0; i < blockHashes.length; i++) {
      const known = this.#held.get(blockHashes[i]!);
      if (known !== undefined) {
        known.tiers |= DEVICE;
        continue;
      }
      this.#held.set(blockHashes[i]!, {
        tiers: DEVICE,
        blockHash: blockHashes[i]!,
        localHash: localHashes[i]!,
        parentHash: i === 0 ? parentHash : blockHashes[i - 1],
        tokenIds: tokenIds?.subarray(i * this.#blockSize, (i + 1) * this.#blockSize),
        namespace,
      });
    }
  }

  /** Blocks that are held above, least useful first, are in a lower tier too. */
  storedBelow(tier: StorageTier, hashes: readonly bigint[]): void {
    if (this.#held === undefined) return;
    let run: HeldBlock[] = [];
    // The end of a chain is evicted before its beginning.
    for (const hash of [...hashes].reverse()) {
      const block = this.#held.get(hash)!;
      block.tiers |= bitOf(tier);
      if (run.length > 0 && block.parentHash !== run.at(-1)!.blockHash) {
        this.events.push({ id: this.#nextId++, ...storedEvent(run, tier) });
        run = [];
      }
      run.push(block);
    }
    if (run.length > 0) this.events.push({ id: this.#nextId++, ...storedEvent(run, tier) });
  }

  /** Hashes lost their last copy in a tier. */
  removed(hashes: readonly bigint[], tier: StorageTier = 'device'): void {
    if (!this.enabled || hashes.length === 0) return;
    const blockHashes = BigUint64Array.from(hashes);
    const event = { kind: 'removed', ...(tier !== 'device' && { tier }), blockHashes } as const;
    this.events.push({ id: this.#nextId++, event, tokenIds: undefined });
    for (const hash of hashes) {
      const block = this.#held?.get(hash);
      if (block === undefined) continue;
      block.tiers &= ~bitOf(tier);
      if (block.tiers === 0) this.#held!.delete(hash);
    }
  }

  /** Nothing is held any more. */
  cleared(): void {
    if (!this.enabled) return;
    this.events.push({ id: this.#nextId++, event: { kind: 'cleared' }, tokenIds: undefined });
    this.#held?.clear();
  }

  /** What all events so far leave, as stored events. */
  snapshot(): RankSnapshot {
    const lastEventId = this.#nextId - 1;
    return { events: storedEvents(this.#held ?? new Map(), lastEventId), lastEventId };
  }
}

const DEVICE = 1;

function bitOf(tier: StorageTier): number {
  return 1 << TIERS.indexOf(tier);
}
