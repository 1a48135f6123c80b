import type { BlockPool } from './block-pool.ts';
import { type DecodeRun, decodeRun } from './decode-run.ts';
import type { EngineSettings } from './engine-settings.ts';
import { EventLog } from './event-log.ts';
import { type PrefillItem, sglangForwardPass } from './forward-pass.ts';
import { KvCache } from './kv-cache.ts';
import { orderByPrefix } from './longest-prefix.ts';
import { hostUse } from './lower-tiers.ts';
import { NewTokenRatio } from './new-token-ratio.ts';
import {
  endOutput,
  type ForwardPass,
  newPass,
  type Pass,
  type PressureState,
  type RankEvent,
  type RankMetrics,
  startPass,
} from './pass.ts';
import { PrefillBudget } from './prefill-budget.ts';
import { underPressure } from './pressure.ts';
import type { EngineRequest } from './prompt.ts';
import { RemoteKv } from './remote-kv.ts';
import type { RankParts, RankSnapshot, Scheduler } from './scheduler.ts';
import { type BlockSource, blockSource, Sequence } from './sequence.ts';
import { decodeNs, prefillNs } from './timing.ts';
import { WaitingQueue } from './waiting-queue.ts';

/**
 * Batching as in SGLang: a prefill batch of whole prompts and at most one chunk, admitted against an estimate of
 * what running requests will still need, then a decode step for all. Cached pages form a prefix tree without
 * duplicates; requests are retracted when decoding finds no page.
 */
export class SglangScheduler implements Scheduler {
  readonly #settings: EngineSettings;
  readonly #cache: KvCache;
  readonly #pool: BlockPool;
  readonly #source: BlockSource;
  readonly #log: EventLog;
  readonly remote: RemoteKv;
  readonly #ratio: NewTokenRatio;
  readonly #running: Sequence[] = [];
  readonly #waiting = new WaitingQueue();
  /** Prompts that arrived from other engines since the last pass. */
  readonly #handedOver: Sequence[] = [];
  readonly #pass: Pass;
  #items: PrefillItem[] = [];
  readonly #decodeLengths: number[] = [];
  #queriedTokens = 0;
  #hitTokens = 0;
  #loadedTokens = 0;
  /** When all that the pass under way loads from lower tiers is there. */
  #loadedByNs = 0;

  constructor(parts: RankParts) {
    const { settings } = parts;
    this.#settings = settings;
    this.#log = new EventLog(settings, parts.snapshots);
    this.#cache = new KvCache(settings, this.#log);
    this.#pool = this.#cache.pool;
    this.remote = new RemoteKv({
      cache: this.#cache,
      blockSize: settings.blockSize,
      hasSlot: () => true,
      publish: (sequence) => this.#cache.publishOnce(sequence, sequence.promptLength),
    });
    this.#source = blockSource(parts);
    this.#ratio = new NewTokenRatio(settings.sglang.scheduleConservativeness);
    this.#pass = newPass(this.#log.events, this.#cache.below?.transfers);
  }

  get hasWork(): boolean {
    return this.#running.length > 0 || this.#waiting.size > 0 || this.#handedOver.length > 0;
  }

  submit(request: EngineRequest, holdsAtEnd = false): Sequence {
    const sequence = this.#newSequence(request);
    sequence.holdsAtEnd = holdsAtEnd;
    this.#waiting.push(sequence);
    return sequence;
  }

  /** Only now do the pages that its last chunk filled join the prefix tree. */
  releaseHeld(sequence: Sequence): void {
    this.#cache.publishOnce(sequence, sequence.length);
    this.#cache.release(sequence);
  }

  expect(request: EngineRequest): Sequence {
    const sequence = this.#newSequence(request);
    this.remote.reserve(sequence);
    return sequence;
  }

  activate(sequence: Sequence): void {
    this.remote.activate(sequence);
    sequence.handedOver = true;
    this.#handedOver.push(sequence);
  }

