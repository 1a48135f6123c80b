import type { Clock } from '../base/clock.ts';
import type { SessionAffinity } from './affinity.ts';
import type { BusyMonitor } from './busy.ts';
import { type CandidateExplanation, type Decision, type DecisionLog, explainTable } from './decision-log.ts';
import type { Fleet, FleetRank } from './fleet.ts';
import type { Overlaps } from './overlap.ts';
import { CandidateTable } from './policies/candidate-table.ts';
import { effectiveOverlap, type KvWeights, kvCosts, taintFactor, weighOverlaps } from './policies/kv-cost.ts';
import type { Policy } from './policies/policy.ts';
import type { PromptLookup } from './prompt-lookup.ts';
import type { Pressure } from './queue/admission-queue.ts';
import type { RouteRequest } from './route-request.ts';
import { eligibleRanks, LeftOutCounts, preferredTaintWeight, type Refusal, refuse } from './select.ts';
import type { TierBlocks } from './selection.ts';
import type { ActiveSequences } from './sequences/active-sequences.ts';

export interface ChooserParts {
  readonly blockSize: number;
  readonly clock: Clock;
  readonly fleet: Fleet;
  readonly busy: BusyMonitor;
  readonly sequences: ActiveSequences;
  readonly lookup: PromptLookup;
  readonly affinity: SessionAffinity | undefined;
  readonly policy: Policy;
  readonly decisions: DecisionLog;
}

/** A prompt as far as choosing needs it. */
export interface Prompt {
  readonly isl: number;
  readonly weights: KvWeights;
  readonly overlaps: Overlaps;
  /** Blocks to book: hashes where active requests can share them, else only their number. */
  readonly blocks: BigUint64Array | number;
}

export interface Choice {
  readonly kind: 'chosen';
  readonly decision: Decision;
  readonly overlap: TierBlocks;
  /** Cached blocks, weighted by tier. */
  readonly overlapBlocks: number;
}

/** Eligible ranks, their loads and overlaps, and a policy's choice among them; the same steps for every policy. */
export class Chooser {
  readonly #parts: ChooserParts;
  // Scratch of the decision under way: choosing is synchronous, so one set suffices.
  readonly #eligible: FleetRank[] = [];
  readonly #leftOut = new LeftOutCounts();
  readonly #table = new CandidateTable();
  #costs = new Float64Array(16);
  #probabilities = new Float64Array(16);
  #activePrefixes = new Uint32Array(16);

  constructor(parts: ChooserParts) {
    this.#parts = parts;
  }

