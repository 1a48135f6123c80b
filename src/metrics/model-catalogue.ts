import type { CancelTimer, Clock } from '../base/clock.ts';
import type { FrontendFamilies } from './frontend-families.ts';
import { ModelSeries } from './model-series.ts';
import type { MetricsVersion, Registry } from './registry.ts';

/** Label of requests for a model that nobody serves. */
const UNKNOWN_MODEL = 'unknown_model';
/** Label of models beyond the limit. */
const OVERFLOW_MODEL = 'overflow_model';

/** What a model card says; what it leaves out is not shown. */
export interface ModelConfig {
  readonly totalKvBlocks?: number;
  readonly maxNumSeqs?: number;
  readonly maxNumBatchedTokens?: number;
  readonly contextLength?: number;
  readonly kvCacheBlockSize?: number;
  readonly migrationLimit?: number;
}

export interface ModelLimits {
  /** Models with series of their own, those in their grace included. */
  readonly maxModels: number;
  /** How long the series of a model outlive its deregistration. */
  readonly modelGraceMs: number;
}

/** Which models have series: registered ones up to a limit, each until some time after it has left. */
export class ModelCatalogue {
  readonly #families: FrontendFamilies;
  readonly #service: Registry;
  readonly #clock: Clock;
  readonly #version: MetricsVersion;
  readonly #limits: ModelLimits;
  readonly #models = new Map<string, ModelSeries>();
  readonly #leaving = new Map<string, CancelTimer>();
  /** Registered models that the limit kept out. */
  readonly #overflow = new Set<string>();
  readonly #shared = new Map<string, ModelSeries>();

  constructor(families: FrontendFamilies, service: Registry, clock: Clock, limits: ModelLimits) {
    this.#families = families;
    this.#service = service;
    this.#clock = clock;
    this.#version = service.rules.version;
    this.#limits = limits;
  }

  /** Registers a model, or keeps one that was about to go. */
  add(model: string, config: ModelConfig = {}): void {
    this.#leaving.get(model)?.();
    this.#leaving.delete(model);
    if (!this.#models.has(model)) {
      if (this.#models.size >= this.#limits.maxModels) {
        if (!this.#overflow.has(model)) this.#families.modelOverflow.with().inc();
        this.#overflow.add(model);
        return;
      }
      this.#overflow.delete(model);
      const series = new ModelSeries(this.#families, this.#label(model));
      this.#models.set(model, series);
      if (this.#version !== '1.0.2') series.create();
    }
    this.#configure(model, config);
  }

  /** Deregisters a model; its series go after the grace. */
  remove(model: string): void {
    this.#overflow.delete(model);
    if (!this.#models.has(model) || this.#leaving.has(model)) return;
    const deadlineMs = this.#clock.nowMs() + this.#limits.modelGraceMs;
    this.#leaving.set(
      model,
      this.#clock.at(deadlineMs, () => this.#forget(model)),
    );
  }

  /** The series that requests for this model count in. */
  seriesOf(model: string): ModelSeries {
    const shared = this.#overflow.has(model) ? OVERFLOW_MODEL : UNKNOWN_MODEL;
    return this.#models.get(model) ?? this.#sharedSeries(shared);
  }

  /** Drops the timers. */
  stop(): void {
    for (const cancel of this.#leaving.values()) cancel();
    this.#leaving.clear();
  }

  #forget(model: string): void {
    const series = this.#models.get(model);
    this.#leaving.delete(model);
    this.#models.delete(model);
    series?.retire();
    // Two models may share a label where the version lower-cases names.
    const shared = [...this.#models.values()].some((other) => other.model === series?.model);
    if (series !== undefined && !shared) this.#service.removeSeries('model', series.model);
    if (series?.model !== model) this.#service.removeSeries('model', model);
  }

  #sharedSeries(label: string): ModelSeries {
    const known = this.#shared.get(label) ?? new ModelSeries(this.#families, label);
    this.#shared.set(label, known);
    return known;
  }

  #label(model: string): string {
    return this.#version === '1.0.2' ? model.toLowerCase() : model;
  }

  #configure(model: string, config: ModelConfig): void {
    const { totalKvBlocks, maxNumSeqs, maxNumBatchedTokens } = this.#families;
    const { contextLength, kvCacheBlockSize, migrationLimit } = this.#families;
    const gauges = {
      totalKvBlocks,
      maxNumSeqs,
      maxNumBatchedTokens,
      contextLength,
      kvCacheBlockSize,
      migrationLimit,
    };
    for (const [key, family] of Object.entries(gauges)) {
      const value = config[key as keyof ModelConfig];
      if (value !== undefined) family.with({ model }).set(value);
    }
  }
}