  cancel(sequence: Sequence): boolean {
    const at = this.#running.indexOf(sequence);
    if (at >= 0) this.#running.splice(at, 1);
    else if (!this.#waiting.remove(sequence) && !this.#dropHandedOver(sequence)) return false;
    this.#cache.release(sequence);
    sequence.state = 'finished';
    return true;
  }

  pass(nowNs: number): Pass {
    this.#startPass(nowNs);
    this.#takeOver();
    if (this.#settings.sglang.schedulePolicy === 'lpm' && this.#settings.enablePrefixCaching)
      orderByPrefix(this.#waiting, this.#cache, this.#settings.blockSize);
    this.#items = this.#prefillBatch();
    if (this.#items.length === 0 && this.#running.length === 0) this.#endHopeless();
    this.#finishPrefill();
    // As SGLang's HiCache: each layer waits for its blocks only.
    let durationNs = Math.max(this.#prefillNs(), this.#loadedByNs - nowNs);
    if (this.#running.length > 0) durationNs += this.#decode();
    this.#pass.endNs = nowNs + durationNs;
    this.#log.endPass();
    return this.#pass;
  }

  decodeRun(nowNs: number, horizonNs: number): DecodeRun | undefined {
    if (this.#waiting.size > 0 || this.#handedOver.length > 0 || this.remote.pending > 0) return undefined;
    const run = decodeRun(this.#settings, this.#running, nowNs, horizonNs);
    for (let passes = 1; run !== undefined && passes < run.times.length; passes++) this.#ratio.decay();
    return run;
  }

  metrics(): RankMetrics {
    const pool = this.#pool;
    let passHitTokens = 0;
    let passQueriedTokens = 0;
    for (const { prefix, end } of this.#items) {
      passHitTokens += prefix;
      passQueriedTokens += end;
    }
    return {
      activeBlocks: pool.total - pool.free,
      runningRequests: this.#running.length,
      waitingRequests: this.#waiting.size + this.remote.size + this.#handedOver.length,
      preemptionsTotal: 0,
      ...pool.use,
      queriedTokensTotal: this.#queriedTokens,
      hitTokensTotal: this.#hitTokens,
      loadedTokensTotal: this.#loadedTokens,
      ...hostUse(this.#cache.below),
      passHitTokens,
      passQueriedTokens,
    };
  }

  forwardPass(): ForwardPass {
    const queued = [...this.#waiting, ...this.#handedOver, ...this.remote.sequences()];
    const durationMs = (this.#pass.endNs - this.#pass.startNs) / 1e6;
    return sglangForwardPass(this.#items, this.#decodeLengths, queued, durationMs);
  }

  clearCache(): readonly RankEvent[] | undefined {
    if (this.hasWork || this.#pool.used > 0) return undefined;
    this.#log.startPass();
    this.#cache.clear();
    this.#log.endPass();
    return [...this.#log.events];
  }

  snapshot(): RankSnapshot {
    return this.#log.snapshot();
  }

  #dropHandedOver(sequence: Sequence): boolean {
    const at = this.#handedOver.indexOf(sequence);
    if (at < 0) return this.remote.cancel(sequence);
    this.#handedOver.splice(at, 1);
    return true;
  }

  #newSequence(request: EngineRequest): Sequence {
    return new Sequence(request, request.plannedTokens?.length ?? request.maxOutputTokens, this.#source);
  }

  #startPass(nowNs: number): void {
    startPass(this.#pass, nowNs);
    this.#log.startPass();
    this.#cache.below?.startPass(nowNs);
    this.#loadedByNs = nowNs;
    this.#decodeLengths.length = 0;
  }

  /** Starts requests whose prompts arrived, as far as there are slots. */
  #takeOver(): void {
    while (this.#running.length < this.#settings.maxNumSeqs) {
      const sequence = this.#handedOver.shift();
      if (sequence === undefined) return;
      sequence.handedOver = false;
      sequence.state = 'running';
      sequence.cachedTokens ??= 0;
      this.#running.push(sequence);
      this.#pass.admissions.push({ sequence, reusedTokens: 0, loadedTokens: 0 });
    }
  }

  /** Takes from the queue's front while estimated memory, token budgets and slots allow. */
  #prefillBatch(): PrefillItem[] {
    const { blockSize, maxNumSeqs } = this.#settings;
    const items: PrefillItem[] = [];
    const memory = this.#pool.available * blockSize - this.#promisedTokens();
    const budget = new PrefillBudget(this.#settings, memory);
    while (this.#running.length + items.length < maxNumSeqs && this.remote.pending === 0) {
      const sequence = this.#waiting.first;
      const share = sequence && budget.take(sequence.length - sequence.computed, this.#reserveOf(sequence));
      if (share === undefined) break;
      this.#waiting.shift();
      items.push(this.#admit(sequence!, share.tokens, share.whole));
    }
    return items;
  }

  /** Tokens that running requests are expected to need yet. */
  #promisedTokens(): number {
    let promised = 0;
    for (const sequence of this.#running) promised += this.#reserveOf(sequence) * this.#ratio.value;
    return promised;
  }

  #reserveOf({ maxOutputTokens, generated }: Sequence): number {
    return Math.min(maxOutputTokens - generated, this.#settings.sglang.clipMaxNewTokens);
  }

  #admit(sequence: Sequence, tokens: number, whole: boolean): PrefillItem {
    const { blockSize } = this.#settings;
    const end = sequence.computed + tokens;
    if (sequence.computed === 0) {
      const hits = this.#cache.findPrefix(sequence, Math.floor(end / blockSize));
      this.#cache.adopt(sequence, hits);
      this.#loadBelow(sequence, hits.length, Math.floor(end / blockSize));
    }
    const { loadedTokens } = sequence;
    sequence.loadedTokens = 0;
    const prefix = sequence.computed;
    const lacking = Math.ceil(end / blockSize) - sequence.slots.length;
    this.#cache.grow(sequence, lacking);
    sequence.cachedTokens ??= prefix;
    this.#queriedTokens += end;
    this.#hitTokens += prefix;
    this.#loadedTokens += loadedTokens;
    this.#pass.admissions.push({ sequence, reusedTokens: prefix, loadedTokens });
    return { sequence, prefix, end, whole };
  }

  /** Loads what lower tiers hold of a prompt's next blocks, layer by layer while the batch computes. */
  #loadBelow(sequence: Sequence, from: number, to: number): void {
    const { below } = this.#cache;
    const count = below?.reach(sequence, from, to) ?? 0;
    if (below === undefined || count === 0) return;
    const load = below.load(sequence, from, count);
    load.done();
    this.#loadedByNs = Math.max(this.#loadedByNs, load.readyNs);
    sequence.loadedTokens = count * this.#settings.blockSize;
    sequence.computed += sequence.loadedTokens;
  }

  /** Shows what the batch computes; whole prompts run on, a chunk goes back to the queue's front. */
  #finishPrefill(): void {
    for (const { sequence, end, whole } of this.#items) {
      sequence.computed = end;
      if (!whole || !sequence.holdsAtEnd) this.#cache.publishOnce(sequence, end);
      if (whole) {
        sequence.state = 'running';
        this.#running.push(sequence);
      } else this.#waiting.pushFront(sequence);
    }
  }

  #prefillNs(): number {
    let inputTokens = 0;
    let prefixTokens = 0;
    for (const { prefix, end } of this.#items) {
      inputTokens += end;
      prefixTokens += prefix;
    }
    if (inputTokens === prefixTokens) return 0;
    return prefillNs(this.#settings, this.#items.length, inputTokens, prefixTokens);
  }

  /** One token for every running request that keeps its pages; the duration of the step. */
  #decode(): number {
    let contextTokens = 0;
    for (const { length } of this.#running) {
      contextTokens += length;
      this.#decodeLengths.push(length);
    }
    const durationNs = decodeNs(this.#settings, this.#running.length, contextTokens);
    const retracted = this.#findPages();
    if (retracted) this.#ratio.reset();
    else this.#ratio.decay();
    for (const sequence of this.#running) this.#emit(sequence);
    let kept = 0;
    for (const sequence of this.#running) if (sequence.state === 'running') this.#running[kept++] = sequence;
    this.#running.length = kept;
    return durationNs;
  }

  /** Gives a page to every request whose last is full, retracting while there are too few; true if any was. */
  #findPages(): boolean {
    let retracted = false;
    for (;;) {
      const growth = this.#running.filter((sequence) => this.#needsPage(sequence)).length;
      if (growth <= this.#pool.available) {
        this.#cache.makeRoom(growth);
        break;
      }
      retracted = true;
      if (this.#running.length === 1) {
        this.#endOutgrown();
        break;
      }
      this.#retract(growth);
    }
    for (const sequence of this.#running)
      if (this.#needsPage(sequence)) sequence.slots.push(this.#pool.take());
    return retracted;
  }

  #needsPage({ length, slots }: Sequence): boolean {
    return length === slots.length * this.#settings.blockSize;
  }

  /** Sends the request with the fewest generated tokens back to the queue's front, its tokens kept. */
  #retract(requiredBlocks: number): void {
    let victim = this.#running[0]!;
    for (const sequence of this.#running) if (sequence.generated < victim.generated) victim = sequence;
    const availableBlocks = this.#pool.available;
    const state = (): PressureState => this.#pressureState();
    const record = underPressure(
      { kind: 'sglang_retraction', victim, requiredBlocks, availableBlocks, state },
      () => {
        this.#running.splice(this.#running.indexOf(victim), 1);
        this.#cache.release(victim);
        victim.state = 'preempted';
        this.#waiting.pushFront(victim);
      },
    );
    this.#pass.pressure.push(record);
  }

  #pressureState(): PressureState {
    return {
      runningRequests: this.#running.length,
      waitingRequests: undefined,
      activeBlocks: this.#pool.total - this.#pool.free,
    };
  }

  #emit(sequence: Sequence): void {
    const { maxOutputTokens } = sequence;
    const first = sequence.generated;
    const count = Math.min(1, maxOutputTokens - first);
    sequence.generated += count;
    sequence.computed = sequence.length - 1;
    const completed = sequence.generated >= maxOutputTokens;
    if (!sequence.holdsAtEnd) this.#cache.publishOnce(sequence, sequence.length);
    this.#pass.outputs.push({
      sequence,
      first,
      count,
      completed,
      rejected: false,
      cachedTokens: undefined,
    });
    if (!completed) return;
    sequence.state = 'finished';
    if (!sequence.holdsAtEnd) this.#cache.release(sequence);
  }

  /** The only running request has outgrown the pool: it keeps the answer it has. */
  #endOutgrown(): void {
    const sequence = this.#running.pop()!;
    this.#endWithout(sequence, false);
  }

  /** With nothing running, memory will not grow: a head that does not fit never will. */
  #endHopeless(): void {
    const sequence = this.#waiting.shift();
    if (sequence !== undefined) this.#endWithout(sequence, sequence.generated === 0);
  }

  #endWithout(sequence: Sequence, rejected: boolean): void {
    sequence.state = 'finished';
    this.#cache.release(sequence);
    this.#pass.outputs.push(endOutput(sequence, rejected));
  }
}
