import { type HeldBlock, storedEvents } from './cache-snapshot.ts';
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
    if (snapshots && this.enabled) this.#held = new Map();
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

  /** Blocks `from` to `to` (excluded) of a sequence became visible. */
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
    for (let i = 0; i < blockHashes.length; i++) {
      this.#held?.set(blockHashes[i]!, {
        blockHash: blockHashes[i]!,
        localHash: localHashes[i]!,
        parentHash: i === 0 ? parentHash : blockHashes[i - 1],
        tokenIds: tokenIds?.subarray(i * this.#blockSize, (i + 1) * this.#blockSize),
        namespace,
      });
    }
  }

  /** Hashes lost their last copy. */
  removed(hashes: readonly bigint[]): void {
    if (!this.enabled || hashes.length === 0) return;
    const blockHashes = BigUint64Array.from(hashes);
    this.events.push({ id: this.#nextId++, event: { kind: 'removed', blockHashes }, tokenIds: undefined });
    for (const hash of hashes) this.#held?.delete(hash);
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
    return { events: storedEvents(this.#held?.values() ?? [], lastEventId), lastEventId };
  }
}
