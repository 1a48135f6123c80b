import type { Counter } from './counter.ts';
import type { Histogram } from './histogram.ts';
import { PREDICTION } from './names/kvasir.ts';
import { ROUTER_REQUEST } from './names/router.ts';
import type { ProcessMetrics } from './process-metrics.ts';

/** Predicted hit rate of a prompt; undefined for an empty one. May exceed 1 when the index is wrong. */
export function kvHitRate(isl: number, blockSize: number, overlapBlocks: number): number | undefined {
  const blocks = Math.ceil(isl / blockSize);
  return blocks === 0 ? undefined : overlapBlocks / blocks;
}

/** Running mean of the time between tokens; undefined before the second token. */
export function averageItlS(firstTokenS: number, nowS: number, osl: number): number | undefined {
  return osl < 2 ? undefined : (nowS - firstTokenS) / (osl - 1);
}

/** Upper bound of the time that a request's KV cache took to reach its decode worker. */
export function kvTransferS(prefillCompleteS: number, firstTokenS: number): number {
  return Math.max(0, firstTokenS - prefillCompleteS);
}

/**
 * `dynamo_component_router_*`: every routed hop, under the labels of the component routed to. Make one per component
 * and share it: all series start at zero with it.
 */
export class RouterRequestMetrics {
  readonly #started: Counter;
  readonly #requests: Counter;
  readonly #ttft: Histogram;
  readonly #itl: Histogram;
  readonly #isl: Histogram;
  readonly #osl: Histogram;
  readonly #hitRate: Histogram;
  readonly #kvTransfer: Histogram;
  readonly #nonMaxOverlap: Counter;
  readonly #blocksLost: Histogram;
  readonly #queryFailures: Counter;
  readonly #writeFailures: Counter;
  readonly #anomalies: Counter;
  readonly #predicted: Counter;
  readonly #reported: Counter;
  readonly #error: Histogram;
  readonly #old: boolean;

  constructor(metrics: ProcessMetrics, namespace: string, component: string) {
    const { registry } = metrics.root.namespace(namespace).component(component);
    const labels = { router_id: metrics.instanceId.toString() };
    const prefill = { ...labels, worker_type: 'prefill' };
    this.#old = metrics.version === '1.0.2';
    this.#started = registry.counter(ROUTER_REQUEST.requestsStartedTotal).with(labels);
    this.#requests = registry.counter(ROUTER_REQUEST.requestsTotal).with(labels);
    this.#ttft = registry.histogram(ROUTER_REQUEST.timeToFirstTokenSeconds).with(labels);
    this.#itl = registry.histogram(ROUTER_REQUEST.interTokenLatencySeconds).with(labels);
    this.#isl = registry.histogram(ROUTER_REQUEST.inputSequenceTokens).with(labels);
    this.#osl = registry.histogram(ROUTER_REQUEST.outputSequenceTokens).with(labels);
    this.#hitRate = registry.histogram(ROUTER_REQUEST.kvHitRate).with(labels);
    this.#kvTransfer = registry.histogram(ROUTER_REQUEST.kvTransferEstimatedLatencySeconds).with(labels);
    this.#nonMaxOverlap = registry.counter(ROUTER_REQUEST.nonMaxOverlapSelectionsTotal).with(prefill);
    this.#blocksLost = registry.histogram(ROUTER_REQUEST.overlapBlocksLost).with(prefill);
    this.#queryFailures = registry.counter(ROUTER_REQUEST.remoteIndexerQueryFailuresTotal).with(labels);
    this.#writeFailures = registry.counter(ROUTER_REQUEST.remoteIndexerWriteFailuresTotal).with(labels);
    this.#anomalies = registry.counter(PREDICTION.anomaliesTotal).with();
    this.#predicted = registry.counter(PREDICTION.predictedTokensTotal).with();
    this.#reported = registry.counter(PREDICTION.reportedTokensTotal).with();
    this.#error = registry.histogram(PREDICTION.errorRatio).with();
  }

  /** A worker was chosen, be it only to answer a query. Leave the overlap out on a hop that repeats an earlier choice. */
  routed(isl: number, blockSize: number, overlapBlocks?: number): void {
    this.#isl.observe(isl);
    const rate = overlapBlocks === undefined ? undefined : kvHitRate(isl, blockSize, overlapBlocks);
    if (rate === undefined) return;
    if (rate > 1) this.#anomalies.inc();
    this.#hitRate.observe(Math.min(1, rate));
  }

  /** A worker was given the request. */
  started(): void {
    this.#started.inc();
  }

  /** An admitted prefill went elsewhere than to the largest overlap, losing so many blocks. */
  passedOver(blocksLost: number): void {
    this.#nonMaxOverlap.inc();
    this.#blocksLost.observe(blocksLost);
  }

  /** The first item with tokens, so long after the request was received. Once per request, not per hop. */
  firstToken(sinceReceivedMs: number): void {
    this.#ttft.observe(sinceReceivedMs / 1000);
  }

  /** A new block of output began; only where output blocks are tracked. */
  outputBlock(firstTokenMs: number, nowMs: number, osl: number): void {
    const average = averageItlS(firstTokenMs / 1000, nowMs / 1000, osl);
    if (average !== undefined) this.#itl.observe(average);
  }

  /** The routed stream has ended. Both instants of a disaggregated request, where known, bound its KV transfer. */
  ended(osl: number, prefillCompleteMs?: number, firstTokenMs?: number): void {
    this.#requests.inc();
    if (osl > 0 || this.#old) this.#osl.observe(osl);
    if (prefillCompleteMs === undefined || firstTokenMs === undefined) return;
    this.#kvTransfer.observe(kvTransferS(prefillCompleteMs / 1000, firstTokenMs / 1000));
  }

  /** The engine has said how many prompt tokens were cached, of which so many were foreseen. */
  predicted(isl: number, predictedTokens: number, reportedTokens: number): void {
    this.#predicted.inc(predictedTokens);
    this.#reported.inc(reportedTokens);
    if (isl > 0) this.#error.observe(Math.min(1, Math.abs(predictedTokens - reportedTokens) / isl));
  }

  remoteQueryFailed(): void {
    this.#queryFailures.inc();
  }

  /** So many decisions did not reach the remote indexer. */
  remoteWritesFailed(count: number): void {
    this.#writeFailures.inc(count);
  }
}
