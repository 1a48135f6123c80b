import { cannotFit, footprint, outputLimit, reusableBlocks } from './admission-rules.ts';
import { batchDurationNs } from './batch-duration.ts';
import type { BlockPool } from './block-pool.ts';
import { type DecodeRun, decodeRun } from './decode-run.ts';
import type { EngineSettings } from './engine-settings.ts';
import { EventLog } from './event-log.ts';
import { forwardPass } from './forward-pass.ts';
import { KvCache } from './kv-cache.ts';
import type { ForwardPass, Pass, PressureState, RankEvent, RankMetrics } from './pass.ts';
import { underPressure } from './pressure.ts';
import type { EngineRequest } from './prompt.ts';
import { RemoteKv } from './remote-kv.ts';
import type { RankParts, RankSnapshot, Scheduler } from './scheduler.ts';
import { type BlockSource, Sequence } from './sequence.ts';
import { SpeculativeDecoding } from './speculative-decoding.ts';
import { WaitingQueue } from './waiting-queue.ts';

type Scheduled = 'scheduled' | 'blocked' | 'preempted-itself';

/**
 * Continuous batching as in vLLM: running requests first, in order of admission, then waiting ones while the
 * token budget, the running cap and the pool allow. Also TensorRT-LLM's guaranteed-no-evict mode, which differs
 * in admission only.
 */
export class VllmScheduler implements Scheduler {
  readonly #settings: EngineSettings;
  readonly #cache: KvCache;
  readonly #pool: BlockPool;
  readonly #source: BlockSource;
  readonly #log: EventLog;
  readonly remote: RemoteKv;
  readonly #drafts: SpeculativeDecoding | undefined;
  readonly #running: Sequence[] = [];
  readonly #waiting = new WaitingQueue();
  /** What the pass under way scheduled, in order. */
  readonly #batch: Sequence[] = [];
  readonly #pass: Pass;
  #budget = 0;
  #preemptedInPass = false;
  #preemptions = 0;
  #queriedTokens = 0;
  #hitTokens = 0;
  /** Pool version at which the waiting head last found no room. */
  #noRoomAt = -1;

  constructor(parts: RankParts) {
    const { settings } = parts;
    this.#settings = settings;
    this.#source = {
      hashed: settings.enablePrefixCaching,
      hasher: parts.hasher,
      blockSize: settings.blockSize,
      answer: parts.answer,
    };
    this.#log = new EventLog(settings, parts.snapshots);
    this.#cache = new KvCache(settings, this.#log);
    this.#pool = this.#cache.pool;
    this.remote = new RemoteKv({
      cache: this.#cache,
      blockSize: settings.blockSize,
      hasSlot: () => this.#running.length < settings.maxNumSeqs,
      publish: (sequence) => this.#cache.publish(sequence),
    });
    if (settings.speculative !== undefined)
      this.#drafts = new SpeculativeDecoding(settings, settings.speculative, parts.stream);
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