  /** Looks up how much of the prompt each rank has in active use; the next {@link choose} reads it. */
  findActivePrefixes(blocks: BigUint64Array | number): void {
    if (typeof blocks === 'number') return;
    const { fleet, sequences } = this.#parts;
    if (this.#activePrefixes.length < fleet.ranks.capacity)
      this.#activePrefixes = new Uint32Array(2 * fleet.ranks.capacity);
    else this.#activePrefixes.fill(0);
    sequences.activePrefixes(blocks, this.#activePrefixes);
  }

  choose(request: RouteRequest, prompt: Prompt): Choice | Refusal {
    const { policy } = this.#parts;
    const refusal = this.#findEligible(request);
    if (refusal !== undefined) return refusal;
    const pinnedBy = this.#narrow(request);
    const pinned = pinnedBy === 'caller';
    this.#fillTable(request, prompt, pinned);
    const row = this.#ask(request, prompt, pinned);
    if (row === -1)
      return refuse('worker_required', `${policy.name} routing needs the request to name its worker`);
    const { device, hostPinned, disk, external } = this.#table;
    const overlap = {
      device: device[row]!,
      hostPinned: hostPinned[row]!,
      disk: disk[row]!,
      external: external[row]!,
    };
    const overlapBlocks = effectiveOverlap(prompt.weights, this.#table, row);
    return { kind: 'chosen', decision: this.#decide(request, prompt, row, pinnedBy), overlap, overlapBlocks };
  }

  /** What every eligible rank would get with the request, at what KV cost, with nothing chosen. */
  inspect(request: RouteRequest, prompt: Prompt): readonly CandidateExplanation[] | Refusal {
    const refusal = this.#findEligible(request);
    if (refusal !== undefined) return refusal;
    this.#fillTable(request, prompt, request.controls?.workerId !== undefined);
    this.#makeRoom();
    kvCosts(prompt.isl, this.#parts.blockSize, prompt.weights, this.#table, this.#costs);
    return explainTable(this.#table, this.#costs, this.#probabilities.fill(Number.NaN), this.#eligible);
  }

  /** Tokens of the prompt cached on the eligible rank that has most; 0 when none is eligible. */
  bestCachedTokens(request: RouteRequest, prompt: Prompt): number {
    if (this.#findEligible(request) !== undefined) return 0;
    this.#fillTable(request, prompt, false);
    return Math.max(...this.#table.cachedTokens.subarray(0, this.#table.count));
  }

  /** Whether all eligible ranks are busy in the given sense. */
  pressure(request: RouteRequest, isBusy: (rank: FleetRank) => boolean): Pressure {
    if (this.#findEligible(request) !== undefined) return 'ineligible';
    return this.#eligible.every(isBusy) ? 'busy' : 'free';
  }

  #findEligible({ controls = {}, namespace }: RouteRequest): Refusal | undefined {
    const { busy, fleet } = this.#parts;
    return eligibleRanks(fleet, busy, controls, namespace?.loraName, this.#eligible, this.#leftOut);
  }

  /** Leaves one eligible rank when the caller or the session determines it. */
  #narrow({ controls }: RouteRequest): Decision['pinnedBy'] {
    if (controls?.workerId !== undefined) return 'caller';
    const { affinity, fleet } = this.#parts;
    const key = controls?.sessionId === undefined ? undefined : affinity?.find(controls.sessionId);
    if (key === undefined) return undefined;
    const id = fleet.ranks.idOf(key);
    const bound = this.#eligible.find((rank) => rank.id === id);
    // Bound to a rank that cannot serve now: choose anew, and bind to that.
    if (bound === undefined) return undefined;
    this.#eligible.length = 0;
    this.#eligible.push(bound);
    return 'session';
  }

  #fillTable(request: RouteRequest, { blocks, weights, overlaps }: Prompt, pinned: boolean): void {
    const { blockSize, busy, clock, lookup, policy, sequences } = this.#parts;
    const nowMs = clock.nowMs();
    const preferred = pinned ? undefined : request.controls?.preferredTaints;
    const table = this.#table;
    table.begin(this.#eligible.length);
    for (const [row, { id, worker }] of this.#eligible.entries()) {
      table.rank[row] = id;
      table.prefillTokens[row] = sequences.prefillTokens(id, nowMs);
      table.activeBlocks[row] = sequences.activeBlocks(id) + busy.foreignBlocks(id);
      table.activeRequests[row] = sequences.requestCount(id);
      table.additionalBlocks[row] =
        typeof blocks === 'number' ? blocks : blocks.length - this.#activePrefixes[id]!;
      if (preferred !== undefined)
        table.taintFactor[row] = taintFactor(preferredTaintWeight(worker, preferred));
      if (worker.info.onCpu === true) table.onCpu[row] = 1;
      if (policy.readsResidents === true) table.residentBlocks[row] = lookup.residentBlocks(id);
    }
    table.takeOverlaps(overlaps, lookup.predicted);
    weighOverlaps(weights, table, blockSize, request.sharedCacheHits);
  }

  #ask(request: RouteRequest, { isl, weights }: Prompt, pinned: boolean): number {
    const { decisions, policy } = this.#parts;
    const { expectedOutputTokens, conversation, queryOnly } = request;
    this.#makeRoom();
    this.#costs.fill(Number.NaN);
    this.#probabilities.fill(Number.NaN);
    const asked = { isl, weights, pinned, expectedOutputTokens, conversation, queryOnly };
    return policy.choose(asked, this.#table, this.#costs, this.#probabilities, decisions.nextNumber);
  }

  #makeRoom(): void {
    if (this.#costs.length >= this.#table.count) return;
    this.#costs = new Float64Array(2 * this.#table.count);
    this.#probabilities = new Float64Array(2 * this.#table.count);
  }

  #decide(
    request: RouteRequest,
    { isl, weights }: Prompt,
    row: number,
    pinnedBy: Decision['pinnedBy'],
  ): Decision {
    const { clock, decisions, policy } = this.#parts;
    const chosen = this.#eligible[row]!;
    const cost = this.#costs[row]!;
    if (Number.isNaN(this.#probabilities[row]!)) this.#leaveNothingToChance(row);
    const facts = {
      requestId: request.requestId,
      atWallMs: clock.wallMs(),
      policy: policy.name,
      pinnedBy,
      leftOut: this.#leftOut.told(),
      weights: policy.reads === 'overlap' ? weights : undefined,
      isl,
      worker: chosen.key,
      rank: chosen.id,
      predicts: this.#parts.lookup.usesCache(weights),
      predictedCachedTokens: Math.min(isl, this.#heldBlocks(row) * this.#parts.blockSize),
      creditedCachedTokens: Math.min(isl, this.#table.cachedTokens[row]!),
      cost: Number.isNaN(cost) ? undefined : cost,
      probability: this.#probabilities[row]!,
      expectedOutputTokens: request.expectedOutputTokens,
      conversation: request.conversation,
    };
    return decisions.add(facts, this.#table, this.#costs, this.#probabilities, this.#eligible, row);
  }

  #heldBlocks(row: number): number {
    const { device, hostPinned, disk, external } = this.#table;
    return device[row]! + hostPinned[row]! + disk[row]! + external[row]!;
  }

  #leaveNothingToChance(row: number): void {
    this.#probabilities.fill(0, 0, this.#table.count);
    this.#probabilities[row] = 1;
  }
}
