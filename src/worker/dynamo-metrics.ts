import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { EngineGauges } from '../metrics/engine-gauges.ts';
import type { MetricsNode } from '../metrics/hierarchy.ts';
import { KvStatsMetrics } from '../metrics/kv-stats-metrics.ts';
import { ProcessMetrics } from '../metrics/process-metrics.ts';
import type { MetricsVersion } from '../metrics/registry.ts';
import { WorkHandlerMetrics } from '../metrics/work-handler-metrics.ts';

export interface DynamoMetricsOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** u64 id of this worker in discovery. */
  readonly workerId: string;
  readonly namespace: string;
  readonly component: string;
  readonly endpoint: string;
  readonly model: string;
  readonly dpSize: number;
  readonly version?: MetricsVersion | undefined;
}

/** State of a rank's KV cache. */
export interface RankCache {
  readonly activeBlocks: number;
  readonly totalBlocks: number;
  /** Ratio 0..1. */
  readonly usage: number;
  /** Ratio 0..1; undefined without data. */
  readonly hitRate: number | undefined;
}

/** What any worker says of itself as a Dynamo worker, whatever its engine is. */
export class DynamoMetrics {
  readonly process: ProcessMetrics;
  readonly component: MetricsNode;
  readonly work: WorkHandlerMetrics;
  readonly gauges: EngineGauges;
  /** Labels that every sample of the engine's own metrics gets. */
  readonly engineLabels: Readonly<Record<string, string>>;
  readonly #kvStats: KvStatsMetrics;

  constructor(options: DynamoMetricsOptions) {
    const { clock, log, workerId, namespace, component, endpoint, model, dpSize } = options;
    const version = options.version === undefined ? {} : { version: options.version };
    this.process = new ProcessMetrics({ clock, log, instanceId: workerId, ...version });
    this.component = this.process.root.namespace(namespace).component(component);
    const node = this.component.endpoint(endpoint, { model, model_name: model });
    this.work = new WorkHandlerMetrics(this.process, node);
    this.gauges = new EngineGauges(node, dpSize);
    this.#kvStats = new KvStatsMetrics(this.component, dpSize);
    this.engineLabels = {
      dynamo_namespace: namespace,
      dynamo_component: component,
      dynamo_endpoint: endpoint,
      worker_id: BigInt(workerId).toString(16),
      model,
    };
  }

  showRank(rank: number, { activeBlocks, totalBlocks, usage, hitRate }: RankCache): void {
    this.gauges.setRank(rank, totalBlocks, usage, hitRate);
    const gpuPrefixCacheHitRate = hitRate ?? 0;
    this.#kvStats.publish(rank, { activeBlocks, totalBlocks, gpuCacheUsage: usage, gpuPrefixCacheHitRate });
  }
}
