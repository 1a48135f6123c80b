import type { WorkerKey } from './event.ts';
import type { CandidateTable } from './policies/candidate-table.ts';
import type { KvWeights } from './policies/kv-cost.ts';
import type { Conversation } from './policies/policy.ts';
import type { LeftOut } from './select.ts';

/** One candidate of a decision, for people and programs; holds no text of the prompt. */
export interface CandidateExplanation {
  readonly worker: WorkerKey;
  readonly chosen: boolean;
  /** Undefined for policies that weigh nothing. */
  readonly cost: number | undefined;
  /** With which the policy would have chosen it; undefined where nothing was chosen. */
  readonly probability: number | undefined;
  readonly deviceBlocks: number;
  readonly hostPinnedBlocks: number;
  readonly diskBlocks: number;
  readonly externalBlocks: number;
  readonly cachedTokens: number;
  /** What the KV cost takes off for cached blocks: tiers, decay and overrides weighed in. Undefined for policies without it. */
  readonly creditBlocks: number | undefined;
  readonly prefillTokens: number;
  readonly activeBlocks: number;
  readonly additionalBlocks: number;
  readonly activeRequests: number;
  /** Factor on the cost for the preferred taints it carries; 1 without any. */
  readonly taintFactor: number;
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
  /** Workers that were no candidates, by the rule that left them out; undefined when all were. */
  readonly leftOut: LeftOut | undefined;
  /** Those of the KV cost, with the request's own overrides; undefined for policies that read none. */
  readonly weights: KvWeights | undefined;
  readonly isl: number;
  readonly worker: WorkerKey;
  readonly rank: number;
  /** False where nothing looked at caches: then zero cached tokens is no prediction. */
  readonly predicts: boolean;
  /** Prompt tokens that the rank holds in any tier: what its engine should report. */
  readonly predictedCachedTokens: number;
  /** Weighed by tier: what it is spared of computing them, which its booking reckons with. */
  readonly creditedCachedTokens: number;
  readonly cost: number | undefined;
  /** Of the choice, as the policy made it; 1 where it left nothing to chance. */
  readonly probability: number;
  readonly expectedOutputTokens: number | undefined;
  readonly conversation: Conversation | undefined;
  readonly candidates: CandidateRecord;
  /** Of a request that had to wait for a free rank. */
  waited: QueueWait | undefined;
  /** Told by the engine afterwards. */
  actualCachedTokens: number | undefined;
}

/** A request's time in the queue. */
export interface QueueWait {
  readonly policyClass: string;
  readonly waitMs: number;
}

/** Copy of a candidate table, one column after the other. Its room is that of the log: a later decision takes it over. */
interface CandidateRecord {
  /** The decision whose candidates these are. */
  owner: number;
  count: number;
  chosen: number;
  readonly workers: WorkerKey[];
  values: Float64Array;
}

const COLUMNS = 13;

/** The candidates of a decision, cheapest first where they have costs; none when the log has dropped them. */
export function explain({ number, candidates }: Decision): readonly CandidateExplanation[] {
  return candidates.owner === number ? spellOut(candidates) : [];
}

/** The rows of a table that nobody chose from, cheapest first. */
export function explainTable(
  table: CandidateTable,
  costs: Float64Array,
  probabilities: Float64Array,
  ranks: readonly { readonly key: WorkerKey }[],
): readonly CandidateExplanation[] {
  const record = { ...emptyRecord(), chosen: -1 };
  copyCandidates(record, table, costs, probabilities, ranks);
  return spellOut(record);
}

function spellOut(candidates: CandidateRecord): readonly CandidateExplanation[] {
  const rows = candidates.workers.slice(0, candidates.count).map((worker, row) => {
    const value = (column: number): number => candidates.values[candidates.count * column + row]!;
    return {
      worker,
      chosen: row === candidates.chosen,
      cost: known(value(0)),
      deviceBlocks: value(1),
      hostPinnedBlocks: value(2),
      diskBlocks: value(3),
      externalBlocks: value(4),
      cachedTokens: value(5),
      prefillTokens: value(6),
      activeBlocks: value(7),
      additionalBlocks: value(8),
      activeRequests: value(9),
      probability: known(value(10)),
      creditBlocks: known(value(11)),
      taintFactor: value(12),
    };
  });
  return rows.sort((a, b) => (a.cost ?? 0) - (b.cost ?? 0));
}

