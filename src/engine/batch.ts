import type { EngineSettings } from './engine-settings.ts';
import type { Sequence } from './sequence.ts';
import { decodeNs, prefillNs } from './timing.ts';

/** What one vLLM pass computes: requests in the order in which they were scheduled, and the tokens still to be had. */
export class Batch {
  readonly sequences: Sequence[] = [];
  /** Tokens that the pass may take yet. */
  budget = 0;

  start(budget: number): void {
    this.sequences.length = 0;
    this.budget = budget;
  }

  /** Counts the next `tokens` of a request as computed by this pass. */
  add(sequence: Sequence, tokens: number): void {
    sequence.passTokens = tokens;
    sequence.passComputedBefore = sequence.computed;
    sequence.passLength = sequence.length;
    sequence.computed += tokens;
    this.budget -= tokens;
    this.sequences.push(sequence);
  }

  /** Takes a request out again, if it is in; its tokens may be had by others. */
  withdraw(sequence: Sequence): void {
    const at = this.sequences.indexOf(sequence);
    if (at < 0) return;
    this.sequences.splice(at, 1);
    this.budget += sequence.passTokens;
  }

  /**
   * The prefill part of the pass, then one decode step for every request whose tokens are all computed by it.
   * Generated tokens that are computed again after a preemption cost nothing.
   */
  durationNs(settings: EngineSettings): number {
    let prefills = 0;
    let inputTokens = 0;
    let prefixTokens = 0;
    let decodes = 0;
    let contextTokens = 0;
    for (const sequence of this.sequences) {
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
}
