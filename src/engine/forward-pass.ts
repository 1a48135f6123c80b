import type { ForwardPass } from './pass.ts';
import type { Sequence } from './sequence.ts';

/**
 * Figures of a vLLM pass. An item with prompt tokens scheduled counts as prefill, with all its tokens, even when
 * it also emits its first token; any other is decode. Preempted requests queue for decode.
 */
export function forwardPass(
  batch: readonly Sequence[],
  waiting: Iterable<Sequence>,
  durationMs: number,
): ForwardPass {
  const prefill = new Spread();
  const decode = new Spread();
  const queuedPrefill = new Spread();
  const queuedDecode = new Spread();
  let sumPrefillTokens = 0;
  let sumPrefillKvTokens = 0;
  for (const sequence of batch) {
    if (sequence.passComputedBefore < sequence.promptLength && sequence.passTokens > 0) {
      prefill.add(sequence.promptLength);
      sumPrefillTokens += sequence.passTokens;
      sumPrefillKvTokens += sequence.passComputedBefore;
    } else decode.add(sequence.passLength);
  }
  for (const sequence of waiting) {
    if (sequence.state === 'preempted') queuedDecode.add(sequence.length);
    else if (sequence.state === 'waiting_for_remote_kv') queuedDecode.add(sequence.promptLength);
    else queuedPrefill.add(sequence.promptLength);
  }
  return {
    numPrefillRequests: prefill.count,
    sumPrefillTokens,
    varPrefillLength: prefill.variance,
    sumPrefillKvTokens,
    numDecodeRequests: decode.count,
    sumDecodeKvTokens: decode.sum,
    varDecodeKvTokens: decode.variance,
    numQueuedPrefill: queuedPrefill.count,
    sumQueuedPrefillTokens: queuedPrefill.sum,
    varQueuedPrefillLength: queuedPrefill.variance,
    numQueuedDecode: queuedDecode.count,
    sumQueuedDecodeKvTokens: queuedDecode.sum,
    varQueuedDecodeKvTokens: queuedDecode.variance,
    durationMs,
  };
}

/** The forward pass of a rank that had nothing to do while its group took `durationMs`. */
export function idleForwardPass(durationMs: number): ForwardPass {
  return forwardPass([], [], durationMs);
}

/** Count, sum and population variance in one walk (Welford). */
export class Spread {
  count = 0;
  sum = 0;
  #mean = 0;
  #squares = 0;

  add(value: number): void {
    this.count++;
    this.sum += value;
    const delta = value - this.#mean;
    this.#mean += delta / this.count;
    this.#squares += delta * (value - this.#mean);
  }

  get variance(): number {
    return this.count === 0 ? 0 : this.#squares / this.count;
  }
}