function known(value: number): number | undefined {
  return Number.isNaN(value) ? undefined : value;
}

/** The latest decisions, oldest overwritten. Recording allocates next to nothing: room is used again. */
export class DecisionLog {
  readonly #decisions: (Decision | undefined)[];
  readonly #records: CandidateRecord[];
  #next = 0;

  constructor(size: number) {
    this.#decisions = new Array<Decision | undefined>(size).fill(undefined);
    // A log of size 0 keeps nothing, but the decision at hand still needs its candidates.
    this.#records = Array.from({ length: Math.max(1, size) }, emptyRecord);
  }

  /** Number that the next decision gets. */
  get nextNumber(): number {
    return this.#next;
  }

  /** Keeps a decision with the candidates it was made from; `chosen` is the row taken. */
  add(
    facts: Omit<Decision, 'number' | 'candidates' | 'waited' | 'actualCachedTokens'>,
    table: CandidateTable,
    costs: Float64Array,
    probabilities: Float64Array,
    ranks: readonly { readonly key: WorkerKey }[],
    chosen: number,
  ): Decision {
    const number = this.#next++;
    const candidates = this.#records[number % this.#records.length]!;
    copyCandidates(candidates, table, costs, probabilities, ranks);
    candidates.owner = number;
    candidates.chosen = chosen;
    // Spelled out: spreading `facts` costs 13 us here, a third of a whole decision.
    const decision: Decision = {
      number,
      requestId: facts.requestId,
      atWallMs: facts.atWallMs,
      policy: facts.policy,
      pinnedBy: facts.pinnedBy,
      leftOut: facts.leftOut,
      weights: facts.weights,
      isl: facts.isl,
      worker: facts.worker,
      rank: facts.rank,
      predicts: facts.predicts,
      predictedCachedTokens: facts.predictedCachedTokens,
      creditedCachedTokens: facts.creditedCachedTokens,
      cost: facts.cost,
      probability: facts.probability,
      expectedOutputTokens: facts.expectedOutputTokens,
      conversation: facts.conversation,
      candidates,
      waited: undefined,
      actualCachedTokens: undefined,
    };
    if (this.#decisions.length > 0) this.#decisions[number % this.#decisions.length] = decision;
    return decision;
  }

  find(number: number): Decision | undefined {
    const decision = this.#decisions[number % this.#decisions.length];
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

function emptyRecord(): CandidateRecord {
  return { owner: -1, count: 0, chosen: 0, workers: [], values: new Float64Array(0) };
}

/** Copies column by column, which the engine does in bulk. */
function copyCandidates(
  record: CandidateRecord,
  table: CandidateTable,
  costs: Float64Array,
  probabilities: Float64Array,
  ranks: readonly { readonly key: WorkerKey }[],
): void {
  const { count } = table;
  if (record.values.length < COLUMNS * count) record.values = new Float64Array(COLUMNS * count);
  record.count = count;
  const { values, workers } = record;
  for (let row = 0; row < count; row++) workers[row] = ranks[row]!.key;
  values.set(costs.subarray(0, count), 0);
  values.set(table.device.subarray(0, count), count);
  values.set(table.hostPinned.subarray(0, count), 2 * count);
  values.set(table.disk.subarray(0, count), 3 * count);
  values.set(table.external.subarray(0, count), 4 * count);
  values.set(table.cachedTokens.subarray(0, count), 5 * count);
  values.set(table.prefillTokens.subarray(0, count), 6 * count);
  values.set(table.activeBlocks.subarray(0, count), 7 * count);
  values.set(table.additionalBlocks.subarray(0, count), 8 * count);
  values.set(table.activeRequests.subarray(0, count), 9 * count);
  values.set(probabilities.subarray(0, count), 10 * count);
  values.set(table.creditBlocks.subarray(0, count), 11 * count);
  values.set(table.taintFactor.subarray(0, count), 12 * count);
}
