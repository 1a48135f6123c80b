import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import type { RouterConfig } from '../kv/config.ts';
import type { BlockHasher } from '../kv/hash.ts';
import { WasmIndex } from '../kv/index/wasm-index.ts';
import { KvRouter } from '../kv/kv-router.ts';
import type { IndexerMetrics } from '../metrics/indexer-metrics.ts';
import type { IndexPartition } from '../router/index-partition.ts';

export interface PartitionMaker {
  readonly clock: Clock;
  readonly random: Random;
  readonly hasher: BlockHasher;
  readonly metrics: IndexerMetrics;
}

/** A router with an index of its own, whose events are counted. */
export function makeIndexPartition(
  { metrics, ...parts }: PartitionMaker,
  blockSize: number,
  config: RouterConfig,
): IndexPartition {
  const index = new WasmIndex({ limitBytes: config.indexLimitBytes });
  const observer = {
    eventApplied: (_worker: unknown, kind: string, status: string) => metrics.eventApplied(kind, status),
    eventWarning: (_worker: unknown, warning: string) => metrics.eventWarning(warning),
  };
  return { router: new KvRouter({ ...parts, blockSize, config, index, observer }), index };
}
