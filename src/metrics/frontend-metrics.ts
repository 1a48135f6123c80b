import type { Counter } from './counter.ts';
import { type FrontendFamilies, frontendFamilies } from './frontend-families.ts';
import { ModelCatalogue, type ModelConfig, type ModelLimits } from './model-catalogue.ts';
import { TOKENIZER_CACHE } from './names/frontend.ts';
import type { EndpointName, RequestType } from './outcome.ts';
import type { ProcessMetrics } from './process-metrics.ts';
import { type GuardContext, RequestGuard } from './request-guard.ts';
import { frontendPrefix } from './sanitise.ts';
import { StageMetrics } from './stage-metrics.ts';
import { WorkerLoadMetrics } from './worker-load-metrics.ts';

export interface FrontendMetricsOptions extends Partial<ModelLimits> {
  /** `DYN_METRICS_PREFIX`. */
  readonly prefix?: string | undefined;
  /** HTTP status that means overload besides 429 and 529. */
  readonly overloadStatus?: number;
  /** Also observe the time between chunks as they arrive. */
  readonly chunkGaps?: boolean;
}

/** Where the hints of a request come from. */
export type HintSource = 'agent_hints' | 'annotations' | 'headers' | 'prediction';
export type MigrationType = 'new_request' | 'ongoing_request';
export type MigrationOutcome = 'success' | 'failure' | 'cancelled';

/** The counters of one model's cached tokenizer. */
export interface TokenizerCacheSeries {
  /** One encoding, of which the cache gave `cachedTokens`. */
  encoded(cachedTokens: number, freshTokens: number): void;
}

/** `dynamo_frontend_*`: what the HTTP service says of its requests, models and workers. */
export class FrontendMetrics {
  readonly stages: StageMetrics;
  readonly workers: WorkerLoadMetrics;
  readonly #families: FrontendFamilies;
  readonly #models: ModelCatalogue;
  readonly #context: GuardContext;
  readonly #traces: boolean;
  readonly #cacheCounters;

  constructor(metrics: ProcessMetrics, options: FrontendMetricsOptions = {}) {
    const { service, clock, version } = metrics;
    this.#families = frontendFamilies(service, frontendPrefix(options.prefix));
    this.#families.disconnected.with();
    this.#families.disconnects.with();
    const limits = { maxModels: options.maxModels ?? 200, modelGraceMs: options.modelGraceMs ?? 300_000 };
    this.#models = new ModelCatalogue(this.#families, service, clock, limits);
    this.#traces = metrics.openMetrics;
    this.stages = new StageMetrics(metrics);
    this.workers = new WorkerLoadMetrics(metrics);
    this.#context = {
      families: this.#families,
      workers: this.workers,
      clock,
      version,
      overloadStatus: options.overloadStatus ?? 529,
      chunkGaps: options.chunkGaps ?? false,
    };
    this.#cacheCounters = {
      hits: service.counter(TOKENIZER_CACHE.hitsTotal),
      misses: service.counter(TOKENIZER_CACHE.missesTotal),
      cached: service.counter(TOKENIZER_CACHE.cachedTokensTotal),
      fresh: service.counter(TOKENIZER_CACHE.uncachedTokensTotal),
    };
  }

  /** A request enters its handler; a model that is not registered counts as `unknown_model`. */
  begin(model: string, endpoint: EndpointName, requestType: RequestType, traceId?: string): RequestGuard {
    const series = this.#models.seriesOf(model);
    const trace =
      this.#traces && traceId !== undefined && traceId.length <= MAX_TRACE_ID ? traceId : undefined;
    return new RequestGuard(this.#context, series, endpoint, requestType, trace);
  }

  /** A model is served; its series appear at zero. Again with a new config when the card changes. */
  addModel(model: string, config?: ModelConfig): void {
    this.#models.add(model, config);
  }

  /** A model is no longer served; its series go after the grace. */
  removeModel(model: string): void {
    this.#models.remove(model);
  }

  /** One prompt was tokenised. */
  tokenized(durationMs: number): void {
    this.#families.tokenizerLatency.with({ operation: 'tokenize' }).observe(durationMs);
    this.stages.tokenized(durationMs);
  }

  /** The counters of a model's tokenizer cache, from its making on. */
  tokenizerCache(model: string): TokenizerCacheSeries {
    const { hits, misses, cached, fresh } = this.#cacheCounters;
    const [hit, miss] = [hits.with(), misses.with()];
    const [cachedTokens, freshTokens]: Counter[] = [cached.with({ model }), fresh.with({ model })];
    return {
      encoded: (fromCache, fromText) => {
        (fromCache > 0 ? hit : miss).inc();
        cachedTokens!.inc(fromCache);
        freshTokens!.inc(fromText);
      },
    };
  }

  /** A decode worker was given the whole request for what its prompt or the prefill workers’ load was. */
  prefillBypassed(model: string): void {
    this.#families.prefillBypassed.with({ model: this.#label(model) }).inc();
  }

  /** A request was refused for a limit of its key, which is named, not told. */
  limited(key: string, limit: string): void {
    this.#families.limited.with({ key, limit }).inc();
  }

  /** A request came with hints of an agent, or got them here. */
  hinted(source: HintSource): void {
    this.#families.agentHints.with({ source }).inc();
  }

  /** A migratable failure: of a stream's creation, or of a stream that was running. */
  migrated(model: string, type: MigrationType): void {
    this.#families.migrations.with({ model: this.#label(model), migration_type: type }).inc();
  }

  /** A migration has ended, so long after its failure was seen. */
  migrationEnded(model: string, type: MigrationType, outcome: MigrationOutcome, durationMs: number): void {
    const labels = { model: this.#label(model), migration_type: type, outcome };
    this.#families.migrationDuration.with(labels).observe(durationMs / 1000);
  }

  /** A request has grown too long to be migrated. */
  migrationTooLong(model: string): void {
    this.#families.migrationTooLong.with({ model: this.#label(model) }).inc();
  }

  /** Drops the timers. */
  stop(): void {
    this.#models.stop();
  }

  #label(model: string): string {
    return this.#models.seriesOf(model).model;
  }
}

// An exemplar's labels may have 128 characters in all, names included.
const MAX_TRACE_ID = 128 - 'trace_id'.length;
