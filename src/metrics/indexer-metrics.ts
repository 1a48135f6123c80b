import type { Counter } from './counter.ts';
import type { Family } from './family.ts';
import type { Gauge } from './gauge.ts';
import type { Histogram } from './histogram.ts';
import { KV_INDEXER, KV_INDEXER_EVENTS } from './names/indexer.ts';
import type { Registry } from './registry.ts';

/** `dynamo_kvindexer_*`: the HTTP service of the standalone indexer. */
export class IndexerMetrics {
  readonly #duration: Family<'endpoint', Histogram>;
  readonly #requests: Family<'endpoint' | 'method', Counter>;
  readonly #errors: Family<'endpoint' | 'status_class', Counter>;
  readonly #models: Gauge;
  readonly #workers: Gauge;
  readonly #listeners: Family<'status', Gauge>;

  readonly #applied: Family<'event_type' | 'status', Counter>;
  readonly #warnings: Family<'warning_kind', Counter>;

  constructor(service: Registry) {
    this.#duration = service.histogram(KV_INDEXER.requestDurationSeconds);
    this.#requests = service.counter(KV_INDEXER.requestsTotal);
    this.#errors = service.counter(KV_INDEXER.errorsTotal);
    this.#models = service.gauge(KV_INDEXER.models).with();
    this.#workers = service.gauge(KV_INDEXER.workers).with();
    this.#listeners = service.gauge(KV_INDEXER.listeners);
    this.#applied = service.counter(KV_INDEXER_EVENTS.eventsApplied);
    this.#warnings = service.counter(KV_INDEXER_EVENTS.eventWarnings);
  }

  /** A request was answered; `endpoint` is the route's pattern, never the raw path. */
  answered(endpoint: string, method: string, status: number, durationMs: number): void {
    this.#requests.with({ endpoint, method }).inc();
    this.#duration.with({ endpoint }).observe(durationMs / 1000);
    if (status >= 400) this.#errors.with({ endpoint, status_class: status < 500 ? '4xx' : '5xx' }).inc();
  }

  /** An event of any partition was applied to its index. */
  eventApplied(eventType: string, status: string): void {
    this.#applied.with({ event_type: eventType, status }).inc();
  }

  eventWarning(warningKind: string): void {
    this.#warnings.with({ warning_kind: warningKind }).inc();
  }

  setModels(models: number): void {
    this.#models.set(models);
  }

  setWorkers(workers: number): void {
    this.#workers.set(workers);
  }

  /** Event listeners in a state. */
  setListeners(status: string, listeners: number): void {
    this.#listeners.with({ status }).set(listeners);
  }
}
