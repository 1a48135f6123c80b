import type { Counter } from './counter.ts';
import type { Family } from './family.ts';
import type { MetricsNode } from './hierarchy.ts';
import { KV_PUBLISHER } from './names/worker.ts';

export type FilterReason =
  | 'ignored_event'
  | 'non_local_locality'
  | 'unknown_medium'
  | 'unsupported_ownership'
  | 'unknown_ownership'
  | 'ambiguous_cache_namespace'
  | 'non_main_attention_kind'
  | 'unknown_kind'
  | 'non_main_attention_group'
  | 'unlearned_group_idx';

/** `dynamo_component_kv_publisher_*`: KV events between an engine and the routers. `eventType` as the engine names it. */
export class KvPublisherMetrics {
  readonly #dropped: Counter;
  readonly #events: Family<'event_type' | 'stage', Counter>;
  readonly #filtered: Family<'event_type' | 'reason', Counter>;
  readonly #conversion: Family<'event_type' | 'reason', Counter>;
  readonly #suspicious: Family<'event_type' | 'reason', Counter>;
  readonly #lastEventId = new Map<number, number>();

  constructor({ registry }: MetricsNode) {
    this.#dropped = registry.counter(KV_PUBLISHER.enginesDroppedEventsTotal).with();
    this.#events = registry.counter(KV_PUBLISHER.zmqEventsTotal);
    this.#filtered = registry.counter(KV_PUBLISHER.zmqFilteredEventsTotal);
    this.#conversion = registry.counter(KV_PUBLISHER.zmqConversionIssuesTotal);
    this.#suspicious = registry.counter(KV_PUBLISHER.zmqSuspiciousEventsTotal);
  }

  /** The engine's number of an event of a rank: a jump by more than one means that it dropped some. */
  eventId(dpRank: number, id: number): void {
    const last = this.#lastEventId.get(dpRank);
    if (last !== undefined && id > last + 1) this.#dropped.inc(id - last - 1);
    this.#lastEventId.set(dpRank, id);
  }

  received(eventType: string, events = 1): void {
    this.#events.with({ event_type: eventType, stage: 'received' }).inc(events);
  }

  accepted(eventType: string, events = 1): void {
    this.#events.with({ event_type: eventType, stage: 'accepted' }).inc(events);
  }

  filtered(eventType: string, reason: FilterReason): void {
    this.#filtered.with({ event_type: eventType, reason }).inc();
  }

  /** The event could not be turned into the router's terms. */
  unconverted(eventType: string): void {
    this.#conversion.with({ event_type: eventType, reason: 'conversion_none' }).inc();
  }

  /** A store without blocks, which was passed on all the same. */
  emptyStore(eventType: string): void {
    this.#suspicious.with({ event_type: eventType, reason: 'empty_store_blocks' }).inc();
  }
}
