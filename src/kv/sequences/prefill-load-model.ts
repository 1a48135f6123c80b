import { fail } from '../../base/errors.ts';

/** Predicts how long a rank takes to compute prompt tokens, so that its backlog may shrink between events. */
export interface PrefillLoadModel {
  /** Undefined when it cannot tell. */
  durationMs(prefill: {
    readonly rank: number;
    readonly newTokens: number;
    readonly isl: number;
  }): number | undefined;
  /** Told how long a prefill really took, from routing to the first token. */
  observe?(rank: number, newTokens: number, durationMs: number): void;
  rankRemoved?(rank: number): void;
}

const MEMORY = 0.9;
const MIN_SAMPLES = 4;
const MIN_TOKENS = 32;

interface Pace {
  samples: number;
  msPerToken: number;
}

/**
 * Learns each rank's pace from its own first tokens: an exponential average of milliseconds per new token.
 * Waiting counts as work, so under load the pace is that of the queue, which is what a newcomer will meet.
 */
class LearnedPrefillLoad implements PrefillLoadModel {
  readonly #paces = new Map<number, Pace>();

  durationMs(prefill: { readonly rank: number; readonly newTokens: number }): number | undefined {
    const pace = this.#paces.get(prefill.rank);
    return pace !== undefined && pace.samples >= MIN_SAMPLES
      ? pace.msPerToken * prefill.newTokens
      : undefined;
  }

  observe(rank: number, newTokens: number, durationMs: number): void {
    // A handful of tokens measures the fixed cost of a request, not the pace.
    if (newTokens < MIN_TOKENS) return;
    const sample = durationMs / newTokens;
    const pace = this.#paces.get(rank);
    if (pace === undefined) {
      this.#paces.set(rank, { samples: 1, msPerToken: sample });
      return;
    }
    pace.samples++;
    pace.msPerToken = MEMORY * pace.msPerToken + (1 - MEMORY) * sample;
  }

  rankRemoved(rank: number): void {
    this.#paces.delete(rank);
  }
}

/** The model that a configuration names; undefined for none. */
export function makeLoadModel(config: {
  readonly prefillLoadModel: 'none' | 'aic' | 'learned';
}): PrefillLoadModel | undefined {
  if (config.prefillLoadModel === 'none') return undefined;
  if (config.prefillLoadModel === 'learned') return new LearnedPrefillLoad();
  throw fail('KV_SETTING_INVALID', {
    setting: '--router-prefill-load-model',
    value: config.prefillLoadModel,
    reason: 'needs a performance model of the engine, and none was given',
    mend: 'Choose learned, or none.',
  });
}
