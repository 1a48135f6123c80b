import { fail } from '../base/errors.ts';
import type { KvCapacity } from './target.ts';

/** Output tokens of a decode probe while interpolating, whatever the user's own OSL. */
export const DECODE_PROBE_OSL = 500;
const SHORTEST_ISL = 100;
/** Room that a chat template may take of the context. */
const TEMPLATE_TOKENS = 512;
const MOST_CONCURRENT = 2000;

/** GPU counts of dense engines: the powers of two from `min` to `max`. */
export function denseGpuCounts(min: number, max: number): number[] {
  const counts = [];
  for (let gpus = 1; gpus <= max; gpus *= 2) if (gpus >= min) counts.push(gpus);
  if (counts.length === 0) throw emptyRange(min, max, 'holds no power of two');
  return counts;
}

/** GPU counts of MoE engines: multiples of a node from `min` on. */
export function moeGpuCounts(min: number, max: number, gpusPerNode: number): number[] {
  const counts = [];
  for (let gpus = min; gpus <= max; gpus += gpusPerNode) counts.push(gpus);
  if (counts.length === 0) throw emptyRange(min, max, 'is empty');
  return counts;
}

/**
 * Requests in flight to probe a decode engine with: `granularity` values evenly from one per attention rank to the
 * engine's capacity, all multiples of `attentionDp` so that both passes of a point reach the same ranks.
 */
export function inFlightCounts(attentionDp: number, engineMax: number, granularity: number): number[] {
  const perRank = Math.floor(Math.min(engineMax, MOST_CONCURRENT) / attentionDp);
  if (perRank < granularity) return Array.from({ length: perRank }, (_, i) => (i + 1) * attentionDp);
  const step = granularity > 1 ? (perRank - 1) / (granularity - 1) : 0;
  return Array.from({ length: granularity }, (_, i) => attentionDp + Math.trunc(i * step) * attentionDp);
}

/** Requests of so many tokens that a KV cache holds, in whole blocks where their size is known. */
export function requestsThatFit({ tokens, blockSize = 1 }: KvCapacity, requestTokens: number): number {
  return Math.floor(Math.floor(tokens / blockSize) / Math.ceil(requestTokens / blockSize));
}

/** Prompt lengths of the prefill interpolation; `forTemplate` keeps room for a chat template. */
export function prefillIsls(maxContext: number, granularity: number, forTemplate = false): number[] {
  const longest = maxContext - (forTemplate ? TEMPLATE_TOKENS : 0);
  return arithmetic(longest, Math.floor((longest - SHORTEST_ISL) / granularity), maxContext);
}

/** Prompt lengths of the decode interpolation, which leave room for the probe's output. */
export function decodeIsls(maxContext: number, granularity: number): number[] {
  const longest = maxContext - DECODE_PROBE_OSL;
  return arithmetic(longest, Math.floor(longest / granularity), maxContext);
}

function arithmetic(below: number, step: number, maxContext: number): number[] {
  if (step < 1 || below <= 0) {
    throw fail('KV_SETTING_INVALID', {
      setting: '--max-context-length',
      value: maxContext,
      reason: 'leaves no room for the probes',
      mend: 'Give a longer context or a smaller granularity.',
    });
  }
  const lengths = [];
  for (let isl = SHORTEST_ISL; isl < below; isl += step) lengths.push(isl);
  return lengths;
}

function emptyRange(min: number, max: number, reason: string): Error {
  const value = `${min}..${max}`;
  return fail('KV_SETTING_INVALID', {
    setting: '--min/--max-num-gpus-per-engine',
    value,
    reason,
    mend: 'Widen the range.',
  });
}
