import type { Counter } from './counter.ts';
import type { Gauge } from './gauge.ts';
import { KVBM } from './names/kvbm.ts';
import type { Registry } from './registry.ts';

/** Tiers below the device. */
export type KvTier = 'host' | 'disk' | 'object';

const WINDOW_REQUESTS = 1000;

const COUNTERS = {
  offloadDeviceToHost: KVBM.offloadBlocksD2h,
  offloadHostToDisk: KVBM.offloadBlocksH2d,
  offloadDeviceToDisk: KVBM.offloadBlocksD2d,
  offloadDeviceToObject: KVBM.offloadBlocksD2o,
  onboardHostToDevice: KVBM.onboardBlocksH2d,
  onboardDiskToDevice: KVBM.onboardBlocksD2d,
  onboardObjectToDevice: KVBM.onboardBlocksO2d,
  matchedTokens: KVBM.matchedTokens,
  objectReadFailures: KVBM.objectReadFailures,
  objectWriteFailures: KVBM.objectWriteFailures,
} as const;
export type KvbmCounter = keyof typeof COUNTERS;

interface Lookup {
  readonly hits: number;
  readonly total: number;
}

/** `kvbm_*`: blocks that move between tiers, and hit rates over the last requests. All start at zero. */
export class KvbmMetrics {
  readonly #counters: ReadonlyMap<KvbmCounter, Counter>;
  readonly #rates: Readonly<Record<KvTier, { readonly gauge: Gauge; readonly window: SlidingRate }>>;

  /** `windowRequests`: how many requests the hit rates look back (`DYN_KVBM_CACHE_STATS_MAX_REQUESTS`). */
  constructor(service: Registry, windowRequests = WINDOW_REQUESTS) {
    const names = Object.keys(COUNTERS) as KvbmCounter[];
    this.#counters = new Map(names.map((name) => [name, service.counter(COUNTERS[name]).with()]));
    const rate = (spec: typeof KVBM.hostCacheHitRate) => ({
      gauge: service.gauge(spec).with(),
      window: new SlidingRate(windowRequests),
    });
    this.#rates = {
      host: rate(KVBM.hostCacheHitRate),
      disk: rate(KVBM.diskCacheHitRate),
      object: rate(KVBM.objectCacheHitRate),
    };
  }

  /** Blocks (or tokens, or failed operations) that were counted. */
  add(counter: KvbmCounter, amount: number): void {
    this.#counters.get(counter)!.inc(amount);
  }

  /** One request asked a tier for so many blocks and found so many. */
  lookedUp(tier: KvTier, hits: number, total: number): void {
    const { gauge, window } = this.#rates[tier];
    gauge.set(window.add({ hits, total }));
  }
}

/** Hits over totals of the last so many requests, in a ring. */
class SlidingRate {
  readonly #ring: Lookup[] = [];
  readonly #size: number;
  #at = 0;
  #hits = 0;
  #total = 0;

  constructor(size: number) {
    this.#size = size;
  }

  add(lookup: Lookup): number {
    const oldest = this.#ring[this.#at];
    this.#hits += lookup.hits - (oldest?.hits ?? 0);
    this.#total += lookup.total - (oldest?.total ?? 0);
    this.#ring[this.#at] = lookup;
    this.#at = (this.#at + 1) % this.#size;
    return this.#total === 0 ? 0 : this.#hits / this.#total;
  }
}
