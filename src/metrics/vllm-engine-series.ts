import type { Counter } from './counter.ts';
import {
  type EngineSeries,
  FINISHED_REASONS,
  type FinishedReason,
  type FinishedRequest,
} from './engine-series.ts';
import type { Gauge } from './gauge.ts';
import type { Histogram } from './histogram.ts';
import type { VllmEngineOptions, VllmFamilies } from './vllm-metrics.ts';

/** The native series of one engine. */
export class VllmEngineSeries implements EngineSeries {
  readonly #running: Gauge;
  readonly #waiting: Gauge;
  readonly #usage: Gauge;
  readonly #prefixQueries: Counter;
  readonly #prefixHits: Counter;
  readonly #preemptions: Counter;
  readonly #promptTokens: Counter;
  readonly #promptTokensCached: Counter;
  readonly #generationTokens: Counter;
  readonly #success: ReadonlyMap<FinishedReason, Counter>;
  readonly #ttft: Histogram;
  readonly #itl: Histogram;
  readonly #request: Readonly<Record<'prompt' | 'generation' | 'computed', Histogram>>;
  readonly #times: Readonly<
    Record<'e2e' | 'queue' | 'inference' | 'prefill' | 'decode' | 'perToken', Histogram>
  >;
  readonly #external: ExternalCache | undefined;
  readonly #speculation: () => readonly [Counter, Counter, Counter];

  constructor(families: VllmFamilies, options: VllmEngineOptions) {
    const { modelName, engine, blockSize, numGpuBlocks, offloads } = options;
    const labels = { model_name: modelName, engine: String(engine) };
    this.#running = families.running.with(labels);
    this.#waiting = families.waiting.with(labels);
    this.#usage = families.usage.with(labels);
    this.#prefixQueries = families.prefixQueries.with(labels);
    this.#prefixHits = families.prefixHits.with(labels);
    this.#preemptions = families.preemptions.with(labels);
    this.#promptTokens = families.promptTokens.with(labels);
    this.#promptTokensCached = families.promptTokensCached.with(labels);
    this.#generationTokens = families.generationTokens.with(labels);
    this.#success = new Map(
      FINISHED_REASONS.map((reason) => [
        reason,
        families.success.with({ ...labels, finished_reason: reason }),
      ]),
    );
    this.#ttft = families.ttft.with(labels);
    this.#itl = families.itl.with(labels);
    this.#request = {
      prompt: families.requestPromptTokens.with(labels),
      generation: families.requestGenerationTokens.with(labels),
      computed: families.requestComputedTokens.with(labels),
    };
    this.#times = {
      e2e: families.e2e.with(labels),
      queue: families.queueTime.with(labels),
      inference: families.inferenceTime.with(labels),
      prefill: families.prefillTime.with(labels),
      decode: families.decodeTime.with(labels),
      perToken: families.timePerOutputToken.with(labels),
    };
    this.#speculation = () => [
      families.drafts.with(labels),
      families.draftTokens.with(labels),
      families.acceptedTokens.with(labels),
    ];
    if (offloads) this.#external = externalCache(families, labels);
    const config = {
      engine: labels.engine,
      block_size: String(blockSize),
      num_gpu_blocks: String(numGpuBlocks),
    };
    families.cacheConfig.with(config).set(1);
  }

  setLoad(running: number, waiting: number, usage: number): void {
    this.#running.set(running);
    this.#waiting.set(waiting);
    this.#usage.set(usage);
  }

  prefixLookup(queriedTokens: number, hitTokens: number, loadedTokens = 0): void {
    this.#prefixQueries.inc(queriedTokens);
    this.#prefixHits.inc(hitTokens - loadedTokens);
    this.#external?.queries.inc(queriedTokens);
    this.#external?.hits.inc(loadedTokens);
  }

  preempted(requests = 1): void {
    this.#preemptions.inc(requests);
  }

  firstToken(ttftS: number, promptTokens: number, cachedTokens: number, loadedTokens = 0): void {
    this.#ttft.observe(ttftS);
    this.#promptTokens.inc(promptTokens);
    this.#promptTokensCached.inc(cachedTokens);
    this.#external?.computed.inc(promptTokens - cachedTokens);
    this.#external?.local.inc(cachedTokens - loadedTokens);
    this.#external?.loaded.inc(loadedTokens);
    this.#generationTokens.inc();
  }

  laterTokens(itlS: number, tokens = 1): void {
    this.#itl.observe(itlS, tokens);
    this.#generationTokens.inc(tokens);
  }

  finished(request: FinishedRequest): void {
    const { promptTokens, cachedTokens, generationTokens, arrivalMs, scheduledMs, firstTokenMs, endMs } =
      request;
    this.#success.get(request.reason)!.inc();
    this.#request.prompt.observe(promptTokens);
    this.#request.computed.observe(promptTokens - cachedTokens);
    this.#request.generation.observe(generationTokens);
    this.#times.e2e.observe((endMs - arrivalMs) / 1000);
    this.#times.queue.observe((scheduledMs - arrivalMs) / 1000);
    this.#times.inference.observe((endMs - scheduledMs) / 1000);
    this.#times.prefill.observe((firstTokenMs - scheduledMs) / 1000);
    this.#times.decode.observe((endMs - firstTokenMs) / 1000);
    const perTokenMs = generationTokens > 1 ? (endMs - firstTokenMs) / (generationTokens - 1) : 0;
    this.#times.perToken.observe(perTokenMs / 1000);
  }

  /** One step of speculative decoding; the series appear with the first. */
  speculated(drafts: number, draftTokens: number, acceptedTokens: number): void {
    const [draftCounter, tokenCounter, acceptedCounter] = this.#speculation();
    draftCounter.inc(drafts);
    tokenCounter.inc(draftTokens);
    acceptedCounter.inc(acceptedTokens);
  }
}

/** What the series of an engine with a KV connector count beside those of one without. */
type ExternalCache = ReturnType<typeof externalCache>;

function externalCache(families: VllmFamilies, labels: { model_name: string; engine: string }) {
  const { queries, hits, bySource } = families.external();
  const source = (name: string): Counter => bySource.with({ ...labels, source: name });
  return {
    queries: queries.with(labels),
    hits: hits.with(labels),
    computed: source('local_compute'),
    local: source('local_cache_hit'),
    loaded: source('external_kv_transfer'),
  };
}
