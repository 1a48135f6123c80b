import type { EngineSettings } from './engine-settings.ts';
import type { Sequence } from './sequence.ts';
import { decodeNs } from './timing.ts';

/** Consecutive passes that did nothing but emit one token for each of `sequences`. */
export interface DecodeRun {
  readonly sequences: readonly Sequence[];
  /** Start of the first pass in ns, then the end of each. */
  readonly times: readonly number[];
}

/**
 * Advances running requests by all the plain decode passes that start before `horizonNs`; undefined if fewer than
 * two lie ahead. Costs O(requests + passes) instead of their product; times are still summed pass by pass.
 */
export function decodeRun(
  settings: EngineSettings,
  running: readonly Sequence[],
  nowNs: number,
  horizonNs: number,
): DecodeRun | undefined {
  const limit = plainPasses(settings, running);
  if (limit < 2 || nowNs >= horizonNs) return undefined;
  let contextTokens = 0;
  for (const sequence of running) contextTokens += sequence.length;
  const times = [nowNs];
  let endNs = nowNs;
  while (times.length <= limit && endNs < horizonNs) {
    endNs += decodeNs(settings, running.length, contextTokens);
    contextTokens += running.length;
    times.push(endNs);
  }
  const passes = times.length - 1;
  for (const sequence of running) {
    sequence.computed += passes;
    sequence.generated += passes;
    sequence.outputsGiven += passes;
  }
  return { sequences: running, times };
}

/** How many of the next passes neither take, fill nor free a block, nor end a request. */
function plainPasses(settings: EngineSettings, running: readonly Sequence[]): number {
  const { backend, blockSize, maxModelLen, maxNumBatchedTokens, workerType } = settings;
  if (running.length === 0 || running.length > maxNumBatchedTokens || workerType === 'prefill') return 0;
  const lengthLimit = maxModelLen ?? Number.POSITIVE_INFINITY;
  let passes = Number.POSITIVE_INFINITY;
  for (const { computed, length, maxOutputTokens, generated } of running) {
    // A prompt that lacks one token looks alike, but its pass is a prefill.
    if (computed !== length - 1 || generated === 0) return 0;
    // SGLang makes room for the new token in the pass that emits it, vLLM in the next.
    const inBlock = (backend === 'sglang' ? length : computed) % blockSize;
    const untilBoundary = inBlock === 0 ? 0 : blockSize - 1 - inBlock;
    const untilEnd = Math.min(maxOutputTokens - generated, lengthLimit - length) - 1;
    passes = Math.min(passes, untilBoundary, untilEnd);
  }
  return passes;
}
