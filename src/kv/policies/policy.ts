import type { CandidateTable } from './candidate-table.ts';
import type { KvWeights } from './kv-cost.ts';

/** What a policy may know of the request it places. */
export interface PolicyRequest {
  /** Prompt tokens, at least 1. */
  readonly isl: number;
  /** A caller named the worker: the only candidate is it. */
  readonly pinned: boolean;
  /** Weights of the cost, with the request's own overrides applied. */
  readonly weights: KvWeights;
  readonly expectedOutputTokens?: number | undefined;
  /** What an agent tells of the conversation, for policies that learn. */
  readonly conversation?: Conversation | undefined;
  /** Only asked: no outcome will be told. */
  readonly queryOnly?: boolean | undefined;
}

export interface Conversation {
  readonly prefixId: string;
  /** Calls expected after this one. */
  readonly remainingCalls: number;
  readonly interarrivalMs?: number | undefined;
}

/** How a request went, as its relay tells. */
export interface RequestOutcome {
  /** `cancelled`: its client left, which says nothing of the worker. */
  readonly outcome: 'success' | 'failure' | 'cancelled';
  readonly latencyMs: number;
  readonly outputTokens: number;
}

/** What a policy made of an outcome. */
export interface Lesson {
  /** 0..1; half is as usual. */
  readonly reward: number;
  /** What it was compared with. */
  readonly baseline: number;
  /** Counts of the worker's Beta law after it. */
  readonly alpha: number;
  readonly beta: number;
}

/**
 * Chooses one of the candidates, all of them eligible. Implementations are single files in this folder, and
 * `policy.conformance.ts` holds for each.
 */
export interface Policy {
  readonly name: string;
  /** What the table must hold: `overlap` costs a lookup in the index, `load` does not. */
  readonly reads: 'nothing' | 'load' | 'overlap';
  /** Needs the column `residentBlocks`, which costs a call for each candidate. */
  readonly readsResidents?: boolean;
  /**
   * The row chosen, or -1 when this policy cannot choose without a pin. Policies that weigh candidates write
   * their costs (lowest wins); the others leave `costs` alone. Policies that leave something to chance write how
   * probable each row was into `probabilities`, adding up to 1; the others leave it alone. `decision` numbers the calls.
   */
  choose(
    request: PolicyRequest,
    candidates: CandidateTable,
    costs: Float64Array,
    probabilities: Float64Array,
    decision: number,
  ): number;
  /** A rank joined; `worker` names it across restarts. */
  rankAdded?(rank: number, worker: string): void;
  /** The rank left; its id may come back for another one. */
  rankRemoved?(rank: number): void;
  /** Told how the request of a decision went; gives what was learned of it, if anything. */
  learn?(outcome: RequestOutcome & { readonly decision: number; readonly rank: number }): Lesson | undefined;
  /** What was learned, for a file; `wallMs` is the time to stamp it with. */
  state?(wallMs: number): object;
  /** Takes in what was saved; throws for what it cannot use, and is then as before. */
  restore?(state: unknown, wallMs: number): void;
}
