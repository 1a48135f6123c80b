import { type CancelTimer, type Clock, sleepUntil } from '../../base/clock.ts';
import { toError } from '../../base/errors.ts';
import { rejectOwner } from './event-filter.ts';
import type { EventSource, SequencedBatch, Snapshot } from './event-source.ts';
import { fetchPast, type Past, reaches } from './fetch-past.ts';
import { QuietWatch } from './quiet-watch.ts';
import { RecentTimes } from './recent-times.ts';

/** How far the index can be trusted to show what a rank holds. */
export type StreamState =
  /** Every batch was applied since the engine started, since a clear, or since a snapshot. */
  | 'exact'
  /** The past is being fetched, or nothing was heard yet; live batches wait. */
  | 'recovering'
  /** Batches were missed: blocks may be missing in the index, or gone from the engine. */
  | 'degraded'
  /** The rank publishes nothing: its cache is guessed from what was routed to it. */
  | 'approximate';

export interface EventStreamOptions {
  readonly clock: Clock;
  readonly source: EventSource;
  readonly apply: (batch: SequencedBatch) => void;
  /** Replaces everything the rank holds. */
  readonly load: (snapshot: Snapshot) => void;
  readonly clear: () => void;
  readonly onState?: ((state: StreamState, reason: string) => void) | undefined;
  /** Batches were lost for good. */
  readonly onMissed?: ((count: number) => void) | undefined;
  /** A publisher that was quiet so long is asked whether it is; never unless given. Needs `source.replay`. */
  readonly quietMs?: number | undefined;
}

/** `repair` wants all as well, of a stream that goes on without it. */
type Wanted = 'all' | 'missing' | 'repair';

const MAX_BUFFERED = 1024;
const ATTEMPTS = 8;
const BACK_OFF_MS = 200;
const REPAIR_AFTER_MS = 30_000;

/**
 * The order of one publisher's batches. Applies them without gaps; fetches what is missing, or a snapshot; sees a
 * restarted engine by numbers that go back, and starts anew. Nothing else in Kvasir judges how trustworthy a rank is.
 */
export class EventStream {
  readonly #options: EventStreamOptions;
  readonly #canRecover: boolean;
  /** Number of the last batch applied; -1 before the first of an engine's life. */
  #last = -1;
  #lastTimestampS = 0;
  readonly #times = new RecentTimes();
  /** Nothing was lost since the engine started, since a clear, or since a snapshot. */
  #whole = true;
  #flaw = '';
  /** A batch or a snapshot has come. */
  #heard = false;
  #missed = 0;
  #lastLiveMs: number | undefined;
  /** Live batches that wait for the past, oldest first. */
  #buffer: SequencedBatch[] = [];
  #recovery: AbortController | undefined;
  #cancelRepair: CancelTimer | undefined;
  #told = '';
  readonly #quiet: QuietWatch | undefined;

  constructor(options: EventStreamOptions) {
    this.#options = options;
    const { replay, snapshot } = options.source;
    this.#canRecover = replay !== undefined || snapshot !== undefined;
    const { clock, quietMs } = options;
    if (quietMs !== undefined && replay !== undefined)
      this.#quiet = new QuietWatch(clock, quietMs, (signal) => this.#askIfQuiet(signal));
  }

