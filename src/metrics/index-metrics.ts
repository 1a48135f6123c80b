import type { Counter } from './counter.ts';
import type { Family } from './family.ts';
import type { Gauge } from './gauge.ts';
import { INDEX } from './names/kvasir.ts';
import { ROUTER_INDEX } from './names/router.ts';
import type { ProcessMetrics } from './process-metrics.ts';

export type IndexEventType = 'stored' | 'removed' | 'cleared';

/** What an index says of itself. */
export interface IndexSize {
  readonly memoryBytes: number;
  /** Distinct blocks. */
  readonly blocks: number;
  /** Pairs of block and rank. */
  readonly residents: number;
  /** Residents dropped to stay within the memory limit, ever. */
  readonly evicted: number;
}

// 1.0.2 knows no others.
const OLD_STATUSES: readonly string[] = ['ok', 'parent_block_not_found', 'block_not_found', 'invalid_block'];

/** What became of KV events, and how large the indexes of this process are; under the component routed to. */
export class IndexMetrics {
  readonly #old: boolean;
  readonly #applied: Family<'event_type' | 'status', Counter>;
  readonly #bound = new Map<string, Counter>();
  readonly #warnings: Family<'warning_kind', Counter>;
  readonly #memory: Gauge;
  readonly #blocks: Gauge;
  readonly #residents: Gauge;
  readonly #evicted: Counter;
  readonly #sources = new Map<() => IndexSize, { evicted: number }>();

  /** Make one per component and share it. */
  constructor(metrics: ProcessMetrics, namespace: string, component: string) {
    const { registry } = metrics.root.namespace(namespace).component(component);
    this.#old = metrics.version === '1.0.2';
    this.#applied = registry.counter(ROUTER_INDEX.eventsApplied);
    this.#warnings = registry.counter(ROUTER_INDEX.eventWarnings);
    this.#memory = registry.gauge(INDEX.memoryBytes).with();
    this.#blocks = registry.gauge(INDEX.blocks).with();
    this.#residents = registry.gauge(INDEX.residents).with();
    this.#evicted = registry.counter(INDEX.evictedTotal).with();
    metrics.onScrape(() => this.#refresh());
  }

  /** Events were applied, or refused with the status that says why: a value of `kv_cache_events_applied{status}`. */
  applied(type: IndexEventType, status: string, events = 1): void {
    const shown = this.#old && !OLD_STATUSES.includes(status) ? 'invalid_block' : status;
    const key = `${type}/${shown}`;
    let child = this.#bound.get(key);
    if (child === undefined) {
      child = this.#applied.with({ event_type: type, status: shown });
      this.#bound.set(key, child);
    }
    child.inc(events);
  }

  /** A suspicious event, such as `duplicate_store`. */
  warned(kind: string): void {
    this.#warnings.with({ warning_kind: kind }).inc();
  }

  /** Asks an index for its size at every scrape; the sums of all are shown. Returns how to stop. */
  watch(sizeOf: () => IndexSize): () => void {
    this.#sources.set(sizeOf, { evicted: 0 });
    return () => void this.#sources.delete(sizeOf);
  }

  #refresh(): void {
    const sum = { memoryBytes: 0, blocks: 0, residents: 0 };
    for (const [sizeOf, last] of this.#sources) {
      const size = sizeOf();
      sum.memoryBytes += size.memoryBytes;
      sum.blocks += size.blocks;
      sum.residents += size.residents;
      this.#evicted.inc(Math.max(0, size.evicted - last.evicted));
      last.evicted = size.evicted;
    }
    this.#memory.set(sum.memoryBytes);
    this.#blocks.set(sum.blocks);
    this.#residents.set(sum.residents);
  }
}
