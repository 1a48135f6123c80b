import type { WorkerKey } from './event.ts';
import type { CandidateTable } from './policies/candidate-table.ts';

/** One candidate of a decision, for people and programs; holds no text of the prompt. */
export interface CandidateExplanation {
  readonly worker: WorkerKey;
  readonly chosen: boolean;
  /** Undefined for policies that weigh nothing. */
  readonly cost: number | undefined;
  readonly deviceBlocks: number;
  readonly hostPinnedBlocks: number;
  readonly diskBlocks: number;
  readonly externalBlocks: number;
  readonly cachedTokens: number;
  readonly prefillTokens: number;
  readonly activeBlocks: number;
  readonly additionalBlocks: number;
  readonly activeRequests: number;
}

/** A decision as kept in the log; candidates are spelled out by {@link explain} only when somebody looks. */
export interface Decision {
  /** From 0, without gaps. */
  readonly number: number;
  readonly requestId: string;
  readonly atWallMs: number;
  readonly policy: string;
  /** What narrowed the choice to one rank. */
  readonly pinnedBy: 'caller' | 'session' | undefined;
  readonly isl: number;
  readonly worker: WorkerKey;
  readonly rank: number;
  readonly predictedCachedTokens: number;
  readonly cost: number | undefined;
  readonly candidates: CandidateRecord;
  /** Told by the engine afterwards. */
  actualCachedTokens: number | undefined;
}

/** Row-wise copy of a candidate table. */
export interface CandidateRecord {
  readonly workers: readonly WorkerKey[];
  readonly chosen: number;
  readonly values: Float64Array;
}

const COLUMNS = 10;

export function recordCandidates(
  table: CandidateTable,
  costs: Float64Array,
  workers: readonly WorkerKey[],
  chosen: number,
): CandidateRecord {
  const values = new Float64Array(COLUMNS * table.count);
  for (let row = 0, at = 0; row < table.count; row++) {
    values[at++] = costs[row]!;
    values[at++] = table.device[row]!;
    values[at++] = table.hostPinned[row]!;
    values[at++] = table.disk[row]!;
    values[at++] = table.external[row]!;
    values[at++] = table.cachedTokens[row]!;
    values[at++] = table.prefillTokens[row]!;
    values[at++] = table.activeBlocks[row]!;
    values[at++] = table.additionalBlocks[row]!;
    values[at++] = table.activeRequests[row]!;
  }
  return { workers, chosen, values };
}

/** The candidates of a decision, cheapest first where they have costs. */
export function explain({ candidates }: Decision): readonly CandidateExplanation[] {
  const rows = candidates.workers.map((worker, row) => {
    const value = (column: number): number => candidates.values[COLUMNS * row + column]!;
    return {
      worker,
      chosen: row === candidates.chosen,
      cost: Number.isNaN(value(0)) ? undefined : value(0),
      deviceBlocks: value(1),
      hostPinnedBlocks: value(2),
      diskBlocks: value(3),
      externalBlocks: value(4),
      cachedTokens: value(5),
      prefillTokens: value(6),
      activeBlocks: value(7),
      additionalBlocks: value(8),
      activeRequests: value(9),
    };
  });
  return rows.sort((a, b) => (a.cost ?? 0) - (b.cost ?? 0));
}

/** The latest decisions, oldest overwritten. */
export class DecisionLog {
  readonly #ring: (Decision | undefined)[];
  #next = 0;

  constructor(size: number) {
    this.#ring = new Array<Decision | undefined>(size).fill(undefined);
  }

  /** Number that the next decision gets. */
  get nextNumber(): number {
    return this.#next;
  }

  add(decision: Decision): void {
    if (this.#ring.length > 0) this.#ring[decision.number % this.#ring.length] = decision;
    this.#next = decision.number + 1;
  }

  find(number: number): Decision | undefined {
    const decision = this.#ring[number % this.#ring.length];
    return decision?.number === number ? decision : undefined;
  }

  /** Newest first. */
  *latest(): IterableIterator<Decision> {
    for (let number = this.#next - 1; number >= 0; number--) {
      const decision = this.find(number);
      if (decision === undefined) return;
      yield decision;
    }
  }
}