  get state(): StreamState {
    if (this.#recovery !== undefined || !this.#heard) return 'recovering';
    return this.#whole ? 'exact' : 'degraded';
  }

  /** Why the state is what it is. */
  get reason(): string {
    if (this.#recovery !== undefined) return 'fetching what was missed';
    if (!this.#heard) return this.#flaw || 'no event yet';
    return this.#whole ? 'no event was missed' : this.#flaw;
  }

  get lastSeq(): number {
    return this.#last;
  }

  /** Batches lost for good. */
  get missed(): number {
    return this.#missed;
  }

  /** Time since the last live batch; undefined before the first. */
  get ageMs(): number | undefined {
    return this.#lastLiveMs === undefined ? undefined : this.#options.clock.nowMs() - this.#lastLiveMs;
  }

  /** Fetches the past; call it once live batches can come. */
  start(): void {
    if (this.#canRecover) this.#recover('all');
    this.#quiet?.start();
  }

  /** The publisher was reached again: asks for what it published meanwhile. */
  reconnected(): void {
    if (!this.#canRecover || this.#recovery !== undefined) return;
    const all = this.#last < 0 || this.#options.source.snapshot !== undefined;
    this.#recover(all ? 'all' : 'missing');
  }

  /** Takes a live batch. */
  deliver(batch: SequencedBatch): void {
    this.#lastLiveMs = this.#options.clock.nowMs();
    this.#quiet?.heard();
    if (this.#isNewEpoch(batch)) this.#startAnew(batch);
    else if (batch.seq <= this.#last) return;
    else if (this.#recovery !== undefined) this.#hold(batch);
    else if (batch.seq === this.#last + 1 || hasClear(batch) || !this.#canRecover) this.#takeOrSkip(batch);
    else this.#recover('missing', batch);
    this.#tell();
  }

  /** Ends recovery and timers; nothing is applied any more. */
  stop(): void {
    this.#recovery?.abort();
    this.#recovery = undefined;
    this.#cancelRepair?.();
    this.#quiet?.stop();
    this.#buffer = [];
  }

  /** Looks whether the publisher has batches that never came, or has restarted without a sound. */
  async #askIfQuiet(signal: AbortSignal): Promise<void> {
    if (this.#recovery !== undefined) return;
    const { clock, source } = this.#options;
    const last = this.#last;
    const past = await fetchPast({
      clock,
      source: { replay: source.replay! },
      fromSeq: last + 1,
      oldestLive: () => undefined,
      signal,
    });
    if (signal.aborted || past.kind === 'snapshot') return;
    if (this.#last !== last || this.#recovery !== undefined) return;
    if (past.batches.some(({ seq }) => seq > last) || this.#showsRestart(past)) this.#recover('missing');
  }

  /**
   * A number that was seen before, but published at another time: the engine counts anew. A number of long ago must be
   * later than all that is known, or the very first, since clocks may be set back while an engine restarts.
   */
  #isNewEpoch(batch: SequencedBatch): boolean {
    const newest = this.#buffer.at(-1);
    if (batch.seq > (newest?.seq ?? this.#last)) return false;
    const known = (newest && timestampOf(newest)) ?? this.#lastTimestampS;
    const told = timestampOf(batch);
    if (told === undefined) return batch.seq === 0 && this.#last > 0;
    const before = this.#times.of(batch.seq);
    if (before !== undefined) return before !== told;
    return told > known || (batch.seq === 0 && this.#canRecover && told !== known);
  }

  #startAnew(batch: SequencedBatch): void {
    this.#stopRecovery();
    this.#buffer = [];
    this.#options.clear();
    this.#times.clear();
    this.#last = -1;
    this.#whole = true;
    if (batch.seq === 0 || !this.#canRecover) this.#takeOrSkip(batch);
    else this.#recover('all', batch);
  }

  /** Applies a batch that is next, or else counts what lies before it as lost. */
  #takeOrSkip(batch: SequencedBatch): void {
    const lost = batch.seq - this.#last - 1;
    if (hasClear(batch)) this.#whole = true;
    else if (lost > 0) {
      this.#whole = false;
      this.#flaw = this.#last >= 0 ? 'events were lost' : 'what came before the first event seen is unknown';
      this.#missed += lost;
      this.#options.onMissed?.(lost);
    }
    // What was not seen before a clear cannot be told from what the clear removes.
    if (hasClear(batch) && lost > 0) this.#options.clear();
    this.#options.apply(batch);
    this.#heard = true;
    this.#last = batch.seq;
    const timestampS = timestampOf(batch);
    if (timestampS === undefined) return;
    this.#lastTimestampS = timestampS;
    this.#times.set(batch.seq, timestampS);
  }

  /** Keeps a live batch until the past is known. A clear needs no past. */
  #hold(batch: SequencedBatch): void {
    if (hasClear(batch)) {
      this.#stopRecovery();
      this.#buffer = [];
      this.#takeOrSkip(batch);
      return;
    }
    this.#buffer.push(batch);
    if (this.#buffer.length > MAX_BUFFERED) this.#buffer.shift();
  }

  #recover(what: Wanted, live?: SequencedBatch): void {
    this.#stopRecovery();
    const controller = new AbortController();
    this.#recovery = controller;
    if (live !== undefined) this.#buffer.push(live);
    this.#tell();
    void this.#fetchUntilWhole(what, controller.signal);
  }

  async #fetchUntilWhole(wanted: Wanted, signal: AbortSignal): Promise<void> {
    const { clock, source } = this.#options;
    // A repair that fails is tried again later; meanwhile live batches must not wait.
    const attempts = wanted === 'repair' ? 1 : ATTEMPTS;
    let what = wanted;
    let reason = '';
    for (let attempt = 0; attempt < attempts; attempt++) {
      const fromSeq = what === 'missing' ? this.#last + 1 : 0;
      const newestLive = this.#buffer.at(-1)?.seq ?? -1;
      const oldestLive = (): number | undefined => this.#buffer[0]?.seq;
      try {
        const past = await fetchPast({ clock, source, fromSeq, oldestLive, signal });
        if (signal.aborted) return;
        if (this.#showsRestart(past)) {
          this.#forget();
          what = 'all';
          reason = 'the engine restarted';
          continue;
        }
        reason = this.#absorb(past, fromSeq, newestLive);
        if (reason === '') return this.#endRecovery();
        // What came is kept: only the rest is asked for again.
        what = 'missing';
      } catch (thrown) {
        if (signal.aborted) return;
        reason = toError(thrown).message;
      }
      await sleepUntil(clock, clock.nowMs() + BACK_OFF_MS * 2 ** attempt, signal).catch(() => {});
      if (signal.aborted) return;
    }
    this.#giveUp(reason);
  }

  /**
   * Applies the past and the live batches that waited for it. Empty when all is done; else why to ask again.
   * A hole that the publisher itself left is final; one before a batch it sent after it was asked is not.
   */
  #absorb(past: Past, fromSeq: number, newestLiveAtRequest: number): string {
    const waiting = this.#buffer.sort((a, b) => a.seq - b.seq);
    this.#buffer = [];
    let told: readonly SequencedBatch[] = [];
    if (past.kind === 'snapshot') this.#load(past.snapshot);
    else {
      told = past.batches;
      const oldestLive = (): number | undefined => waiting[0]?.seq;
      if (fromSeq === 0 && this.#last >= 0 && reaches(told, { fromSeq, oldestLive })) this.#forget();
      this.#heard ||= past.ended;
    }
    for (const batch of told) if (batch.seq > this.#last) this.#takeOrSkip(batch);
    const ended = past.kind === 'snapshot' || past.ended;
    for (const [i, batch] of waiting.entries()) {
      if (batch.seq <= this.#last) continue;
      const isFinal = ended && past.kind === 'replay' && batch.seq <= newestLiveAtRequest;
      if (batch.seq > this.#last + 1 && !isFinal) {
        this.#buffer = waiting.slice(i);
        return 'more was missed meanwhile';
      }
      this.#takeOrSkip(batch);
    }
    return ended ? '' : 'the replay broke off';
  }

  /** The batch that was applied last has another time now, or the publisher, having no newer one, lacks it too. */
  #showsRestart(past: Past): boolean {
    if (past.kind === 'snapshot' || this.#last < 0) return false;
    const again = past.batches.find(({ seq }) => seq === this.#last);
    const newer = past.batches.some(({ seq }) => seq > this.#last) || this.#buffer.length > 0;
    if (again === undefined) return past.ended && !newer;
    const told = timestampOf(again);
    return told !== undefined && this.#lastTimestampS > 0 && told !== this.#lastTimestampS;
  }

  #load(snapshot: Snapshot): void {
    this.#options.load(snapshot);
    this.#last = snapshot.lastSeq;
    this.#whole = true;
    this.#heard = true;
  }

  /** All is about to be told again. */
  #forget(): void {
    this.#options.clear();
    this.#times.clear();
    this.#last = -1;
    this.#whole = true;
  }

  #endRecovery(): void {
    this.#recovery = undefined;
    this.#tell();
  }

  /** Goes on with what is there. Batches that follow each other from the engine's start need no past. */
  #giveUp(reason: string): void {
    const waiting = this.#buffer.sort((a, b) => a.seq - b.seq);
    this.#buffer = [];
    this.#recovery = undefined;
    for (const batch of waiting) if (batch.seq > this.#last) this.#takeOrSkip(batch);
    if (!this.#whole || !this.#heard) {
      const { clock } = this.#options;
      this.#flaw = `events could not be fetched: ${reason}`;
      this.#cancelRepair = clock.at(clock.nowMs() + REPAIR_AFTER_MS, () => this.#recover('repair'));
    }
    this.#tell();
  }

  #stopRecovery(): void {
    this.#recovery?.abort();
    this.#recovery = undefined;
    this.#cancelRepair?.();
  }

  #tell(): void {
    const { state, reason } = this;
    if (this.#told === `${state} ${reason}`) return;
    this.#told = `${state} ${reason}`;
    this.#options.onState?.(state, reason);
  }
}

function timestampOf(batch: SequencedBatch): number | undefined {
  return 'batch' in batch && batch.batch.timestampS > 0 ? batch.batch.timestampS : undefined;
}

function hasClear(batch: SequencedBatch): boolean {
  if (!('batch' in batch)) return batch.events.some(({ kind }) => kind === 'cleared');
  return batch.batch.events.some(
    (event) => event.kind === 'cleared' && rejectOwner(event.ownership) === undefined,
  );
}
