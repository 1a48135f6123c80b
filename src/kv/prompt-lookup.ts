import type { Clock } from '../base/clock.ts';
import type { RouterConfig } from './config.ts';
import type { WorkerKey } from './event.ts';
import { handedOverlaps } from './handed-overlaps.ts';
import type { BlockHasher } from './hash.ts';
import type { KvIndex } from './index/kv-index.ts';
import type { RouterObserver } from './observer.ts';
import type { Overlaps } from './overlap.ts';
import type { KvWeights } from './policies/kv-cost.ts';
import type { RouteRequest } from './route-request.ts';
import { RoutedPrefixes } from './routed-prefixes.ts';

export interface PromptLookupOptions {
  readonly blockSize: number;
  readonly clock: Clock;
  readonly config: RouterConfig;
  readonly policyReadsOverlap: boolean;
  readonly index: KvIndex | undefined;
  readonly hasher: BlockHasher;
  /** The id of a rank; undefined if it is not of the fleet. */
  readonly rankOf: (worker: WorkerKey) => number | undefined;
  /** The rank publishes no events. */
  readonly isSilent: (rank: number) => boolean;
  readonly observer: RouterObserver;
}

const NO_RANKS = new Uint32Array(0);
const NO_OVERLAPS: Overlaps = { device: NO_RANKS, hostPinned: NO_RANKS, disk: NO_RANKS, external: NO_RANKS };
const NO_BLOCKS = new BigUint64Array(0);

/** Turns prompts into hashes and hashes into overlaps: from the index of events, and from what was routed lately. */
export class PromptLookup {
  readonly #options: PromptLookupOptions;
  readonly #routed: RoutedPrefixes;
  /** By rank: leading blocks taken to be cached because of earlier decisions. Rewritten by every match. */
  predicted: Uint32Array = new Uint32Array(16);

  constructor(options: PromptLookupOptions) {
    this.#options = options;
    this.#routed = new RoutedPrefixes(options.clock);
  }

  /** Sequence hashes of the prompt's full blocks; none when nothing would use them. */
  hash(request: RouteRequest, weights: KvWeights): BigUint64Array {
    if (request.hashes !== undefined) return request.hashes.sequence;
    const { config, policyReadsOverlap, blockSize, hasher } = this.#options;
    const tracked = policyReadsOverlap && config.trackActiveBlocks && config.assumeKvReuse;
    if (request.tokens === undefined || !(tracked || this.usesCache(weights))) return NO_BLOCKS;
    const { tokens, namespace } = request;
    const hashes = config.eagle
      ? hasher.hashEagle(tokens, blockSize, namespace)
      : hasher.hashPrompt(tokens, blockSize, namespace);
    return hashes.sequence;
  }

  /** Overlaps of the prompt on every rank, valid until the next match. `ranks` is one more than the highest id. */
  match(
    sequence: BigUint64Array,
    weights: KvWeights,
    ranks: number,
    held: RouteRequest['heldByRank'],
  ): Overlaps {
    if (this.predicted.length < ranks) this.predicted = new Uint32Array(2 * ranks);
    else this.predicted.fill(0);
    if (!this.usesCache(weights) || sequence.length === 0) return NO_OVERLAPS;
    if (!this.#routed.isEmpty) this.#routed.depths(sequence, this.predicted);
    const { config, index, rankOf } = this.#options;
    if (held !== undefined) return handedOverlaps(held, ranks, rankOf);
    return config.useKvEvents && index !== undefined ? index.match(sequence) : NO_OVERLAPS;
  }

  /** Remembers that a prompt went to a rank, for as long as that tells something about its cache. */
  remember(worker: WorkerKey, rank: number, sequence: BigUint64Array, weights: KvWeights): void {
    const { config, index, isSilent, observer } = this.#options;
    const indexed = config.remoteIndex || (index !== undefined && !isSilent(rank));
    const ttlMs = config.useKvEvents && indexed ? config.predictedTtlMs : config.ttlMs;
    if (ttlMs === undefined || !this.usesCache(weights)) return;
    this.#routed.route(rank, sequence, ttlMs);
    observer.routeRemembered?.(worker, sequence, ttlMs);
  }

  /** The same for a prompt that another router sent there. */
  learnRoute(rank: number, sequence: BigUint64Array, ttlMs: number): void {
    this.#routed.route(rank, sequence, ttlMs);
  }

  residentBlocks(rank: number): number {
    return this.#options.index?.residentsOf(rank) ?? 0;
  }

  removeRank(rank: number): void {
    this.#options.index?.removeRank(rank);
    this.#routed.removeRank(rank);
  }

  /** Whether anything of what is cached is looked up; else a decision predicts nothing. */
  usesCache(weights: KvWeights): boolean {
    const { config, policyReadsOverlap } = this.#options;
    return policyReadsOverlap && weights.overlapScoreCredit > 0 && !config.loadAware;
  }
}
