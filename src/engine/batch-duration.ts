import type { EngineSettings } from './engine-settings.ts';
import type { Sequence } from './sequence.ts';
import { decodeNs, prefillNs } from './timing.ts';

/**
 * Duration of a vLLM pass: its prefill part, then one decode step for every request whose tokens are all
 * computed by it. Generated tokens that are computed again after a preemption cost nothing.
 */
export function batchDurationNs(settings: EngineSettings, batch: readonly Sequence[]): number {
  let prefills = 0;
  let inputTokens = 0;
  let prefixTokens = 0;
  let decodes = 0;
  let contextTokens = 0;
  for (const sequence of batch) {
    const before = Math.min(sequence.promptLength, sequence.passComputedBefore);
    const after = Math.min(sequence.promptLength, sequence.computed);
    if (after > before) {
      prefills++;
      inputTokens += after;
      prefixTokens += before;
    }
    if (sequence.computed === sequence.length) {
      decodes++;
      contextTokens += sequence.length;
    }
  }
  const prefill = prefillNs(settings, prefills, inputTokens, prefixTokens);
  return settings.workerType === 'prefill' ? prefill : prefill + decodeNs(settings, decodes, contextTokens);
}
