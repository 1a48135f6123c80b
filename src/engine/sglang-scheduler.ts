import type { BlockPool } from './block-pool.ts';
import { type DecodeRun, decodeRun } from './decode-run.ts';
import type { EngineSettings } from './engine-settings.ts';
import { EventLog } from './event-log.ts';
import { Spread } from './forward-pass.ts';
import { KvCache } from './kv-cache.ts';
import { orderByPrefix } from './longest-prefix.ts';
import { NewTokenRatio } from './new-token-ratio.ts';
import type { ForwardPass, Pass, PressureState, RankEvent, RankMetrics } from './pass.ts';
import type { EngineRequest } from './prompt.ts';
import type { RankParts, RankSnapshot, Scheduler } from './scheduler.ts';
import { type BlockSource, Sequence } from './sequence.ts';
import { decodeNs, prefillNs } from './timing.ts';
import { WaitingQueue } from './waiting-queue.ts';

/** A prompt, or a chunk of one, in a pass's prefill batch. */
interface PrefillItem {
  readonly sequence: Sequence;
  /** Tokens that were cached, or computed by earlier chunks. */
  readonly prefix: number;
  /** Tokens done when the pass is. */
  readonly end: number;
  readonly whole: boolean;
}

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
  readonly #ratio: NewTokenRatio;
  readonly #running: Sequence[] = [];
  readonly #waiting = new WaitingQueue();
  readonly #pass: Pass;
  #items: PrefillItem[] = [];
  readonly #decodeLengths: number[] = [];
  #queriedTokens = 0;
  #hitTokens = 0;

  constructor(parts: RankParts) {
    const { settings } = parts;
    this.#settings = settings;
    this.#log = new EventLog(settings, parts.snapshots);
    this.#cache = new KvCache(settings, this.#log);
    this.#pool = this.#cache.pool;
    this.#source = {
      hashed: settings.enablePrefixCaching,
      hasher: parts.hasher,
      blockSize: settings.blockSize,
      answer: parts.answer,
    };
    this.#ratio = new NewTokenRatio(settings.sglang.scheduleConservativeness);
    this.#pass = {
      startNs: 0,
      endNs: 0,
      admissions: [],
      pressure: [],
      outputs: [],
      events: this.#log.events,
    };
  }

  get hasWork(): boolean {
    return this.#running.length > 0 || this.#waiting.size > 0;
  }

  submit(request: EngineRequest): Sequence {
    const limit = request.plannedTokens?.length ?? request.maxOutputTokens;
    const sequence = new Sequence(request, limit, this.#source);
    this.#waiting.push(sequence);
    return sequence;
  }

  cancel(sequence: Sequence): boolean {
    const at = this.#running.indexOf(sequence);
    if (at >= 0) this.#running.splice(at, 1);
    else if (!this.#waiting.remove(sequence)) return false;
    this.#cache.release(sequence);
    sequence.state = 'finished';
    return true;
  }

  pass(nowNs: number): Pass {
    this.#startPass(nowNs);
    if (this.#settings.sglang.schedulePolicy === 'lpm' && this.#settings.enablePrefixCaching)
      orderByPrefix(this.#waiting, this.#cache, this.#settings.blockSize);
    this.#items = this.#prefillBatch();
    if (this.#items.length === 0 && this.#running.length === 0) this.#endHopeless();
    this.#finishPrefill();
    let durationNs = this.#prefillNs();
    if (this.#running.length > 0) durationNs += this.#decode();
    this.#pass.endNs = nowNs + durationNs;
    return this.#pass;
  }

  decodeRun(nowNs: number, horizonNs: number): DecodeRun | undefined {
    if (this.#waiting.size > 0) return undefined;
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
      totalBlocks: pool.total,
      runningRequests: this.#running.length,
      waitingRequests: this.#waiting.size,
      preemptionsTotal: 0,
      usedBlocks: pool.used,
      cachedBlocks: pool.cached,
      freeBlocks: pool.free,
      queriedTokensTotal: this.#queriedTokens,
      hitTokensTotal: this.#hitTokens,
      passHitTokens,
      passQueriedTokens,
    };
  }

  /** As in vLLM mode, except that a prompt which also emits its first token counts in both groups. */
  forwardPass(): ForwardPass {
    const prefill = new Spread();
    const decode = new Spread();
    const queuedPrefill = new Spread();
    const queuedDecode = new Spread();
    let sumPrefillTokens = 0;
    let sumPrefillKvTokens = 0;
    for (const { sequence, prefix, end } of this.#items) {
      if (end === prefix) continue;
      prefill.add(sequence.promptLength);
      sumPrefillTokens += end - prefix;
      sumPrefillKvTokens += prefix;
    }
    for (const length of this.#decodeLengths) decode.add(length);
    for (const sequence of this.#waiting) {
      if (sequence.state === 'preempted') queuedDecode.add(sequence.length);
      else if (sequence.state === 'waiting_for_remote_kv') queuedDecode.add(sequence.promptLength);
      else queuedPrefill.add(sequence.promptLength);
    }
    return {
      numPrefillRequests: prefill.count,
      sumPrefillTokens,
      varPrefillLength: prefill.variance,
      sumPrefillKvTokens,
      numDecodeRequests: decode.count,
      sumDecodeKvTokens: decode.sum,
      varDecodeKvTokens: decode.variance,
      numQueuedPrefill: queuedPrefill.count,
      sumQueuedPrefillTokens: queuedPrefill.sum,
      varQueuedPrefillLength: queuedPrefill.variance,
      numQueuedDecode: queuedDecode.count,
      sumQueuedDecodeKvTokens: queuedDecode.sum,
      varQueuedDecodeKvTokens: queuedDecode.variance,
      durationMs: (this.#pass.endNs - this.#pass.startNs) / 1e6,
    };
  }

  clearCache(): readonly RankEvent[] | undefined {
    if (this.hasWork || this.#pool.used > 0) return undefined;
    this.#log.startPass();
    this.#cache.clear();
    return [...this.#log.events];
  }

  snapshot(): RankSnapshot {
    return this.#log.snapshot();
  }

  #startPass(nowNs: number): void {
    const pass = this.#pass;
    pass.startNs = nowNs;
    pass.admissions.length = 0;
    pass.pressure.length = 0;
    pass.outputs.length = 0;
    this.#log.startPass();
    this.#decodeLengths.length = 0;
  }

  /** Takes from the queue's front while estimated memory, token budgets and slots allow. */
  #prefillBatch(): PrefillItem[] {
    const { blockSize, maxNumSeqs } = this.#settings;
    const { chunkedPrefillSize, maxPrefillTokens } = this.#settings.sglang;
    const items: PrefillItem[] = [];
    let memory = this.#pool.available * blockSize - this.#promisedTokens();
    let input = maxPrefillTokens;
    let chunk = chunkedPrefillSize;
    while (this.#running.length + items.length < maxNumSeqs) {
      const sequence = this.#waiting.first;
      if (sequence === undefined) break;
      const extend = sequence.length - sequence.computed;
      const whole = extend <= chunkedPrefillSize;
      const tokens = whole ? extend : chunk - (chunk % blockSize);
      if (tokens === 0 && !whole) break;
      const charge = Math.ceil(tokens / blockSize) * blockSize;
      const reserve = whole ? this.#reserveOf(sequence) : 0;
      if (charge + reserve >= memory || charge > input || charge > chunk) break;
      memory -= charge + reserve;
      input -= charge;
      chunk -= charge;
      this.#waiting.shift();
      items.push(this.#admit(sequence, tokens, whole));
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
    }
    const prefix = sequence.computed;
    const lacking = Math.ceil(end / blockSize) - sequence.slots.length;
    this.#cache.grow(sequence, lacking);
    sequence.cachedTokens ??= prefix;
    this.#queriedTokens += end;
    this.#hitTokens += prefix;
    this.#pass.admissions.push({ sequence, reusedTokens: prefix });
    return { sequence, prefix, end, whole };
  }

  /** Shows what the batch computes; whole prompts run on, a chunk goes back to the queue's front. */
  #finishPrefill(): void {
    for (const { sequence, end, whole } of this.#items) {
      sequence.computed = end;
      this.#cache.publishOnce(sequence, end);
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
  #retract(required: number): void {
    let victim = this.#running[0]!;
    for (const sequence of this.#running) if (sequence.generated < victim.generated) victim = sequence;
    const before = this.#pressureState();
    const activeBlocks = victim.slots.length;
    const available = this.#pool.available;
    this.#running.splice(this.#running.indexOf(victim), 1);
    this.#cache.release(victim);
    victim.state = 'preempted';
    this.#waiting.pushFront(victim);
    this.#pass.pressure.push({
      kind: 'sglang_retraction',
      sequence: victim,
      before,
      after: this.#pressureState(),
      requestActiveBlocksBefore: activeBlocks,
      logicalAvailableBlocksBefore: available,
      requiredBlocksBefore: required,
    });
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
    this.#cache.publishOnce(sequence, sequence.length);
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
    this.#cache.release(sequence);
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
    const { generated: first } = sequence;
    this.#pass.outputs.push({
      sequence,
      first,
      count: 0,
      completed: true,
      rejected,
      cachedTokens: undefined,
    });
  }
}
