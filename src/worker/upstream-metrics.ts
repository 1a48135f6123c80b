import type { Clock } from '../base/clock.ts';
import type { EngineLoad } from '../formats/engine-load/engine-load.ts';
import { injectLabels } from '../formats/prometheus-text/inject-labels.ts';
import { toOpenMetrics } from '../formats/prometheus-text/to-openmetrics.ts';
import type { EngineMetrics } from '../transport/engine-metrics.ts';
import type { DynamoMetrics } from './dynamo-metrics.ts';

export interface UpstreamMetricsOptions {
  readonly metrics: DynamoMetrics;
  readonly clock: Clock;
  readonly model: string;
  /** Of each rank, for an engine whose metrics do not tell. */
  readonly totalBlocks: number | undefined;
  /** The engine's own metrics; rejects while they cannot be had. */
  readonly fetch: () => Promise<EngineMetrics>;
}

interface Lookups {
  readonly atMs: number;
  readonly hits: number;
  readonly queries: number;
}

/** How far back the hit rate looks. */
const WINDOW_MS = 60_000;
const MAX_SAMPLES = 128;

/** With every scrape reads the engine's own metrics: into Dynamo's gauges, and labelled behind them. */
export class UpstreamMetrics {
  readonly #options: UpstreamMetricsOptions;
  readonly #lookups = new Map<number, Lookups[]>();
  #text: string | undefined;

  constructor(options: UpstreamMetricsOptions) {
    this.#options = options;
    const { process, engineLabels } = options.metrics;
    const labels = { ...engineLabels, model_name: options.model };
    process.onScrape(() => this.#refresh());
    process.appendText((format) => {
      if (this.#text === undefined) return '';
      const { text } = injectLabels(this.#text, labels);
      return format === 'openmetrics' ? toOpenMetrics(text) : text;
    });
  }

  async #refresh(): Promise<void> {
    this.#text = undefined;
    const { text, loads } = await this.#options.fetch();
    this.#text = text;
    for (const load of loads) this.#show(load);
  }

  #show(load: EngineLoad): void {
    const { rank, totalBlocks = this.#options.totalBlocks } = load;
    const kvUsage =
      load.kvUsage ??
      (totalBlocks && load.usedBlocks !== undefined ? load.usedBlocks / totalBlocks : undefined);
    if (kvUsage === undefined || totalBlocks === undefined) return;
    this.#options.metrics.showRank(rank, {
      activeBlocks: load.usedBlocks ?? Math.round(kvUsage * totalBlocks),
      totalBlocks,
      usage: kvUsage,
      hitRate: this.#recentHitRate(load),
    });
  }

  /** Of the lookups of the last minute where the engine counts them, else as it has it itself. */
  #recentHitRate({ rank, prefixHits, prefixQueries, hitRate }: EngineLoad): number | undefined {
    if (prefixHits === undefined || prefixQueries === undefined) return hitRate;
    const atMs = this.#options.clock.nowMs();
    const samples = this.#lookups.get(rank) ?? [];
    this.#lookups.set(rank, samples);
    // An engine that restarted counts from zero again.
    if (prefixQueries < (samples.at(-1)?.queries ?? 0)) samples.length = 0;
    samples.push({ atMs, hits: prefixHits, queries: prefixQueries });
    while (samples.length > 2 && (samples[1]!.atMs <= atMs - WINDOW_MS || samples.length > MAX_SAMPLES))
      samples.shift();
    const oldest = samples[0]!;
    const queries = prefixQueries - oldest.queries;
    return queries > 0 ? (prefixHits - oldest.hits) / queries : hitRate;
  }
}
