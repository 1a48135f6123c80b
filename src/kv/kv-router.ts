import type { Clock } from '../base/clock.ts';
import { fail } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { SessionAffinity } from './affinity.ts';
import { type Booking, makeBooking } from './booking.ts';
import { BusyMonitor, type BusyThresholds, type LoadReport } from './busy.ts';
import { Chooser } from './chooser.ts';
import type { RouterConfig } from './config.ts';
import { type CandidateExplanation, type Decision, DecisionLog } from './decision-log.ts';
import type { WorkerKey } from './event.ts';
import { Fleet, type FleetRank, type WorkerInfo } from './fleet.ts';
import { BlockHasher } from './hash.ts';
import type { KvIndex } from './index/kv-index.ts';
import { Intake } from './intake/intake.ts';
import { phaseTimings, type RouterObserver } from './observer.ts';
import { makePolicy } from './policies/make-policy.ts';
import type { Lesson, Policy, RequestOutcome } from './policies/policy.ts';
import { PredictionBias, type RankBias } from './prediction-bias.ts';
import { PromptLookup } from './prompt-lookup.ts';
import { AdmissionQueue, type QueuedPrompt } from './queue/admission-queue.ts';
import { canQueue, isHeldBack } from './queue/policy-classes.ts';
import type { RankLoad } from './rank-load.ts';
import { Replica, type ReplicaOptions } from './replica/replica.ts';
import { overriddenWeights, promptLength, type RouteRequest } from './route-request.ts';
import { type Refusal, refuse } from './select.ts';
import type { Selection } from './selection.ts';
import { ActiveSequences, type LoadChange } from './sequences/active-sequences.ts';
import { makeLoadModel, type PrefillLoadModel } from './sequences/prefill-load-model.ts';

export interface KvRouterOptions {
  readonly blockSize: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly config: RouterConfig;
  /** Absent: overlaps come from the router's own decisions only. */
  readonly index?: KvIndex | undefined;
  readonly hasher?: BlockHasher | undefined;
  readonly loadModel?: PrefillLoadModel | undefined;
  /** Instead of the one that `config.mode` names. */
  readonly policy?: Policy | undefined;
  readonly observer?: RouterObserver | undefined;
}

/** How often the queue looks again when nothing happens; with a load model backlogs shrink by themselves. */
const RECHECK_MS = 60_000;
const MODELLED_RECHECK_MS = 100;

/**
 * Places requests on the ranks of one pool of workers: hash, match, weigh, choose, book. Synchronous and pure,
 * so that frontend, standalone router and virtual-time replay run the same code. One instance is not shared
 * between models or roles.
 */
export class KvRouter {
  readonly fleet = new Fleet();
  readonly sequences: ActiveSequences;
  readonly blockSize: number;
  readonly decisions: DecisionLog;
  readonly policyName: string;
  /** Takes in the engines' cache events. */
  readonly intake: Intake;
  readonly #clock: Clock;
  readonly #config: RouterConfig;
  readonly #policy: Policy;
  readonly #observer: RouterObserver;
  readonly #busy: BusyMonitor;
  readonly #affinity: SessionAffinity | undefined;
  readonly #lookup: PromptLookup;
  readonly #chooser: Chooser;
  readonly #bias = new PredictionBias();
  readonly #queue: AdmissionQueue | undefined;
  #replica: Replica | undefined;

