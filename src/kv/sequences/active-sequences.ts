import type { CancelTimer, Clock } from '../../base/clock.ts';
import type { BookingJournal } from './booking-journal.ts';
import { type PendingPrefill, PrefillBacklog } from './prefill-backlog.ts';
import type { PrefillLoadModel } from './prefill-load-model.ts';
import { type PrefixNode, PrefixTree } from './prefix-tree.ts';

export interface ActiveSequencesOptions {
  readonly clock: Clock;
  readonly blockSize: number;
  /** A request that shows no activity for so long is freed. */
  readonly leaseMs: number;
  /** Count blocks of generated tokens. */
  readonly trackOutputBlocks: boolean;
  readonly loadModel?: PrefillLoadModel | undefined;
  /** A rank's load changed. */
  readonly onChange?: ((rank: number, cause: LoadChange) => void) | undefined;
  readonly onExpired?: ((requestId: string) => void) | undefined;
}

export type LoadChange = 'add' | 'prefill_complete' | 'output_block' | 'free';

/** What is booked on a rank for one request. */
export interface ActiveRequestSpec {
  readonly requestId: string;
  readonly rank: number;
  /** Sequence hashes of the prompt's full blocks, or how many blocks nobody can share with it. */
  readonly blocks: BigUint64Array | number;
  /** Prompt tokens. */
  readonly isl: number;
  /** Prompt tokens to compute; 0 counts as no prefill. */
  readonly newTokens: number;
  readonly expectedOutputTokens?: number | undefined;
  /** Time since it was booked elsewhere. */
  readonly ageMs?: number | undefined;
  /** Another router's: it has no lease here and is not told to the journal. */
  readonly foreign?: boolean | undefined;
}

/** A booked request; opaque to callers, who hand it back. */
export interface ActiveRequest {
  readonly requestId: string;
  readonly rank: number;
  readonly isl: number;
  readonly expectedOutputTokens: number | undefined;
  readonly prefix: PrefixNode<Share> | undefined;
  readonly addedMs: number;
  readonly foreign: boolean;
  prefill: PendingPrefill | undefined;
  /** Blocks nobody shares: of output, and of prompts booked by number. */
  ownBlocks: number;
  ownWeight: number;
  generated: number;
  lastActivityMs: number;
  live: boolean;
}

/** Requests of one rank that share a run, and what each of its blocks weighs. */
interface Share {
  requests: number;
  weight: number;
}

const SWEEP_INTERVAL_MS = 60_000;
const MIN_SWEEP_GAP_MS = 30_000;

/**
 * What the router itself has put on each rank: prompt blocks (those shared by several requests counted once),
 * output blocks, and prompt tokens still to compute. Adding and freeing cost O(runs of the prefix tree).
 */
export class ActiveSequences {
  readonly #options: ActiveSequencesOptions;
  readonly #requests = new Map<string, ActiveRequest>();
  readonly #tree = new PrefixTree<Share>((share) => ({ ...share }));
  readonly #weights: number[] = [];
  readonly #counts: number[] = [];
  readonly #backlogs: (PrefillBacklog | undefined)[] = [];
  #journal: BookingJournal | undefined;
  #cancelSweep: CancelTimer | undefined;
  #lastSweepMs = 0;
  #nextSweepMs = Number.POSITIVE_INFINITY;

  constructor(options: ActiveSequencesOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#requests.size;
  }

  has(requestId: string): boolean {
    return this.#requests.has(requestId);
  }

  find(requestId: string): ActiveRequest | undefined {
    return this.#requests.get(requestId);
  }

  /** All active requests, those of other routers too. */
  requests(): IterableIterator<ActiveRequest> {
    return this.#requests.values();
  }

  /** Tells the journal what happens to this router's own requests from now on; undefined ends it. */
  keepJournal(journal: BookingJournal | undefined): void {
    this.#journal = journal;
  }

