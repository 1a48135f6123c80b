import type { Histogram } from './histogram.ts';
import { ROUTER_OVERHEAD } from './names/router.ts';
import type { ProcessMetrics } from './process-metrics.ts';
import { routingPhases } from './routing-phases.ts';

/** `dynamo_router_overhead_*_ms`: where the time of a routing decision goes. Only where the HTTP frontend runs. */
export class RouterOverheadMetrics {
  readonly #blockHashing: Histogram;
  readonly #findMatches: Histogram;
  readonly #seqHashing: Histogram;
  readonly #scheduling: Histogram;
  readonly #total: Histogram;

  constructor({ service, instanceId }: ProcessMetrics) {
    const labels = { router_id: instanceId.toString() };
    this.#blockHashing = service.histogram(ROUTER_OVERHEAD.blockHashingMs).with(labels);
    this.#findMatches = service.histogram(ROUTER_OVERHEAD.indexerFindMatchesMs).with(labels);
    this.#seqHashing = service.histogram(ROUTER_OVERHEAD.seqHashingMs).with(labels);
    this.#scheduling = service.histogram(ROUTER_OVERHEAD.schedulingMs).with(labels);
    this.#total = service.histogram(ROUTER_OVERHEAD.totalMs).with(labels);
  }

  /**
   * One successful selection, query-only ones included. Each argument is the time elapsed since the decision began
   * when its step was done: block hashes, index lookup, sequence hashes, choice.
   */
  observe(hashMs: number, findMs: number, seqMs: number, totalMs: number): void {
    const phases = routingPhases(hashMs, findMs, seqMs, totalMs);
    this.#blockHashing.observe(phases.blockHashing);
    this.#findMatches.observe(phases.indexerFindMatches);
    this.#seqHashing.observe(phases.seqHashing);
    this.#scheduling.observe(phases.scheduling);
    this.#total.observe(phases.total);
  }
}
