import { CholeskyDecomposition, Matrix } from 'ml-matrix';
import type { PastDecision } from './decision-history.ts';

/** A quantity to be judged by; less is better. */
export const MEASURES = ['latency', 'latency-per-token', 'log-latency'] as const;
export type Measure = (typeof MEASURES)[number];

export function measured({ latencyMs, outputTokens }: PastDecision, measure: Measure): number {
  if (measure === 'latency') return latencyMs;
  if (measure === 'log-latency') return Math.log(Math.max(1e-3, latencyMs));
  return latencyMs / Math.max(1, outputTokens);
}

const RIDGE = 1;
const CONTEXT = 5;

/**
 * A ridge regression of the measure on size of the request, load and cache of the worker, and the worker itself. Tells
 * what a decision would have come to on any of its candidates.
 */
export class LatencyModel {
  readonly #columns: ReadonlyMap<string, number>;
  readonly #weights: Matrix;
  readonly #center: number;

  constructor(decisions: readonly PastDecision[], measure: Measure) {
    const names = [...new Set(decisions.flatMap(({ workers }) => workers))].sort();
    this.#columns = new Map(names.map((name, i) => [name, CONTEXT + i]));
    const size = CONTEXT + names.length;
    const values = decisions.map((decision) => measured(decision, measure));
    this.#center = values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
    const square = Matrix.eye(size, size, RIDGE);
    const target = Matrix.zeros(size, 1);
    for (const [i, decision] of decisions.entries()) {
      const x = this.#features(decision, decision.chosen);
      const value = values[i]! - this.#center;
      for (const [row, a] of x) {
        for (const [column, b] of x) square.set(row, column, square.get(row, column) + a * b);
        target.set(row, 0, target.get(row, 0) + a * value);
      }
    }
    this.#weights = new CholeskyDecomposition(square).solve(target);
  }

  /** The measure, had the candidate of this row been taken. */
  predict(decision: PastDecision, row: number): number {
    let value = this.#center;
    for (const [column, x] of this.#features(decision, row)) value += x * this.#weights.get(column, 0);
    return value;
  }

  /** Columns that are not 0, with their values. */
  #features(decision: PastDecision, row: number): readonly (readonly [number, number])[] {
    const { isl, expectedOutputTokens, outputTokens, table, workers } = decision;
    const compute = table.prefillTokens[row]! + Math.max(0, isl - table.cachedTokens[row]!);
    // The length that was expected, not the one that came: that may depend on the choice.
    const output = expectedOutputTokens ?? outputTokens;
    const worker = this.#columns.get(workers[row]!);
    return [
      [0, Math.log1p(isl) / 10],
      [1, Math.log1p(output) / 10],
      [2, Math.log1p(compute) / 10],
      [3, Math.log1p(table.activeBlocks[row]! + table.additionalBlocks[row]!) / 10],
      [4, Math.log1p(table.activeRequests[row]!)],
      ...(worker === undefined ? [] : [[worker, 1] as const]),
    ];
  }
}
