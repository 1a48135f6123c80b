import type { Backend } from '../engine/engine-settings.ts';
import type { RankMetrics } from '../engine/pass.ts';
import type { EngineListener } from '../engine/simulated-engine.ts';
import type { EngineSeries, FinishedReason } from '../metrics/engine-series.ts';
import { KvPublisherMetrics } from '../metrics/kv-publisher-metrics.ts';
import { Registry } from '../metrics/registry.ts';
import { SglangMetrics } from '../metrics/sglang-metrics.ts';
import { VllmMetrics } from '../metrics/vllm-metrics.ts';
import { DynamoMetrics, type DynamoMetricsOptions } from './dynamo-metrics.ts';
import type { ChoiceOver } from './generation.ts';
import { HitRateWindow } from './hit-rate-window.ts';

export interface WorkerMetricsOptions extends DynamoMetricsOptions {
  /** Whose native families it shows; TensorRT-LLM's engines show vLLM's. */
  readonly backend: Backend;
  readonly blockSize: number;
  readonly numGpuBlocks: number;
  /** Of each rank; 0 without a tier below the device. */
  readonly hostBlocks: number;
  readonly contextLength: number;
}

/** All that a simulated worker says of itself: as a Dynamo worker, and as the engine that it imitates. */
export class WorkerMetrics {
  readonly dynamo: DynamoMetrics;
  /** One per data-parallel rank. */
  readonly engines: readonly EngineSeries[];
  /** The engine's own families go here. */
  readonly native: Registry;
  readonly #publisher: KvPublisherMetrics;
  readonly #hitRates: readonly HitRateWindow[];
  readonly #totals: { queried: number; hit: number }[];

  constructor(options: WorkerMetricsOptions) {
    const { dpSize, numGpuBlocks } = options;
    this.dynamo = new DynamoMetrics(options);
    const { process, component, engineLabels } = this.dynamo;
    this.#publisher = new KvPublisherMetrics(component);
    this.native = new Registry(process.root.registry.rules, engineLabels);
    process.attach(this.native);
    const ranks = Array.from({ length: dpSize }, (_, rank) => rank);
    this.engines = ranks.map(seriesMaker(this.native, options));
    this.#hitRates = ranks.map(() => new HitRateWindow());
    this.#totals = ranks.map(() => ({ queried: 0, hit: 0 }));
    for (const rank of ranks) this.#show(rank, { activeBlocks: 0, totalBlocks: numGpuBlocks });
  }

  /** What to give to the engine. */
  listener(): EngineListener {
    return {
      metrics: (rank, metrics) => this.#passed(rank, metrics),
      pressure: (rank) => this.engines[rank]!.preempted(),
      kvEvents: (rank, events) => {
        for (const { id } of events) this.#publisher.eventId(rank, id);
      },
    };
  }

  /** Shows cancelled requests gone without waiting for the next pass. */
  refreshOnScrape(metricsOf: (rank: number) => RankMetrics): void {
    this.dynamo.process.onScrape(() => {
      const nowMs = this.dynamo.process.clock.nowMs();
      for (const [rank, series] of this.engines.entries()) {
        this.#passed(rank, metricsOf(rank));
        series.refresh?.(nowMs);
      }
    });
  }

  /** A choice is over, however it came to that. */
  choiceOver({ choice, promptTokens, dpRank, arrivalMs, end }: ChoiceOver): void {
    const { firstTokenMs, admittedMs, tokenCount } = choice;
    const reason: FinishedReason = end === undefined ? 'abort' : end.reason === 'stop' ? 'stop' : 'length';
    const endMs = this.dynamo.process.clock.nowMs();
    this.engines[dpRank]!.finished({
      reason,
      promptTokens,
      cachedTokens: choice.cachedTokens ?? 0,
      generationTokens: tokenCount,
      arrivalMs,
      scheduledMs: admittedMs ?? endMs,
      firstTokenMs: firstTokenMs ?? endMs,
      endMs,
    });
  }

  #passed(rank: number, metrics: RankMetrics): void {
    const { runningRequests, waitingRequests, activeBlocks, totalBlocks } = metrics;
    this.engines[rank]!.setLoad(runningRequests, waitingRequests, activeBlocks / totalBlocks);
    this.engines[rank]!.setHostUse?.(metrics.hostBlocks);
    const last = this.#totals[rank]!;
    const { queriedTokensTotal, hitTokensTotal } = metrics;
    this.#hitRates[rank]!.push(queriedTokensTotal - last.queried, hitTokensTotal - last.hit);
    this.#totals[rank] = { queried: queriedTokensTotal, hit: hitTokensTotal };
    this.#show(rank, metrics);
  }

  #show(rank: number, { activeBlocks, totalBlocks }: { activeBlocks: number; totalBlocks: number }): void {
    const hitRate = this.#hitRates[rank]!.ratio;
    this.dynamo.showRank(rank, { activeBlocks, totalBlocks, usage: activeBlocks / totalBlocks, hitRate });
  }
}

function seriesMaker(native: Registry, options: WorkerMetricsOptions): (rank: number) => EngineSeries {
  const { backend, model: modelName, dpSize, blockSize, numGpuBlocks, hostBlocks, contextLength } = options;
  if (backend === 'sglang') {
    const sglang = new SglangMetrics(native, dpSize);
    return (rank) =>
      sglang.engine({
        modelName,
        dpRank: rank,
        pageSize: blockSize,
        pages: numGpuBlocks,
        hostPages: hostBlocks,
      });
  }
  const vllm = new VllmMetrics(native, contextLength);
  return (engine) => vllm.engine({ modelName, engine, blockSize, numGpuBlocks, offloads: hostBlocks > 0 });
}
