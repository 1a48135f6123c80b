import { blockBytes, type EngineSettings, type OffloadSettings } from './engine-settings.ts';
import type { EventLog } from './event-log.ts';
import { LowerTier } from './lower-tier.ts';
import type { TierTransfer } from './pass.ts';
import type { Sequence } from './sequence.ts';

/** Blocks of one prompt on their way to the device; they keep their places below until it is over. */
export interface TierLoad {
  readonly readyNs: number;
  /** The blocks have arrived. */
  done(): void;
  /** Nobody wants them any more. */
  drop(): void;
}

/**
 * One rank's memory below its device: host, then disk. A block goes down when the tier above it has no room for it,
 * and stays where it is when it is loaded; each tier drops what was used longest ago.
 *
 * Storing: as vLLM's `SimpleCPUOffloadConnector` with `lazy_offload`, which copies blocks that near eviction ahead of
 * need, up to twice the blocks of a full pass. So eviction never waits for a copy, and what the link had no time
 * for is lost. Loading: transfers follow each other on one link for each direction, as on a GPU's copy streams;
 * what comes from disk goes through the host.
 */
export class LowerTiers {
  /** What was copied in the pass under way. */
  readonly transfers: TierTransfer[] = [];
  readonly #tiers: readonly LowerTier[];
  readonly #log: EventLog;
  readonly #blockBytes: number;
  #nowNs = 0;

  constructor(settings: EngineSettings, log: EventLog) {
    this.#log = log;
    this.#blockBytes = blockBytes(settings);
    this.#tiers = tiersOf(settings, this.#blockBytes);
  }

  /** Blocks that the host holds, and could hold. */
  get host(): { readonly hostBlocks: number; readonly totalHostBlocks: number } {
    const { used, cached, total } = this.#tiers[0]!.pool;
    return { hostBlocks: used + cached, totalHostBlocks: total };
  }

  startPass(nowNs: number): void {
    this.#nowNs = nowNs;
    this.transfers.length = 0;
  }

  /** Takes in what the device is about to drop, least useful first. */
  store(hashes: readonly bigint[]): void {
    this.#storeIn(0, hashes);
  }

  /** How many blocks of a sequence are held from one place up to another (excluded), without a hole. */
  reach(sequence: Sequence, from: number, to: number): number {
    let block = from;
    while (block < to && this.#tiers.some((tier) => tier.find(sequence, block) >= 0)) block++;
    return block - from;
  }

  /** Begins to copy `count` blocks of a sequence, all of which are held, to the device. */
  load(sequence: Sequence, from: number, count: number): TierLoad {
    const held: { tier: LowerTier; slot: number }[] = [];
    for (let block = from; block < from + count; block++) {
      const tier = this.#tiers.find((each) => each.find(sequence, block) >= 0)!;
      const slot = tier.find(sequence, block);
      tier.pool.hold(slot);
      held.push({ tier, slot });
    }
    const transfers: TierTransfer[] = [];
    let readyNs = this.#nowNs;
    let sizeBytes = 0;
    for (let depth = this.#tiers.length - 1; depth >= 0; depth--) {
      const { name, loads } = this.#tiers[depth]!;
      sizeBytes += held.filter(({ tier }) => tier.name === name).length * this.#blockBytes;
      if (sizeBytes === 0) continue;
      readyNs = loads.take(readyNs, sizeBytes);
      const to = this.#tiers[depth - 1]?.name ?? 'device';
      transfers.push({ from: name, to, sizeBytes, durationNs: loads.durationNs(sizeBytes) });
    }
    // Tail first, so that the beginning is what stays longest.
    const drop = (): void => {
      for (const { tier, slot } of held.reverse()) tier.pool.release(slot);
    };
    const done = (): void => {
      drop();
      this.transfers.push(...transfers);
    };
    return { readyNs, done, drop };
  }

  clear(): void {
    for (const tier of this.#tiers) tier.clear();
  }

  #storeIn(depth: number, hashes: readonly bigint[]): void {
    const tier = this.#tiers[depth];
    if (tier === undefined || hashes.length === 0) return;
    const { stored, removed, displaced } = tier.put(hashes, this.#nowNs);
    this.#log.storedBelow(tier.name, stored);
    this.#storeIn(depth + 1, displaced);
    this.#log.removed(removed, tier.name);
    if (stored.length === 0) return;
    const from = this.#tiers[depth - 1]?.name ?? 'device';
    const sizeBytes = stored.length * this.#blockBytes;
    this.transfers.push({ from, to: tier.name, sizeBytes, durationNs: tier.storeNs(stored.length) });
  }
}

/** The figures of a rank's host memory, which it may not have. */
export function hostUse(tiers: LowerTiers | undefined): LowerTiers['host'] {
  return tiers?.host ?? { hostBlocks: 0, totalHostBlocks: 0 };
}

/** What a rank has below its device; none of a decode worker, which gets its prompts from other engines. */
export function lowerTiers(settings: EngineSettings, log: EventLog): LowerTiers | undefined {
  const { offload, workerType } = settings;
  return offload.hostBlocks === 0 || workerType === 'decode' ? undefined : new LowerTiers(settings, log);
}

function tiersOf(settings: EngineSettings, bytes: number): readonly LowerTier[] {
  const { backend, blockSize, maxNumBatchedTokens, offload, sglang, speedupRatio } = settings;
  const passTokens = backend === 'sglang' ? sglang.maxPrefillTokens : maxNumBatchedTokens;
  const shared = { blockBytes: bytes, aheadBlocks: 2 * Math.ceil(passTokens / blockSize) };
  const speed = (name: keyof OffloadSettings): number => offload[name] * (speedupRatio || 1);
  const host = new LowerTier({
    ...shared,
    name: 'host_pinned',
    blocks: offload.hostBlocks,
    storeGBps: speed('deviceToHostGBps'),
    loadGBps: speed('hostToDeviceGBps'),
  });
  if (offload.diskBlocks === 0) return [host];
  const disk = new LowerTier({
    ...shared,
    name: 'disk',
    blocks: offload.diskBlocks,
    storeGBps: speed('hostToDiskGBps'),
    loadGBps: speed('diskToHostGBps'),
  });
  return [host, disk];
}
