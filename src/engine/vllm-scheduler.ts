import { cannotFit, footprint, outputLimit, reusableBlocks } from './admission-rules.ts';
import { Batch } from './batch.ts';
import type { BlockPool } from './block-pool.ts';
import { type DecodeRun, decodeRun } from './decode-run.ts';
import { Emission } from './emission.ts';
import type { EngineSettings } from './engine-settings.ts';
import { EventLog } from './event-log.ts';
import { forwardPass } from './forward-pass.ts';
import { KvCache } from './kv-cache.ts';
import { hostUse } from './lower-tiers.ts';
import {
  type ForwardPass,
  newPass,
  type Pass,
  type PressureState,
  type RankEvent,
  type RankMetrics,
  startPass,
} from './pass.ts';
import { underPressure } from './pressure.ts';
import type { EngineRequest } from './prompt.ts';
import { RemoteKv } from './remote-kv.ts';
import type { RankParts, RankSnapshot, Scheduler } from './scheduler.ts';
import { type BlockSource, blockSource, Sequence } from './sequence.ts';
import { SpeculativeDecoding } from './speculative-decoding.ts';
import { TierLoads } from './tier-loads.ts';
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
  readonly #loads: TierLoads;
  readonly #batch = new Batch();
  readonly #pass: Pass;
  readonly #emission: Emission;
  #preemptedInPass = false;
  #preemptions = 0;
  #queriedTokens = 0;
  #hitTokens = 0;
  #loadedTokens = 0;
  /** Pool version at which the waiting head last found no room. */
  #noRoomAt = -1;

  constructor(parts: RankParts) {
    const { settings } = parts;
    this.#settings = settings;
    this.#source = blockSource(parts);
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
    this.#loads = new TierLoads(this.#cache, this.#waiting, settings.speedupRatio);
    this.#pass = newPass(this.#log.events, this.#cache.below?.transfers);
    this.#emission = new Emission(settings, this.#cache, this.#drafts, this.#pass.outputs);
  }

  get hasWork(): boolean {
    return this.#running.length > 0 || this.#waiting.size > 0 || this.#loads.size > 0;
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
    else if (
      !this.#waiting.remove(sequence) &&
      !this.#loads.cancel(sequence) &&
      !this.remote.cancel(sequence)
    )
      return false;
    this.#cache.release(sequence);
    sequence.state = 'finished';
    this.#noRoomAt = -1;
    return true;
  }

  pass(nowNs: number): Pass {
    this.#startPass(nowNs);
    this.#loads.settle(nowNs);
    this.#scheduleRunning();
    if (!this.#preemptedInPass) this.#admit();
    this.#reserveBursts();
    this.#pass.endNs = nowNs + (this.#batch.durationNs(this.#settings) || this.#loads.idleNs(nowNs));
    this.#emit();
    this.#log.endPass();
    return this.#pass;
  }

  decodeRun(nowNs: number, horizonNs: number): DecodeRun | undefined {
    if (this.#drafts !== undefined || this.remote.pending > 0 || this.#mayAdmit()) return undefined;
    return decodeRun(this.#settings, this.#running, nowNs, Math.min(horizonNs, this.#loads.nextReadyNs));
  }

  metrics(): RankMetrics {
    const pool = this.#pool;
    return {
      activeBlocks: pool.used,
      runningRequests: this.#running.length,
      waitingRequests: this.#waiting.size + this.#loads.size + this.remote.size,
      preemptionsTotal: this.#preemptions,
      ...pool.use,
      queriedTokensTotal: this.#queriedTokens,
      hitTokensTotal: this.#hitTokens,
      loadedTokensTotal: this.#loadedTokens,
      ...hostUse(this.#cache.below),
      passHitTokens: 0,
      passQueriedTokens: 0,
    };
  }

  forwardPass(): ForwardPass {
    return forwardPass(
      this.#batch.sequences,
      [...this.#waiting, ...this.#loads, ...this.remote.sequences()],
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
    startPass(this.#pass, nowNs);
    this.#log.startPass();
    this.#cache.below?.startPass(nowNs);
    this.#batch.start(this.#settings.maxNumBatchedTokens);
    this.#preemptedInPass = false;
  }

  #scheduleRunning(): void {
    let i = 0;
    while (i < this.#running.length && this.#batch.budget > 0) {
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
    if (!this.#fitsBudget(sequence, sequence.computed)) return 'blocked';
    const desired = Math.min(sequence.length - sequence.computed, this.#batch.budget);
    const blocks = Math.ceil((sequence.computed + desired) / this.#settings.blockSize);
    if (blocks > sequence.slots.length && !this.#allocate(sequence, blocks)) return 'preempted-itself';
    this.#commit(sequence, desired);
    return 'scheduled';
  }

  /** Whether what the pass may still take covers a prompt of which so many tokens are done, or it may be split. */
  #fitsBudget(sequence: Sequence, done: number): boolean {
    if (this.#settings.enableChunkedPrefill) return true;
    return sequence.promptLength - done <= Math.max(0, this.#batch.budget);
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
    this.#batch.add(sequence, tokens);
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
    this.#batch.withdraw(victim);
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
    while (this.#batch.budget > 0 && this.#running.length < this.#settings.maxNumSeqs) {
      const loaded = this.#loads.first;
      if (loaded !== undefined) {
        if (!this.#fitsBudget(loaded, loaded.computed)) return;
        this.#loads.shift();
        this.#run(loaded);
        continue;
      }
      const sequence = this.#nextWaiting();
      if (sequence === undefined) return;
      if (sequence.handedOver) this.#takeOver(sequence);
      else if (cannotFit(this.#settings, sequence)) {
        this.#waiting.shift();
        this.#emission.end(sequence);
      } else if (this.#noRoomAt === this.#pool.version || !this.#admitOne(sequence)) return;
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
    this.#pass.admissions.push({ sequence, reusedTokens: 0, loadedTokens: 0 });
    this.#commit(sequence, 0);
  }

  /** Takes the waiting head off the queue if its tokens and blocks fit: it runs, or waits for what is loaded for it. */
  #admitOne(sequence: Sequence): boolean {
    const { blockSize } = this.#settings;
    const { hits, below } = this.#findPrefix(sequence);
    if (below > 0 && this.#loads.follow(sequence, hits.length)) {
      this.#waiting.shift();
      return true;
    }
    const held = hits.filter((slot) => this.#pool.isHeld(slot)).length;
    if (footprint(this.#settings, sequence) - held > this.#roomForAdmission()) {
      this.#noRoomAt = this.#pool.version;
      return false;
    }
    if (below === 0 && !this.#fitsBudget(sequence, hits.length * blockSize)) return false;
    this.#waiting.shift();
    this.#cache.adopt(sequence, hits);
    if (below === 0) return this.#run(sequence) === 'scheduled';
    sequence.loadedTokens = below * blockSize;
    // Before room is made, which might push out what is to be loaded.
    this.#loads.start(sequence, hits.length, below);
    // Room for all that is known of it, so that two whose loads are done cannot keep each other from running.
    this.#cache.grow(sequence, Math.ceil(sequence.length / blockSize) - hits.length);
    return true;
  }

  /** Starts a request whose cached prefix is on the device. */
  #run(sequence: Sequence): Scheduled {
    const { computed: reusedTokens, loadedTokens } = sequence;
    this.#running.push(sequence);
    sequence.state = 'running';
    sequence.loadedTokens = 0;
    sequence.cachedTokens ??= reusedTokens;
    this.#queriedTokens += sequence.length;
    this.#hitTokens += reusedTokens;
    this.#loadedTokens += loadedTokens;
    this.#pass.admissions.push({ sequence, reusedTokens, loadedTokens });
    return this.#schedule(sequence);
  }

  /** Slots of the cached leading blocks that admission may reuse, and how many more are in lower tiers. */
  #findPrefix(sequence: Sequence): { hits: number[]; below: number } {
    const limit = reusableBlocks(this.#settings, sequence);
    const hits = this.#cache.findPrefix(sequence, limit);
    const below = this.#cache.below?.reach(sequence, hits.length, limit) ?? 0;
    // Draft tokens need the last block computed anew.
    if (this.#drafts === undefined) return { hits, below };
    if (below > 0) return { hits, below: below - 1 };
    hits.pop();
    return { hits, below };
  }

  #roomForAdmission(): number {
    const room = this.#pool.available;
    if (this.#settings.backend !== 'trtllm') return room;
    let promised = 0;
    for (const sequence of [...this.#running, ...this.#loads])
      promised += footprint(this.#settings, sequence) - sequence.slots.length;
    return room - promised;
  }

  /** Room for the tokens that a speculative pass may yield. */
  #reserveBursts(): void {
    const drafts = this.#drafts;
    if (drafts === undefined) return;
    for (const sequence of [...this.#batch.sequences]) {
      // It may have been preempted for one before it.
      if (sequence.state !== 'running' || sequence.computed < sequence.length) continue;
      const blocks = drafts.blocksFor(sequence);
      if (blocks > sequence.slots.length) this.#allocate(sequence, blocks);
    }
  }

  #emit(): void {
    let finished = 0;
    for (const sequence of this.#batch.sequences) {
      if (sequence.computed < sequence.length) continue;
      if (!this.#emission.give(sequence)) continue;
      if (!sequence.holdsAtEnd) this.#cache.release(sequence);
      finished++;
    }
    if (finished === 0) return;
    let kept = 0;
    for (const sequence of this.#running) if (sequence.state === 'running') this.#running[kept++] = sequence;
    this.#running.length = kept;
  }

  #mayAdmit(): boolean {
    if (this.#running.length >= this.#settings.maxNumSeqs) return false;
    if (this.#loads.first !== undefined) return true;
    return this.#waiting.size > 0 && this.#noRoomAt !== this.#pool.version;
  }
}
