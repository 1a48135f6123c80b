import type { ForwardPass } from './pass.ts';
import type { Sequence } from './sequence.ts';

/**
 * Figures of a vLLM pass. An item with prompt tokens scheduled counts as prefill, with all its tokens, even when
 * it also emits its first token; any other is decode.
 */
export function forwardPass(
  batch: readonly Sequence[],
  queued: Iterable<Sequence>,
  durationMs: number,
): ForwardPass {
  const prefill = new PrefillFigures();
  const decode = new Spread();
  for (const { promptLength, passComputedBefore, passTokens, passLength } of batch) {
    if (passComputedBefore < promptLength && passTokens > 0)
      prefill.add(promptLength, passTokens, passComputedBefore);
    else decode.add(passLength);
  }
  return figures(prefill, decode, queued, durationMs);
}

/** A prompt, or a chunk of one, in the prefill batch of an SGLang pass. */
export interface PrefillItem {
  readonly sequence: Sequence;
  /** Tokens that were cached, or computed by earlier chunks. */
  readonly prefix: number;
  /** Tokens done when the pass is. */
  readonly end: number;
  readonly whole: boolean;
}

/** Figures of an SGLang pass: a prompt that also emits its first token counts in both groups. */
export function sglangForwardPass(
  items: readonly PrefillItem[],
  decodeLengths: readonly number[],
  queued: Iterable<Sequence>,
  durationMs: number,
): ForwardPass {
  const prefill = new PrefillFigures();
  const decode = new Spread();
  for (const { sequence, prefix, end } of items)
    if (end > prefix) prefill.add(sequence.promptLength, end - prefix, prefix);
  for (const length of decodeLengths) decode.add(length);
  return figures(prefill, decode, queued, durationMs);
}

class PrefillFigures {
  readonly lengths = new Spread();
  tokens = 0;
  kvTokens = 0;

  add(promptLength: number, tokens: number, kvTokens: number): void {
    this.lengths.add(promptLength);
    this.tokens += tokens;
    this.kvTokens += kvTokens;
  }
}

/** Preempted requests queue for decode with all their tokens, those handed over from elsewhere with their prompts. */
function figures(
  prefill: PrefillFigures,
  decode: Spread,
  queued: Iterable<Sequence>,
  durationMs: number,
): ForwardPass {
  const queuedPrefill = new Spread();
  const queuedDecode = new Spread();
  for (const { state, handedOver, length, promptLength } of queued) {
    if (state === 'preempted') queuedDecode.add(length);
    else if (state === 'waiting_for_remote_kv' || handedOver) queuedDecode.add(promptLength);
    else queuedPrefill.add(promptLength);
  }
  return {
    numPrefillRequests: prefill.lengths.count,
    sumPrefillTokens: prefill.tokens,
    varPrefillLength: prefill.lengths.variance,
    sumPrefillKvTokens: prefill.kvTokens,
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