  constructor(options: KvRouterOptions) {
    const { clock, config, blockSize, random, observer = {}, index, hasher = new BlockHasher() } = options;
    const { affinityTtlMs, acceleratorToCpuRatio, thompson } = config;
    this.blockSize = blockSize;
    this.#clock = clock;
    this.#config = config;
    this.#observer = observer;
    this.#policy =
      options.policy ??
      makePolicy(config.mode, { blockSize, random, acceleratorToCpuRatio, clock, thompson });
    this.policyName = this.#policy.name;
    this.#busy = new BusyMonitor(config.busy);
    this.#affinity = affinityTtlMs === undefined ? undefined : new SessionAffinity(clock, affinityTtlMs);
    const policyReadsOverlap = this.#policy.reads === 'overlap';
    const { quietMs } = config;
    this.intake = new Intake({ clock, fleet: this.fleet, index, hasher, blockSize, observer, quietMs });
    const isSilent = (rank: number): boolean => this.intake.isSilent(rank);
    this.#lookup = new PromptLookup({
      blockSize,
      clock,
      config,
      policyReadsOverlap,
      index,
      hasher,
      rankOf: (worker) => this.fleet.rankOf(worker)?.id,
      isSilent,
      observer,
    });
    const loadModel = options.loadModel ?? makeLoadModel(config);
    this.decisions = new DecisionLog(config.decisionLogSize);
    this.sequences = new ActiveSequences({
      clock,
      blockSize,
      leaseMs: config.leaseMs,
      trackOutputBlocks: config.trackOutputBlocks,
      loadModel,
      onChange: (rank, cause) => this.#loadChanged(rank, cause),
      onExpired: (requestId) => observer.leaseExpired?.(requestId),
    });
    this.#chooser = new Chooser({
      blockSize,
      clock,
      fleet: this.fleet,
      busy: this.#busy,
      sequences: this.sequences,
      lookup: this.#lookup,
      affinity: this.#affinity,
      policy: this.#policy,
      decisions: this.decisions,
    });
    const recheckMs = loadModel === undefined ? RECHECK_MS : MODELLED_RECHECK_MS;
    this.#queue = canQueue(config.queue) ? this.#makeQueue(recheckMs) : undefined;
  }

  /** Adds a worker, or replaces what is known of it. */
  addWorker(info: WorkerInfo): void {
    const { added, removed } = this.fleet.put(info);
    for (const rank of removed) this.#forget(rank);
    for (const { id, key } of added) {
      this.#policy.rankAdded?.(id, `${key.workerId}/${key.dpRank}`);
      this.#observer.workerRegistered?.(key);
    }
    if (added.length > 0) this.#replica?.ranksChanged();
    this.#queue?.drain();
  }

  /** Changes some of what is known of a worker; unknown workers are left alone. */
  updateWorker(workerId: string, changes: Partial<Omit<WorkerInfo, 'workerId'>>): void {
    const worker = this.fleet.worker(workerId);
    if (worker !== undefined) this.addWorker({ ...worker.info, ...changes });
  }

  removeWorker(workerId: string): void {
    for (const rank of this.fleet.remove(workerId)) this.#forget(rank);
    this.#queue?.drain();
  }

  /** Shares bookings with other routers of the same workers from now on, until it stops. */
  shareBookings(options: ReplicaOptions): Replica {
    if (this.#replica !== undefined) throw fail('KV_INTERNAL', { reason: 'bookings are shared already' });
    const { sequences, fleet } = this;
    const rankOf = (key: WorkerKey): number | undefined => fleet.rankOf(key)?.id;
    const keyOf = (rank: number): WorkerKey | undefined => fleet.rank(rank)?.key;
    this.#replica = new Replica({ clock: this.#clock, sequences, rankOf, keyOf }, options);
    this.#replica.start();
    return this.#replica;
  }

  /** The booking of an own active request, such as one restored from a peer; undefined if there is none. */
  bookingOf(requestId: string): Booking | undefined {
    const { sequences } = this;
    const request = sequences.find(requestId);
    if (request === undefined || request.foreign) return undefined;
    return makeBooking({ sequences, request, affinity: undefined, lease: undefined, sessionFinal: false });
  }

  /** Takes in what an engine says of its load. */
  reportLoad(worker: WorkerKey, report: LoadReport): void {
    const rank = this.fleet.rankOf(worker);
    if (rank === undefined) return;
    this.#busy.observe(rank, report);
    this.#queue?.drain();
  }

  /** Takes in that another router sent a prompt to a rank, for as long as told; false for a rank that is not here. */
  learnRoute(worker: WorkerKey, sequence: BigUint64Array, ttlMs: number): boolean {
    const rank = this.fleet.rankOf(worker);
    if (rank !== undefined) this.#lookup.learnRoute(rank.id, sequence, ttlMs);
    return rank !== undefined;
  }

  /** A booking without a sign of life for so long is freed. */
  get leaseMs(): number {
    return this.#config.leaseMs;
  }

  /** Whether output blocks are booked as they come. */
  get tracksOutputBlocks(): boolean {
    return this.#config.trackOutputBlocks;
  }

  get busyThresholds(): BusyThresholds {
    return this.#busy.thresholds;
  }

  setBusyThresholds(thresholds: BusyThresholds): void {
    this.#busy.setThresholds(thresholds);
  }

  /** Present load of every rank. */
  loads(): readonly RankLoad[] {
    const nowMs = this.#clock.nowMs();
    const ranks = [...this.fleet.workers()].flatMap((worker) => worker.ranks);
    return ranks.map(({ id, key }) => ({
      worker: key,
      activeDecodeBlocks: this.sequences.activeBlocks(id),
      activePrefillTokens: this.sequences.prefillTokens(id, nowMs),
      activeRequests: this.sequences.requestCount(id),
      foreignBlocks: this.#busy.foreignBlocks(id),
      prefillRequests: this.sequences.prefillCount(id),
      busy: this.#busy.isBusy(id),
    }));
  }

  /** Chooses a rank and books the request on it (unless it only asks); never waits. */
  select(request: RouteRequest): Selection | Refusal {
    const startMs = this.#clock.nowMs();
    const isl = promptLength(request);
    const query = request.queryOnly === true;
    if (!query && this.sequences.has(request.requestId))
      return refuse('duplicate', `request ${request.requestId} is active already`);
    const weights = overriddenWeights(this.#config.weights, request.overrides);
    const sequence = this.#lookup.hash(request, weights);
    const hashedMs = this.#clock.nowMs();
    const overlaps = this.#lookup.match(sequence, weights, this.fleet.ranks.capacity, request.heldByRank);
    const matchedMs = this.#clock.nowMs();
    const blocks = this.#blocksToBook(request, sequence, isl);
    this.#chooser.findActivePrefixes(blocks);
    const trackedMs = this.#clock.nowMs();
    const choice = this.#chooser.choose(request, { isl, weights, overlaps, blocks });
    if (choice.kind === 'refused') return choice;
    const { decision, overlap, overlapBlocks } = choice;
    const { worker, predictedCachedTokens } = decision;
    if (!query) this.#observer.decided?.(decision);
    const booking = query ? undefined : this.#book(request, decision, blocks, weights.trackPrefillTokens);
    if (!query) this.#lookup.remember(worker, decision.rank, sequence, weights);
    const phases = phaseTimings(startMs, hashedMs, matchedMs, trackedMs, this.#clock.nowMs());
    const promptBlocks = Math.ceil(isl / this.blockSize);
    this.#observer.phases?.(phases);
    this.#observer.routed?.({ worker, isl, promptBlocks, overlapBlocks, queryOnly: query });
    // No spreading: this is the hot path.
    return {
      kind: 'selected',
      worker,
      isl,
      promptBlocks,
      overlap,
      overlapBlocks,
      predictedCachedTokens,
      decision,
      phases,
      booking,
    };
  }

  /** Overlaps, loads and KV cost of every rank that may serve the request; nothing is booked, logged or observed. */
  inspect(request: RouteRequest): readonly CandidateExplanation[] | Refusal {
    const { isl, weights, sequence, overlaps } = this.#look(request);
    const blocks = this.#blocksToBook(request, sequence, isl);
    this.#chooser.findActivePrefixes(blocks);
    return this.#chooser.inspect(request, { isl, weights, overlaps, blocks });
  }

  /** As {@link select}, but waits while every rank that may serve the request is busy and a queue is set up. */
  admit(request: RouteRequest, signal?: AbortSignal): Selection | Refusal | Promise<Selection | Refusal> {
    if (this.#queue === undefined) return this.select(request);
    return this.#queue.admit(request, () => this.#measure(request), signal);
  }

  /** Requests that wait. */
  get queued(): number {
    return this.#queue?.size ?? 0;
  }

  /** What the engine says it found cached, against what was predicted. Decisions count once. */
  recordActual(decision: Decision, cachedTokens: number): void {
    if (decision.actualCachedTokens !== undefined) return;
    decision.actualCachedTokens = cachedTokens;
    if (!decision.predicts) return;
    const { worker, isl, predictedCachedTokens: predictedTokens } = decision;
    const rank = this.fleet.rankOf(worker);
    const biasTokens = rank === undefined ? 0 : this.#bias.record(rank.id, predictedTokens, cachedTokens);
    this.#observer.predictionError?.({
      worker,
      isl,
      predictedTokens,
      actualTokens: cachedTokens,
      biasTokens,
    });
  }

  /** How a request went, for policies that learn; gives what they made of it. */
  recordOutcome(decision: Decision, outcome: RequestOutcome): Lesson | undefined {
    const lesson = this.#policy.learn?.({ ...outcome, decision: decision.number, rank: decision.rank });
    this.#observer.settled?.(decision, outcome, lesson);
    return lesson;
  }

  /** What the policy has learned, for a file; undefined for policies that do not learn. */
  policyState(): object | undefined {
    return this.#policy.state?.(this.#clock.wallMs());
  }

  /** Takes in what {@link policyState} told earlier; throws for a state that the policy cannot use. */
  restorePolicy(state: unknown): void {
    this.#policy.restore?.(state, this.#clock.wallMs());
  }

  /** How well predictions of cached tokens have held on a rank. */
  biasOf(worker: WorkerKey): RankBias | undefined {
    const rank = this.fleet.rankOf(worker);
    return rank === undefined ? undefined : this.#bias.of(rank.id);
  }

  /** Disarms timers and refuses what waits. */
  stop(): void {
    this.#queue?.stop();
    this.#replica?.stop();
    this.intake.stop();
    this.sequences.stop();
    this.#observer.stopped?.();
  }

  #makeQueue(recheckMs: number): AdmissionQueue {
    return new AdmissionQueue({
      clock: this.#clock,
      config: this.#config.queue,
      recheckMs,
      observer: this.#observer,
      workers: () => this.fleet.size,
      select: (request) => this.select(request),
      pressure: (request, policyClass) =>
        this.#chooser.pressure(request, ({ id, worker }) =>
          isHeldBack(policyClass, this.sequences.prefillTokens(id), worker.info.maxNumBatchedTokens),
        ),
    });
  }

  #measure(request: RouteRequest): QueuedPrompt {
    const { isl, weights, sequence, overlaps } = this.#look(request);
    const bestCachedTokens = this.#chooser.bestCachedTokens(request, { isl, weights, overlaps, blocks: 0 });
    return { isl, bestCachedTokens: Math.min(isl, bestCachedTokens), hashes: { sequence } };
  }

  #look(request: RouteRequest) {
    const weights = overriddenWeights(this.#config.weights, request.overrides);
    const sequence = this.#lookup.hash(request, weights);
    const overlaps = this.#lookup.match(sequence, weights, this.fleet.ranks.capacity, request.heldByRank);
    return { isl: promptLength(request), weights, sequence, overlaps };
  }

  #blocksToBook(request: RouteRequest, sequence: BigUint64Array, isl: number): BigUint64Array | number {
    if (!this.#config.trackActiveBlocks) return 0;
    const reuse = request.overrides?.assumeKvReuse ?? this.#config.assumeKvReuse;
    const hashes = request.trackingHashes ?? sequence;
    return reuse && hashes.length > 0 ? hashes : Math.floor(isl / this.blockSize);
  }

  #book(
    { requestId, expectedOutputTokens, controls }: RouteRequest,
    { rank, worker, isl, creditedCachedTokens }: Decision,
    blocks: BigUint64Array | number,
    trackPrefill: boolean,
  ): Booking {
    const { sequences } = this;
    const newTokens = trackPrefill ? isl - creditedCachedTokens : 0;
    const active = sequences.add({ requestId, rank, blocks, isl, newTokens, expectedOutputTokens });
    if (active === undefined) throw fail('KV_INTERNAL', { reason: `request ${requestId} was booked twice` });
    const affinity = this.#affinity;
    const lease = controls?.sessionId === undefined ? undefined : affinity?.hold(controls.sessionId, worker);
    const sessionFinal = controls?.sessionFinal === true;
    return makeBooking({ sequences, request: active, affinity, lease, sessionFinal });
  }

  #loadChanged(rankId: number, cause: LoadChange): void {
    const rank = this.fleet.rank(rankId);
    // A rank that left has no load to tell of: what it still frees must not bring its series back.
    if (rank === undefined) return;
    const blocks = this.sequences.activeBlocks(rankId);
    const tokens = this.sequences.prefillTokens(rankId);
    this.#busy.observe(rank, { activeDecodeBlocks: blocks, activePrefillTokens: tokens });
    this.#observer.loadChanged?.(rank.key, blocks, tokens, cause);
    if (cause === 'prefill_complete' || cause === 'free') this.#queue?.drain();
  }

  #forget({ id, key }: FleetRank): void {
    this.intake.rankRemoved(id);
    this.sequences.removeRank(id);
    this.#lookup.removeRank(id);
    this.#busy.rankRemoved(id);
    this.#bias.rankRemoved(id);
    this.#policy.rankRemoved?.(id);
    this.#observer.workerRemoved?.(key);
  }
}
