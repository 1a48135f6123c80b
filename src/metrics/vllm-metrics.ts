import { oneTwoFiveBuckets } from './buckets.ts';
import { EXTERNAL_CACHE } from './names/connector.ts';
import { VLLM } from './names/engine.ts';
import type { Registry } from './registry.ts';
import type { HistogramSpec } from './spec.ts';
import { VllmEngineSeries } from './vllm-engine-series.ts';

export interface VllmEngineOptions {
  readonly modelName: string;
  /** Number of the engine within its process: the data-parallel rank. */
  readonly engine: number;
  readonly blockSize: number;
  readonly numGpuBlocks: number;
  /** A KV connector is at work: blocks are found beyond the GPU too. */
  readonly offloads?: boolean;
}

export type VllmFamilies = ReturnType<typeof vllmFamilies>;

/** vLLM's native families for simulated engines, in a registry whose constant labels are as the caller wants them. */
export class VllmMetrics {
  readonly #families: VllmFamilies;

  constructor(registry: Registry, maxModelLen: number) {
    this.#families = vllmFamilies(registry, maxModelLen);
  }

  /** The series of one engine, all at zero. */
  engine(options: VllmEngineOptions): VllmEngineSeries {
    return new VllmEngineSeries(this.#families, options);
  }
}

function vllmFamilies(registry: Registry, maxModelLen: number) {
  const buckets = oneTwoFiveBuckets(maxModelLen);
  const tokens = <L extends string>(spec: HistogramSpec<L>) => registry.histogram({ ...spec, buckets });
  return {
    running: registry.gauge(VLLM.numRequestsRunning),
    waiting: registry.gauge(VLLM.numRequestsWaiting),
    usage: registry.gauge(VLLM.kvCacheUsagePerc),
    prefixQueries: registry.counter(VLLM.prefixCacheQueriesTotal),
    prefixHits: registry.counter(VLLM.prefixCacheHitsTotal),
    preemptions: registry.counter(VLLM.numPreemptionsTotal),
    promptTokens: registry.counter(VLLM.promptTokensTotal),
    promptTokensCached: registry.counter(VLLM.promptTokensCachedTotal),
    generationTokens: registry.counter(VLLM.generationTokensTotal),
    success: registry.counter(VLLM.requestSuccessTotal),
    requestPromptTokens: tokens(VLLM.requestPromptTokens),
    requestGenerationTokens: tokens(VLLM.requestGenerationTokens),
    requestComputedTokens: tokens(VLLM.requestPrefillKvComputedTokens),
    ttft: registry.histogram(VLLM.timeToFirstTokenSeconds),
    itl: registry.histogram(VLLM.interTokenLatencySeconds),
    timePerOutputToken: registry.histogram(VLLM.requestTimePerOutputTokenSeconds),
    e2e: registry.histogram(VLLM.e2eRequestLatencySeconds),
    queueTime: registry.histogram(VLLM.requestQueueTimeSeconds),
    inferenceTime: registry.histogram(VLLM.requestInferenceTimeSeconds),
    prefillTime: registry.histogram(VLLM.requestPrefillTimeSeconds),
    decodeTime: registry.histogram(VLLM.requestDecodeTimeSeconds),
    drafts: registry.counter(VLLM.specDecodeNumDraftsTotal),
    draftTokens: registry.counter(VLLM.specDecodeNumDraftTokensTotal),
    acceptedTokens: registry.counter(VLLM.specDecodeNumAcceptedTokensTotal),
    cacheConfig: registry.gauge(VLLM.cacheConfigInfo),
    external: () => ({
      queries: registry.counter(EXTERNAL_CACHE.externalPrefixCacheQueriesTotal),
      hits: registry.counter(EXTERNAL_CACHE.externalPrefixCacheHitsTotal),
      bySource: registry.counter(EXTERNAL_CACHE.promptTokensBySourceTotal),
    }),
  };
}
