/** What a matcher lets out: text that is certain, and whether a stop string was completed. */
export interface StopResult {
  readonly text: string;
  /** The stop string that ended the answer. */
  readonly stop: string | undefined;
}

/**
 * Finds stop strings in text that arrives in pieces, wherever the pieces part. Text that may be the beginning
 * of a stop string is held back until it is decided; the earliest match wins, then the longer string.
 */
export class StopMatcher {
  readonly #stops: readonly string[];
  readonly #include: boolean;
  #held = '';

  /** `include` lets the stop string itself out as well. Empty strings never match. */
  constructor(stops: readonly string[], include = false) {
    this.#stops = [...new Set(stops)].filter((stop) => stop !== '').sort((a, b) => b.length - a.length);
    this.#include = include;
  }

  /** After a stop was found nothing more may be pushed. O(text times stop strings). */
  push(piece: string): StopResult {
    if (this.#stops.length === 0) return { text: piece, stop: undefined };
    const text = this.#held + piece;
    let at = text.length;
    let found: string | undefined;
    for (const stop of this.#stops) {
      const index = text.indexOf(stop);
      if (index >= 0 && index < at) {
        at = index;
        found = stop;
      }
    }
    if (found !== undefined) {
      this.#held = '';
      return { text: text.slice(0, this.#include ? at + found.length : at), stop: found };
    }
    const certain = text.length - this.#openLength(text);
    this.#held = text.slice(certain);
    return { text: text.slice(0, certain), stop: undefined };
  }

  /** What was held back, at the end of the answer. */
  flush(): string {
    const held = this.#held;
    this.#held = '';
    return held;
  }

  /** Length of the longest end of the text that a stop string begins with. */
  #openLength(text: string): number {
    let longest = 0;
    for (const stop of this.#stops) {
      for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
        if (text.endsWith(stop.slice(0, length))) longest = length;
      }
    }
    return longest;
  }
}
