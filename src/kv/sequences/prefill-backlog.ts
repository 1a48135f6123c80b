/** One request's prompt tokens that a rank has yet to compute. */
export interface PendingPrefill {
  readonly tokens: number;
  /** Expected time to compute them; undefined when no model can tell. */
  readonly durationMs: number | undefined;
}

/**
 * Tokens that one rank has yet to prefill, shrinking with time where durations are known. The oldest entry is
 * the anchor, taken to be under way since `#anchorMs`; O(1) for every call.
 */
export class PrefillBacklog {
  // In order of arrival: the first is the anchor.
  readonly #pending = new Set<PendingPrefill>();
  #tokens = 0;
  #unmodelled = 0;
  #anchorMs = 0;

  add(prefill: PendingPrefill, nowMs: number): void {
    if (this.#pending.size === 0) this.#anchorMs = nowMs;
    this.#pending.add(prefill);
    this.#tokens += prefill.tokens;
    if (prefill.durationMs === undefined) this.#unmodelled++;
  }

  remove(prefill: PendingPrefill, nowMs: number): void {
    const wasAnchor = prefill === this.#anchor();
    if (!this.#pending.delete(prefill)) return;
    this.#tokens -= prefill.tokens;
    if (prefill.durationMs === undefined) this.#unmodelled--;
    if (wasAnchor) this.#anchorMs = nowMs;
    // Work done on a later request was not done on the anchor.
    else this.#anchorMs = Math.min(nowMs, this.#anchorMs + (prefill.durationMs ?? 0));
  }

  /** Requests whose prompts are not done. */
  get size(): number {
    return this.#pending.size;
  }

  /** Tokens left: with every duration known the anchor's pace runs through the whole backlog, else only the anchor shrinks. */
  tokensLeft(nowMs: number): number {
    if (this.#unmodelled === this.#pending.size) return this.#tokens;
    const anchor = this.#anchor();
    if (anchor?.durationMs === undefined) return this.#tokens;
    const elapsed = nowMs - this.#anchorMs;
    if (this.#unmodelled === 0) {
      const done =
        anchor.durationMs > 0 ? Math.floor((anchor.tokens * elapsed) / anchor.durationMs) : Infinity;
      return Math.max(0, this.#tokens - done);
    }
    const left = anchor.durationMs > 0 ? Math.min(1, Math.max(0, 1 - elapsed / anchor.durationMs)) : 0;
    return this.#tokens - anchor.tokens + Math.ceil(anchor.tokens * left);
  }

  #anchor(): PendingPrefill | undefined {
    return this.#pending.values().next().value;
  }
}
