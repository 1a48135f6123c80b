import type { VirtualClock } from '../base/clock.ts';
import { fail } from '../base/errors.ts';
import { drawnTokens, idRange } from '../engine/answer-tokens.ts';
import type { EngineSettings } from '../engine/engine-settings.ts';
import { EngineWorker } from '../engine/engine-worker.ts';
import type { BlockHasher } from '../kv/hash.ts';
import { Arrivals, type LoadOptions } from './arrivals.ts';
import type { Placement } from './placement.ts';
import { newRecord, type RequestRecord } from './record.ts';
import { Recorder } from './recorder.ts';
import { VirtualTime } from './virtual-time.ts';
import type { WorkerPool } from './worker-pool.ts';
import type { Workload } from './workload.ts';

export interface FleetOptions {
  readonly workload: Workload;
  readonly load: LoadOptions;
  readonly hasher: BlockHasher;
  /** Moved along with the replay, for a placement that reads time. */
  readonly clock?: VirtualClock | undefined;
  /** Ends the replay early, requests under way unfinished; ms of virtual time. */
  readonly maxSimTimeMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called now and then. */
  readonly onProgress?: ((ended: number, nowNs: number) => void) | undefined;
}

const PROGRESS_EVERY = 64;
const VOCABULARY = 32_768;
/** Instants between two looks at what else the process has to do: some milliseconds. */
const INSTANTS_PER_BREATH = 4096;

/**
 * What all kinds of fleets share: arrivals, time and the end of requests. At one instant: passes and transfers end,
 * requests arrive, idle workers start, until nothing changes; an arrival at the very end of a pass joins the next.
 */
export class Fleet {
  readonly recorder = new Recorder();
  readonly time: VirtualTime;
  readonly #options: FleetOptions;
  readonly #arrivals: Arrivals;
  #ended = 0;

  constructor(options: FleetOptions) {
    this.#options = options;
    this.time = new VirtualTime(options.clock);
    this.#arrivals = new Arrivals(options.workload, options.load);
  }

  /** The engines of one pool; `speeds` divides the durations of each, as it comes. */
  engines(count: number, settings: EngineSettings, speeds: readonly number[] = []): readonly EngineWorker[] {
    const answer = drawnTokens(settings.seed, idRange(0, VOCABULARY));
    const { hasher } = this.#options;
    return Array.from({ length: count }, (_, stream) => {
      // A ratio of 0 stands for 1.
      const speedupRatio = (settings.speedupRatio || 1) * (speeds[stream] ?? 1);
      const own = speeds.length === 0 ? settings : { ...settings, speedupRatio };
      return new EngineWorker({ settings: own, hasher, answer, stream, snapshots: false });
    });
  }

  get nextArrivalNs(): number {
    return this.#arrivals.nextNs;
  }

  /** Until when a worker may run ahead of the others without missing a request. */
  horizonNs(placement: Placement, othersDue: boolean): number {
    if (!this.#arrivals.dependOnEnds && !placement.mayQueue) return this.#arrivals.nextNs;
    return othersDue ? this.time.nowNs : Math.min(this.#arrivals.nextNs, this.time.nextNs);
  }

  /** A request ended, in whatever way. */
  ended({ request }: RequestRecord): void {
    this.#arrivals.ended(request, this.time.nowNs);
    this.#ended++;
    if (this.#ended % PROGRESS_EVERY === 0) this.#options.onProgress?.(this.#ended, this.time.nowNs);
  }

  /** The router would not take it. */
  refused(record: RequestRecord): void {
    record.status = 'failed';
    record.terminalNs = this.time.nowNs;
    this.ended(record);
  }

  /** Runs to the end of the workload, or to the time limit. */
  async run(
    pools: readonly WorkerPool[],
    placements: readonly Placement[],
    arrive: (record: RequestRecord) => void,
    disaggregated: boolean,
  ): Promise<void> {
    const limitNs = (this.#options.maxSimTimeMs ?? Number.POSITIVE_INFINITY) * 1e6;
    const queueing = placements.filter(({ mayQueue }) => mayQueue);
    const settle = (): boolean => {
      let changed = this.time.runDue();
      for (
        let due = this.#arrivals.take(this.time.nowNs);
        due !== undefined;
        due = this.#arrivals.take(this.time.nowNs)
      ) {
        const record = newRecord(due.request, due.atNs, disaggregated);
        this.recorder.records.push(record);
        arrive(record);
        changed = true;
      }
      for (const pool of pools) if (pool.drive()) changed = true;
      return changed;
    };
    for (let instants = 1; ; instants++) {
      const next = Math.min(this.#arrivals.nextNs, this.time.nextNs);
      if (!Number.isFinite(next) || next > limitNs) break;
      this.time.moveTo(next);
      while (settle()) for (const placement of queueing) await placement.settled();
      if (instants % INSTANTS_PER_BREATH === 0) await this.#breathe();
    }
    this.#options.onProgress?.(this.#ended, this.time.nowNs);
    const left = this.#options.workload.requests.length - this.#ended;
    if (left > 0 && !Number.isFinite(limitNs))
      throw fail('KV_INTERNAL', { reason: `the replay came to a halt with ${left} requests left` });
  }

  /** Lets signals and timers in. */
  async #breathe(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.#options.signal?.throwIfAborted();
  }
}
