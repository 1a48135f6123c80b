import { INDEX_OUTCOME, IndexKernel, type IndexOutcome } from '../../kernels/index-kernel.ts';
import type { KvEvent, KvStored, StorageTier } from '../event.ts';
import type { Overlaps } from '../overlap.ts';
import { dumpRank, type Residence } from './dump.ts';
import { APPLIED, type Applied, type IndexStats, type KvIndex, type RankEvent, TIERS } from './kv-index.ts';

const DEFAULT_LIMIT_BYTES = 2 ** 30;

const OUTCOMES: Readonly<Record<IndexOutcome, Applied>> = {
  [INDEX_OUTCOME.changed]: APPLIED.ok,
  [INDEX_OUTCOME.unchanged]: APPLIED.duplicateStore,
  [INDEX_OUTCOME.parentNotFound]: APPLIED.parentNotFound,
  [INDEX_OUTCOME.blockNotFound]: APPLIED.blockNotFound,
  [INDEX_OUTCOME.capacityExhausted]: APPLIED.capacityExhausted,
  [INDEX_OUTCOME.allocationFailed]: APPLIED.allocationFailed,
  [INDEX_OUTCOME.invalidBlock]: APPLIED.invalidBlock,
};

export interface WasmIndexOptions {
  /** Memory that the index never outgrows, from 1 MiB to 4 GiB; the coldest leaves make room beyond it. */
  readonly limitBytes?: number;
}

/**
 * The index for use: flat tables in WebAssembly memory. A match costs O(d · log n) look-ups for n blocks and d
 * different depths, each event O(its own blocks), removing a rank O(1) and the rest with later events.
 */
export class WasmIndex implements KvIndex {
  readonly #kernel: IndexKernel;

  constructor(options: WasmIndexOptions = {}) {
    this.#kernel = new IndexKernel(options.limitBytes ?? DEFAULT_LIMIT_BYTES);
  }

  apply(rank: number, event: KvEvent, onKnown?: (place: number) => void): Applied {
    switch (event.kind) {
      case 'stored':
        return this.#store(rank, event, onKnown);
      case 'removed':
        return OUTCOMES[this.#kernel.remove(rank, tierNumber(event.tier), event.blockHashes)];
      case 'cleared':
        this.#kernel.clear(rank);
        return APPLIED.ok;
    }
  }

  match(sequence: BigUint64Array): Overlaps {
    return this.#kernel.match(sequence);
  }

  removeRank(rank: number): void {
    this.#kernel.clear(rank);
  }

  residentsOf(rank: number): number {
    return this.#kernel.residentsOf(rank);
  }

  evictedOf(rank: number): number {
    return this.#kernel.evictedOf(rank);
  }

  dump(rank?: number): readonly RankEvent[] {
    const ranks =
      rank === undefined ? Array.from({ length: this.#kernel.rankCapacity }, (_, i) => i) : [rank];
    return ranks.flatMap((each) => dumpRank(this.#residences(each)).map((event) => ({ rank: each, event })));
  }

  stats(): IndexStats {
    const { blocks, residents, memoryBytes, usedBytes, limitBytes, evicted } = this.#kernel;
    return { blocks, residents, memoryBytes, usedBytes, limitBytes, evicted };
  }

  /** Finishes what cleared ranks left to be forgotten; until then `stats` counts their blocks. */
  settle(): void {
    this.#kernel.sweep(0xffff_ffff);
  }

  #store(
    rank: number,
    { parentHash, blockHashes, localHashes, tier }: KvStored,
    onKnown: ((place: number) => void) | undefined,
  ): Applied {
    if (blockHashes.length !== localHashes.length) return APPLIED.invalidBlock;
    return OUTCOMES[
      this.#kernel.store(rank, tierNumber(tier), parentHash, blockHashes, localHashes, onKnown)
    ];
  }

  /** The residents of a rank; their removed ancestors hang on them as parents. */
  #residences(rank: number): Residence[] {
    const read = new Map<number, Residence & { parent: Residence | undefined }>();
    const residents: Residence[] = [];
    for (const start of this.#kernel.residencesOf(rank)) {
      let child: { parent: Residence | undefined } | undefined;
      for (let at = start; at !== 0; ) {
        const known = read.get(at);
        if (known !== undefined) {
          if (child !== undefined) child.parent = known;
          break;
        }
        const { id, sequence, local, parentAt, tiers } = this.#kernel.readResidence(at);
        const residence = {
          blockHash: id,
          sequenceHash: sequence,
          localHash: local,
          tiers,
          parent: undefined,
        };
        read.set(at, residence);
        if (tiers !== 0) residents.push(residence);
        if (child !== undefined) child.parent = residence;
        child = residence;
        at = parentAt;
      }
    }
    return residents;
  }
}

function tierNumber(tier: StorageTier | undefined): number {
  return tier === undefined ? 0 : TIERS.indexOf(tier);
}