  /** Books a request; undefined when its id is active already. */
  add(spec: ActiveRequestSpec): ActiveRequest | undefined {
    this.#sweepIfDue();
    if (this.#requests.has(spec.requestId)) return undefined;
    const nowMs = this.#options.clock.nowMs();
    const { rank, blocks } = spec;
    const shared = typeof blocks !== 'number' && blocks.length > 0;
    const request: ActiveRequest = {
      requestId: spec.requestId,
      rank,
      isl: spec.isl,
      expectedOutputTokens: spec.expectedOutputTokens,
      prefix: shared ? this.#tree.insert(blocks) : undefined,
      addedMs: nowMs - (spec.ageMs ?? 0),
      foreign: spec.foreign === true,
      prefill: undefined,
      ownBlocks: typeof blocks === 'number' ? blocks : 0,
      ownWeight: 1,
      generated: 0,
      lastActivityMs: nowMs,
      live: true,
    };
    this.#requests.set(spec.requestId, request);
    this.#counts[rank] = this.requestCount(rank) + 1;
    this.#share(request);
    this.#startPrefill(request, spec.newTokens, nowMs);
    this.#armSweep();
    if (!request.foreign) this.#journal?.added(request);
    this.#options.onChange?.(rank, 'add');
    return request;
  }

  /** The first output token is there; later calls do nothing. */
  completePrefill(request: ActiveRequest): void {
    if (!request.live) return;
    this.renew(request);
    if (request.prefill === undefined) return;
    const { loadModel } = this.#options;
    loadModel?.observe?.(request.rank, request.prefill.tokens, request.lastActivityMs - request.addedMs);
    this.#endPrefill(request);
    if (!request.foreign) this.#journal?.prefillCompleted(request);
    this.#options.onChange?.(request.rank, 'prefill_complete');
  }

  /** Counts generated tokens; books a block whenever they spill into a new one, if outputs are tracked. */
  addOutputTokens(request: ActiveRequest, tokens: number): void {
    if (!request.live) return;
    this.renew(request);
    const { blockSize, trackOutputBlocks } = this.#options;
    const before = Math.ceil((request.isl + request.generated) / blockSize);
    request.generated += tokens;
    const after = Math.ceil((request.isl + request.generated) / blockSize);
    if (!trackOutputBlocks || after === before) return;
    const expected = request.expectedOutputTokens;
    const fraction =
      expected === undefined ? undefined : Math.max(0, 1 - request.generated / Math.max(1, expected));
    this.addOutputBlocks(request, after - before, fraction);
  }

  /** Books output blocks; `fraction` becomes the weight of all blocks that only this request owns. */
  addOutputBlocks(request: ActiveRequest, blocks: number, fraction?: number): void {
    if (!request.live) return;
    this.renew(request);
    const { rank } = request;
    request.ownBlocks += blocks;
    this.#weigh(rank, blocks * request.ownWeight);
    if (fraction !== undefined) this.#setFraction(request, fraction);
    if (!request.foreign) this.#journal?.outputBlocksAdded(request, blocks, fraction);
    this.#options.onChange?.(rank, 'output_block');
  }

  /** Drops everything booked for the request; idempotent. */
  free(request: ActiveRequest): void {
    if (!request.live) return;
    request.live = false;
    const { rank } = request;
    this.#requests.delete(request.requestId);
    this.#endPrefill(request);
    this.#unshare(request);
    this.#counts[rank] = this.requestCount(rank) - 1;
    // Sums of fractions drift; an idle rank is known to be empty.
    if (this.requestCount(rank) === 0) this.#weights[rank] = 0;
    if (this.#requests.size === 0) this.stop();
    if (!request.foreign) this.#journal?.freed(request);
    this.#options.onChange?.(rank, 'free');
  }

  /** Shows that the request lives, which keeps its lease. */
  renew(request: ActiveRequest): void {
    request.lastActivityMs = this.#options.clock.nowMs();
  }

  /** Drops all requests of a rank that left. */
  removeRank(rank: number): void {
    for (const request of this.#requests.values()) if (request.rank === rank) this.free(request);
    this.#weights[rank] = 0;
    this.#backlogs[rank] = undefined;
    this.#options.loadModel?.rankRemoved?.(rank);
  }

  /** Blocks in use by active requests: the rounded sum of their weights. */
  activeBlocks(rank: number): number {
    return Math.round(this.#weights[rank] ?? 0);
  }

  requestCount(rank: number): number {
    return this.#counts[rank] ?? 0;
  }

  /** Requests whose prompts are not computed yet. */
  prefillCount(rank: number): number {
    return this.#backlogs[rank]?.size ?? 0;
  }

  /** Prompt tokens still to compute. */
  prefillTokens(rank: number, nowMs: number = this.#options.clock.nowMs()): number {
    return this.#backlogs[rank]?.tokensLeft(nowMs) ?? 0;
  }

  /** Leading blocks of the prompt that each rank has in active use, for all ranks at once; ranks with none stay as they are. */
  activePrefixes(sequence: BigUint64Array, out: Uint32Array): void {
    this.#tree.depths(sequence, out);
  }

  /** Frees requests whose lease ran out. */
  sweep(): void {
    const nowMs = this.#options.clock.nowMs();
    this.#lastSweepMs = nowMs;
    // A process that stood still renewed nothing either: what lives gets a lease more to show it.
    if (nowMs - this.#nextSweepMs > SWEEP_INTERVAL_MS)
      for (const request of this.#requests.values()) this.renew(request);
    for (const request of this.#requests.values()) {
      if (request.foreign || nowMs - request.lastActivityMs < this.#options.leaseMs) continue;
      this.free(request);
      this.#options.onExpired?.(request.requestId);
    }
  }

  /** Disarms the sweep; it is armed only while requests are active. */
  stop(): void {
    this.#cancelSweep?.();
    this.#cancelSweep = undefined;
    this.#nextSweepMs = Number.POSITIVE_INFINITY;
  }

  #sweepIfDue(): void {
    if (this.#requests.size === 0) this.#lastSweepMs = this.#options.clock.nowMs();
    else if (this.#options.clock.nowMs() - this.#lastSweepMs >= MIN_SWEEP_GAP_MS) this.sweep();
  }

  #armSweep(): void {
    if (this.#cancelSweep !== undefined) return;
    const { clock } = this.#options;
    this.#nextSweepMs = clock.nowMs() + SWEEP_INTERVAL_MS;
    this.#cancelSweep = clock.at(this.#nextSweepMs, () => {
      this.#cancelSweep = undefined;
      this.sweep();
      if (this.#requests.size > 0) this.#armSweep();
    });
  }

  #startPrefill(request: ActiveRequest, newTokens: number, nowMs: number): void {
    if (newTokens <= 0) return;
    const { rank, isl } = request;
    const durationMs = this.#options.loadModel?.durationMs({ rank, newTokens, isl });
    request.prefill = { tokens: newTokens, durationMs };
    let backlog = this.#backlogs[rank];
    if (backlog === undefined) {
      backlog = new PrefillBacklog();
      this.#backlogs[rank] = backlog;
    }
    backlog.add(request.prefill, nowMs);
  }

  #endPrefill(request: ActiveRequest): void {
    if (request.prefill === undefined) return;
    this.#backlogs[request.rank]?.remove(request.prefill, this.#options.clock.nowMs());
    request.prefill = undefined;
  }

  #share(request: ActiveRequest): void {
    const { rank } = request;
    let added = request.ownBlocks * request.ownWeight;
    for (let node = request.prefix; node?.parent !== undefined; node = node.parent) {
      const share = node.holders.get(rank);
      if (share !== undefined) {
        share.requests++;
        continue;
      }
      node.holders.set(rank, { requests: 1, weight: 1 });
      added += node.hashes.length;
    }
    this.#weigh(rank, added);
  }

  #unshare(request: ActiveRequest): void {
    const { rank, prefix } = request;
    let dropped = request.ownBlocks * request.ownWeight;
    for (let node = prefix; node?.parent !== undefined; node = node.parent) {
      const share = node.holders.get(rank)!;
      if (--share.requests > 0) continue;
      node.holders.delete(rank);
      dropped += node.hashes.length * share.weight;
    }
    this.#weigh(rank, -dropped);
    if (prefix !== undefined) this.#tree.prune(prefix);
  }

  #setFraction(request: ActiveRequest, fraction: number): void {
    const { rank } = request;
    let change = request.ownBlocks * (fraction - request.ownWeight);
    request.ownWeight = fraction;
    for (let node = request.prefix; node?.parent !== undefined; node = node.parent) {
      const share = node.holders.get(rank)!;
      // Owners only grow in number towards the root.
      if (share.requests > 1) break;
      change += node.hashes.length * (fraction - share.weight);
      share.weight = fraction;
    }
    this.#weigh(rank, change);
  }

  #weigh(rank: number, change: number): void {
    this.#weights[rank] = (this.#weights[rank] ?? 0) + change;
  }
}
