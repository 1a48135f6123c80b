const MEMORY = 0.95;

/** How well the router's predictions of cached tokens have held on one rank. */
export interface RankBias {
  readonly count: number;
  /** Mean of predicted less actual, newer ones weighing more: above 0 the router expects too much. */
  readonly biasTokens: number;
  readonly meanAbsoluteErrorTokens: number;
}

/** Running comparison of predicted and actual cached tokens, rank by rank. */
export class PredictionBias {
  readonly #ranks = new Map<number, RankBias>();

  /** Returns the bias that results. */
  record(rank: number, predictedTokens: number, actualTokens: number): number {
    const error = predictedTokens - actualTokens;
    const old = this.#ranks.get(rank) ?? { count: 0, biasTokens: 0, meanAbsoluteErrorTokens: 0 };
    const count = old.count + 1;
    // A plain mean at first, then exponential: the first samples must not weigh for ever.
    const share = Math.max(1 / count, 1 - MEMORY);
    const biasTokens = old.biasTokens + share * (error - old.biasTokens);
    this.#ranks.set(rank, {
      count,
      biasTokens,
      meanAbsoluteErrorTokens:
        old.meanAbsoluteErrorTokens + share * (Math.abs(error) - old.meanAbsoluteErrorTokens),
    });
    return biasTokens;
  }

  of(rank: number): RankBias | undefined {
    return this.#ranks.get(rank);
  }

  rankRemoved(rank: number): void {
    this.#ranks.delete(rank);
  }
}
