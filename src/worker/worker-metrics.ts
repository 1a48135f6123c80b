import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { RankMetrics } from '../engine/pass.ts';
import type { EngineListener } from '../engine/simulated-engine.ts';
import { EngineGauges } from '../metrics/engine-gauges.ts';
import { KvPublisherMetrics } from '../metrics/kv-publisher-metrics.ts';
import { KvStatsMetrics } from '../metrics/kv-stats-metrics.ts';
import { ProcessMetrics } from '../metrics/process-metrics.ts';
import { type MetricsVersion, Registry } from '../metrics/registry.ts';
import type { FinishedReason, VllmEngineSeries } from '../metrics/vllm-engine-series.ts';
import { VllmMetrics } from '../metrics/vllm-metrics.ts';
import { WorkHandlerMetrics } from '../metrics/work-handler-metrics.ts';
import type { ChoiceOver } from './generation.ts';
import { HitRateWindow } from './hit-rate-window.ts';

export interface WorkerMetricsOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** u64 id of this worker in discovery. */
  readonly workerId: string;
  readonly namespace: string;
  readonly component: string;
  readonly endpoint: string;
  readonly model: string;
  readonly dpSize: number;
  readonly blockSize: number;
  readonly numGpuBlocks: number;
  readonly contextLength: number;
  readonly version?: MetricsVersion | undefined;
}

/** All that one worker says of itself: as a Dynamo worker, and as the vLLM engine that it imitates. */
export class WorkerMetrics {
  readonly process: ProcessMetrics;
  readonly work: WorkHandlerMetrics;
  readonly gauges: EngineGauges;
  /** One per data-parallel rank. */
  readonly engines: readonly VllmEngineSeries[];
  readonly #kvStats: KvStatsMetrics;
  readonly #publisher: KvPublisherMetrics;
  readonly #hitRates: readonly HitRateWindow[];
  readonly #totals: { queried: number; hit: number }[];

  constructor(options: WorkerMetricsOptions) {
    const { clock, log, workerId, namespace, component, endpoint, model, dpSize, blockSize } = options;
    const { numGpuBlocks } = options;
    const version = options.version === undefined ? {} : { version: options.version };
    this.process = new ProcessMetrics({ clock, log, instanceId: workerId, ...version });
    const componentNode = this.process.root.namespace(namespace).component(component);
    const endpointNode = componentNode.endpoint(endpoint, { model, model_name: model });
    this.work = new WorkHandlerMetrics(this.process, endpointNode);
    this.gauges = new EngineGauges(endpointNode, dpSize);
    this.#kvStats = new KvStatsMetrics(componentNode, dpSize);
    this.#publisher = new KvPublisherMetrics(componentNode);
    const native = new Registry(this.process.root.registry.rules, {
      dynamo_namespace: namespace,
      dynamo_component: component,
      dynamo_endpoint: endpoint,
      worker_id: BigInt(workerId).toString(16),
      model,
    });
    this.process.attach(native);
    const vllm = new VllmMetrics(native, options.contextLength);
    const ranks = Array.from({ length: dpSize }, (_, rank) => rank);
    this.engines = ranks.map((engine) => vllm.engine({ modelName: model, engine, blockSize, numGpuBlocks }));
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
    this.process.onScrape(() => {
      for (const rank of this.engines.keys()) this.#passed(rank, metricsOf(rank));
    });
  }

  /** A choice is over, however it came to that. */
  choiceOver({ choice, promptTokens, dpRank, arrivalMs, end }: ChoiceOver): void {
    const { firstTokenMs, admittedMs, tokenCount } = choice;
    const reason: FinishedReason = end === undefined ? 'abort' : end.reason === 'stop' ? 'stop' : 'length';
    const endMs = this.process.clock.nowMs();
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
    const last = this.#totals[rank]!;
    const { queriedTokensTotal, hitTokensTotal } = metrics;
    this.#hitRates[rank]!.push(queriedTokensTotal - last.queried, hitTokensTotal - last.hit);
    this.#totals[rank] = { queried: queriedTokensTotal, hit: hitTokensTotal };
    this.#show(rank, metrics);
  }

  #show(rank: number, { activeBlocks, totalBlocks }: { activeBlocks: number; totalBlocks: number }): void {
    const usage = activeBlocks / totalBlocks;
    const { ratio } = this.#hitRates[rank]!;
    this.gauges.setRank(rank, totalBlocks, usage, ratio);
    this.#kvStats.publish(rank, {
      activeBlocks,
      totalBlocks,
      gpuCacheUsage: usage,
      gpuPrefixCacheHitRate: ratio ?? 0,
    });
  }
}
