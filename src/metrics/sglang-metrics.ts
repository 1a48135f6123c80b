import type { Counter } from './counter.ts';
import type { EngineSeries, FinishedRequest } from './engine-series.ts';
import type { Gauge } from './gauge.ts';
import type { Histogram } from './histogram.ts';
import { SGLANG } from './names/sglang.ts';
import type { Registry } from './registry.ts';

export interface SglangEngineOptions {
  readonly modelName: string;
  readonly dpRank: number;
  /** Tokens of a page. */
  readonly pageSize: number;
  readonly pages: number;
  /** Pages of host memory; SGLang's hierarchical cache is on where there are any. */
  readonly hostPages?: number;
}

type Families = ReturnType<typeof sglangFamilies>;

/** SGLang's native families for simulated engines. */
export class SglangMetrics {
  readonly #families: Families;

  /** A single rank has no label `dp_rank`, as in SGLang without data parallelism. */
  constructor(registry: Registry, dpSize: number) {
    this.#families = sglangFamilies(registry, dpSize > 1);
  }

  /** The series of one rank, all at zero. */
  engine(options: SglangEngineOptions): SglangEngineSeries {
    return new SglangEngineSeries(this.#families, options);
  }
}

/** The native series of one rank. Its tokenizer's counters are shared with the other ranks, as SGLang's are. */
export class SglangEngineSeries implements EngineSeries {
  readonly #tokens: number;
  readonly #pageSize: number;
  readonly #hicache: { readonly used: Gauge; readonly loaded: Counter } | undefined;
  readonly #gauge: Readonly<
    Record<'running' | 'queued' | 'usage' | 'usedTokens' | 'throughput' | 'hitRate' | 'retracted', Gauge>
  >;
  readonly #counter: Readonly<Record<'prompt' | 'generated' | 'cached' | 'requests' | 'aborted', Counter>>;
  readonly #time: Readonly<Record<'ttft' | 'itl' | 'e2e', Histogram>>;
  #generated = 0;
  #counted = 0;
  #countedAtMs: number | undefined;
  #retracted = 0;

  constructor(families: Families, options: SglangEngineOptions) {
    const { modelName, dpRank, pageSize, pages, hostPages = 0 } = options;
    const shared = { model_name: modelName, engine_type: 'unified' };
    const labels = {
      ...shared,
      dp_rank: String(dpRank),
      moe_ep_rank: '0',
      pp_rank: '0',
      tp_rank: '0',
    };
    this.#tokens = pageSize * pages;
    this.#gauge = {
      running: families.running.with(labels),
      queued: families.queued.with(labels),
      usage: families.usage.with(labels),
      usedTokens: families.usedTokens.with(labels),
      throughput: families.throughput.with(labels),
      hitRate: families.hitRate.with(labels),
      retracted: families.retracted.with(labels),
    };
    this.#counter = {
      prompt: families.promptTokens.with(shared),
      generated: families.generationTokens.with(shared),
      cached: families.cachedTokens.with({ ...shared, cache_source: 'device' }),
      requests: families.requests.with(shared),
      aborted: families.aborted.with(shared),
    };
    this.#time = {
      ttft: families.ttft.with(shared),
      itl: families.itl.with(shared),
      e2e: families.e2e.with(shared),
    };
    this.#pageSize = pageSize;
    if (hostPages > 0) {
      const { used, total } = families.hicache();
      total.with(labels).set(pageSize * hostPages);
      this.#hicache = {
        used: used.with(labels),
        loaded: families.cachedTokens.with({ ...shared, cache_source: 'host' }),
      };
    }
    families.totalTokens.with(labels).set(this.#tokens);
    families.pageSize.with(labels).set(pageSize);
    families.pages.with(labels).set(pages);
    // SGLang sets it only under an objective for its latency.
    families.utilization.with(labels).set(0);
  }

  setLoad(running: number, waiting: number, usage: number): void {
    this.#gauge.running.set(running);
    this.#gauge.queued.set(waiting);
    this.#gauge.usage.set(usage);
    this.#gauge.usedTokens.set(Math.round(usage * this.#tokens));
  }

  /** The rate is that of the latest prompt, as SGLang's is of the latest prefill batch. */
  prefixLookup(queriedTokens: number, hitTokens: number): void {
    this.#gauge.hitRate.set(queriedTokens === 0 ? 0 : hitTokens / queriedTokens);
  }

  preempted(requests = 1): void {
    this.#retracted += requests;
    this.#gauge.retracted.set(this.#retracted);
  }

  setHostUse(blocks: number): void {
    this.#hicache?.used.set(blocks * this.#pageSize);
  }

  firstToken(ttftS: number, promptTokens: number, cachedTokens: number, loadedTokens = 0): void {
    this.#time.ttft.observe(ttftS);
    this.#counter.prompt.inc(promptTokens);
    this.#counter.cached.inc(cachedTokens - loadedTokens);
    this.#hicache?.loaded.inc(loadedTokens);
    this.#count(1);
  }

  laterTokens(itlS: number, tokens = 1): void {
    this.#time.itl.observe(itlS, tokens);
    this.#count(tokens);
  }

  finished({ reason, arrivalMs, endMs }: FinishedRequest): void {
    this.#counter.requests.inc();
    if (reason === 'abort') this.#counter.aborted.inc();
    this.#time.e2e.observe((endMs - arrivalMs) / 1000);
  }

  /** The throughput is that since the refresh before. */
  refresh(nowMs: number): void {
    const sinceMs = nowMs - (this.#countedAtMs ?? nowMs);
    if (sinceMs > 0) this.#gauge.throughput.set((1000 * (this.#generated - this.#counted)) / sinceMs);
    this.#counted = this.#generated;
    this.#countedAtMs = nowMs;
  }

  #count(tokens: number): void {
    this.#generated += tokens;
    this.#counter.generated.inc(tokens);
  }
}

function sglangFamilies(registry: Registry, ranked: boolean) {
  const scheduler = (spec: (typeof SGLANG)['numRunningReqs']) =>
    registry.gauge(ranked ? spec : { ...spec, labels: spec.labels.filter((label) => label !== 'dp_rank') });
  return {
    running: scheduler(SGLANG.numRunningReqs),
    queued: scheduler(SGLANG.numQueueReqs),
    usage: scheduler(SGLANG.tokenUsage),
    usedTokens: scheduler(SGLANG.numUsedTokens),
    totalTokens: scheduler(SGLANG.maxTotalNumTokens),
    pageSize: scheduler(SGLANG.pageSize),
    pages: scheduler(SGLANG.numPages),
    hicache: () => ({
      used: scheduler(SGLANG.hicacheHostUsedTokens),
      total: scheduler(SGLANG.hicacheHostTotalTokens),
    }),
    throughput: scheduler(SGLANG.genThroughput),
    hitRate: scheduler(SGLANG.cacheHitRate),
    utilization: scheduler(SGLANG.utilization),
    retracted: scheduler(SGLANG.numRetractedReqs),
    promptTokens: registry.counter(SGLANG.promptTokensTotal),
    generationTokens: registry.counter(SGLANG.generationTokensTotal),
    cachedTokens: registry.counter(SGLANG.cachedTokensTotal),
    requests: registry.counter(SGLANG.numRequestsTotal),
    aborted: registry.counter(SGLANG.numAbortedRequestsTotal),
    ttft: registry.histogram(SGLANG.timeToFirstTokenSeconds),
    itl: registry.histogram(SGLANG.interTokenLatencySeconds),
    e2e: registry.histogram(SGLANG.e2eRequestLatencySeconds),
  };
}