  submit(request: EngineRequest, holdsAtEnd = false): Sequence {
    const sequence = new Sequence(request, outputLimit(this.#settings, request), this.#source);
    sequence.holdsAtEnd = holdsAtEnd;
    this.#waiting.push(sequence);
    return sequence;
  }

  releaseHeld(sequence: Sequence): void {
    this.#cache.release(sequence);
  }

  expect(request: EngineRequest): Sequence {
    const sequence = new Sequence(request, outputLimit(this.#settings, request), this.#source);
    this.remote.reserve(sequence);
    return sequence;
  }

  activate(sequence: Sequence): void {
    this.remote.activate(sequence);
    sequence.handedOver = true;
    this.#waiting.push(sequence);
  }

  cancel(sequence: Sequence): boolean {
    const at = this.#running.indexOf(sequence);
    if (at >= 0) this.#running.splice(at, 1);
    else if (!this.#waiting.remove(sequence) && !this.remote.cancel(sequence)) return false;
    this.#cache.release(sequence);
    sequence.state = 'finished';
    this.#noRoomAt = -1;
    return true;
  }

  pass(nowNs: number): Pass {
    this.#startPass(nowNs);
    this.#scheduleRunning();
    if (!this.#preemptedInPass) this.#admit();
    this.#reserveBursts();
    this.#pass.endNs = nowNs + batchDurationNs(this.#settings, this.#batch);
    this.#emit();
    this.#log.endPass();
    return this.#pass;
  }

  decodeRun(nowNs: number, horizonNs: number): DecodeRun | undefined {
    if (this.#drafts !== undefined || this.remote.pending > 0 || this.#mayAdmit()) return undefined;
    return decodeRun(this.#settings, this.#running, nowNs, horizonNs);
  }

  metrics(): RankMetrics {
    const pool = this.#pool;
    return {
      activeBlocks: pool.used,
      runningRequests: this.#running.length,
      waitingRequests: this.#waiting.size + this.remote.size,
      preemptionsTotal: this.#preemptions,
      ...pool.use,
      queriedTokensTotal: this.#queriedTokens,
      hitTokensTotal: this.#hitTokens,
      passHitTokens: 0,
      passQueriedTokens: 0,
    };
  }

  forwardPass(): ForwardPass {
    return forwardPass(
      this.#batch,
      [...this.#waiting, ...this.remote.sequences()],
      (this.#pass.endNs - this.#pass.startNs) / 1e6,
    );
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

  #startPass(nowNs: number): void {
    const pass = this.#pass;
    pass.startNs = nowNs;
    pass.admissions.length = 0;
    pass.pressure.length = 0;
    pass.outputs.length = 0;
    this.#log.startPass();
    this.#batch.length = 0;
    this.#budget = this.#settings.maxNumBatchedTokens;
    this.#preemptedInPass = false;
  }

  #scheduleRunning(): void {
    let i = 0;
    while (i < this.#running.length && this.#budget > 0) {
      const sequence = this.#running[i]!;
      const outcome = this.#schedule(sequence);
      if (outcome === 'blocked') return;
      // A preempted older request moves this one forward; if it was itself preempted the next took its place.
      if (outcome === 'scheduled')
        i = this.#running[i] === sequence ? i + 1 : this.#running.indexOf(sequence) + 1;
      else i = Math.min(i, this.#running.length);
    }
  }

  /** Gives a running request as many tokens as the budget allows, and blocks for them. */
  #schedule(sequence: Sequence): Scheduled {
    const { blockSize, enableChunkedPrefill } = this.#settings;
    const promptLeft = sequence.promptLength - sequence.computed;
    if (!enableChunkedPrefill && promptLeft > 0 && promptLeft > this.#budget) return 'blocked';
    const desired = Math.min(sequence.length - sequence.computed, this.#budget);
    const blocks = Math.ceil((sequence.computed + desired) / blockSize);
    if (blocks > sequence.slots.length && !this.#allocate(sequence, blocks)) return 'preempted-itself';
    this.#commit(sequence, desired);
    return 'scheduled';
  }

  /** Extends a sequence to `blocks` blocks, preempting until there is room; false if it was preempted itself. */
  #allocate(sequence: Sequence, blocks: number): boolean {
    const lacking = blocks - sequence.slots.length;
    while (this.#pool.available < lacking) {
      const victim = this.#settings.preemptionMode === 'lifo' ? this.#running.at(-1)! : this.#running[0]!;
      this.#preempt(victim, lacking);
      if (victim === sequence) return false;
    }
    this.#cache.grow(sequence, lacking);
    return true;
  }

  /** Counts tokens as computed in this pass and shows the blocks that they fill. */
  #commit(sequence: Sequence, tokens: number): void {
    sequence.passTokens = tokens;
    sequence.passComputedBefore = sequence.computed;
    sequence.passLength = sequence.length;
    sequence.computed += tokens;
    this.#budget -= tokens;
    this.#batch.push(sequence);
    this.#cache.publish(sequence);
  }

  #preempt(victim: Sequence, requiredBlocks: number): void {
    const availableBlocks = this.#pool.available;
    const state = (): PressureState => this.#pressureState();
    const record = underPressure(
      { kind: 'vllm_preemption', victim, requiredBlocks, availableBlocks, state },
      () => this.#sendBack(victim),
    );
    this.#pass.pressure.push(record);
    this.#preemptions++;
    this.#preemptedInPass = true;
  }

  #sendBack(victim: Sequence): void {
    this.#running.splice(this.#running.indexOf(victim), 1);
    const scheduledAt = this.#batch.indexOf(victim);
    if (scheduledAt >= 0) {
      this.#batch.splice(scheduledAt, 1);
      this.#budget += victim.passTokens;
    }
    this.#cache.release(victim);
    victim.state = 'preempted';
    this.#waiting.pushFront(victim);
  }

  #pressureState(): PressureState {
    return {
      runningRequests: this.#running.length,
      waitingRequests: this.#waiting.size,
      activeBlocks: this.#pool.used,
    };
  }

  #admit(): void {
    while (this.#budget > 0 && this.#running.length < this.#settings.maxNumSeqs) {
      const sequence = this.#nextWaiting();
      if (sequence === undefined) return;
      if (sequence.handedOver) this.#takeOver(sequence);
      else if (cannotFit(this.#settings, sequence)) this.#endUnserved(sequence);
      else if (this.#noRoomAt === this.#pool.version || !this.#admitOne(sequence)) return;
    }
  }

  /** The head; while a destination is pending, only prompts that are here already may pass. */
  #nextWaiting(): Sequence | undefined {
    if (this.remote.pending === 0) return this.#waiting.first;
    for (const sequence of this.#waiting) if (sequence.handedOver) return sequence;
    return undefined;
  }

  /** Starts a request whose prompt arrived from another engine: it only decodes. */
  #takeOver(sequence: Sequence): void {
    this.#waiting.remove(sequence);
    sequence.handedOver = false;
    sequence.state = 'running';
    sequence.cachedTokens ??= 0;
    this.#running.push(sequence);
    this.#pass.admissions.push({ sequence, reusedTokens: 0 });
    this.#commit(sequence, 0);
  }

  /** Ends the waiting head: a fresh request is rejected, one that outgrew the pool keeps the answer it has. */
  #endUnserved(sequence: Sequence): void {
    this.#waiting.shift();
    const rejected = sequence.state === 'waiting';
    sequence.state = 'finished';
    this.#pass.outputs.push({
      sequence,
      first: sequence.generated,
      count: 0,
      completed: true,
      rejected,
      cachedTokens: undefined,
    });
  }

  /** Admits the waiting head if its tokens and blocks fit; false if it has to wait. */
  #admitOne(sequence: Sequence): boolean {
    const { blockSize, enableChunkedPrefill } = this.#settings;
    const hits = this.#findPrefix(sequence);
    const held = hits.filter((slot) => this.#pool.isHeld(slot)).length;
    if (footprint(this.#settings, sequence) - held > this.#roomForAdmission()) {
      this.#noRoomAt = this.#pool.version;
      return false;
    }
    const reused = hits.length * blockSize;
    const promptLeft = sequence.promptLength - reused;
    if (!enableChunkedPrefill && promptLeft > 0 && promptLeft > this.#budget) return false;
    this.#waiting.shift();
    this.#running.push(sequence);
    this.#cache.adopt(sequence, hits);
    sequence.state = 'running';
    sequence.cachedTokens ??= reused;
    this.#queriedTokens += sequence.length;
    this.#hitTokens += reused;
    this.#pass.admissions.push({ sequence, reusedTokens: reused });
    return this.#schedule(sequence) === 'scheduled';
  }

  /** Slots of the cached leading blocks that admission may reuse. */
  #findPrefix(sequence: Sequence): number[] {
    const slots = this.#cache.findPrefix(sequence, reusableBlocks(this.#settings, sequence));
    // Draft tokens need the last block computed anew.
    if (this.#drafts !== undefined && slots.length > 0) slots.pop();
    return slots;
  }

  #roomForAdmission(): number {
    const room = this.#pool.available;
    if (this.#settings.backend !== 'trtllm') return room;
    let promised = 0;
    for (const sequence of this.#running)
      promised += footprint(this.#settings, sequence) - sequence.slots.length;
    return room - promised;
  }

  /** Room for the tokens that a speculative pass may yield. */
  #reserveBursts(): void {
    const drafts = this.#drafts;
    if (drafts === undefined) return;
    for (const sequence of [...this.#batch]) {
      // It may have been preempted for one before it.
      if (sequence.state !== 'running' || sequence.computed < sequence.length) continue;
      const blocks = drafts.blocksFor(sequence);
      if (blocks > sequence.slots.length) this.#allocate(sequence, blocks);
    }
  }

  #emit(): void {
    let finished = 0;
    for (const sequence of this.#batch) {
      if (sequence.computed < sequence.length) continue;
      if (this.#emitFor(sequence)) finished++;
    }
    if (finished === 0) return;
    let kept = 0;
    for (const sequence of this.#running) if (sequence.state === 'running') this.#running[kept++] = sequence;
    this.#running.length = kept;
  }

  /** Emits the token or burst of a request whose tokens are all computed; true if that completes it. */
  #emitFor(sequence: Sequence): boolean {
    const remaining = sequence.maxOutputTokens - sequence.generated;
    const fits = (this.#settings.maxModelLen ?? Number.POSITIVE_INFINITY) - sequence.length;
    const count = Math.min(remaining, fits, remaining === 0 ? 0 : (this.#drafts?.burst(sequence) ?? 1));
    const first = sequence.generated;
    sequence.generated += count;
    if (count > 1) {
      sequence.computed = sequence.length - 1;
      this.#cache.publish(sequence);
    }
    const completed = count === remaining || count === fits;
    this.#pass.outputs.push({
      sequence,
      first,
      count,
      completed,
      rejected: false,
      cachedTokens: sequence.outputsGiven++ === 0 ? sequence.cachedTokens : undefined,
    });
    if (!completed) return false;
    sequence.state = 'finished';
    if (!sequence.holdsAtEnd) this.#cache.release(sequence);
    return true;
  }

  #mayAdmit(): boolean {
    if (this.#waiting.size === 0 || this.#running.length >= this.#settings.maxNumSeqs) return false;
    return this.#noRoomAt !== this.#pool.version;
  }
}
