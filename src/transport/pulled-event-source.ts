import { BIG_JSON } from '../base/big-json.ts';
import { type Clock, sleepUntil } from '../base/clock.ts';
import { fail, toError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { EventEncoder } from '../formats/kv-events/event-encoder.ts';
import { PulledEventReader, type PulledEvents } from '../formats/kv-events/pulled-events.ts';
import type { WorkerInstance } from './discovery.ts';
import type { EventSource, EventSourceListener, PublishedBatch, ReplayOutcome } from './event-source.ts';
import type { HttpClient } from './http-client.ts';

/** In place of an address: the engine hands its events to whoever asks it. */
export const PULLED_EVENTS = 'pull';

export interface PulledEventOptions {
  readonly client: HttpClient;
  readonly clock: Clock;
  readonly log: Log;
}

const SHORTEST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 250;
const FAILURE_PAUSE_MS = 2000;
const PAUSE_FACTOR = 1.5;
const TIMEOUT_MS = 10_000;
/** Batches of a rank that a router which lags can still have. */
const MAX_KEPT = 64;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/** One source for each rank of a TensorRT-LLM server; they share the asking, as each event is handed out once. */
export function pulledEventSources(instance: WorkerInstance, options: PulledEventOptions): EventSource[] {
  const puller = new EventPuller(instance, options);
  return Array.from({ length: instance.dpSize }, (_, dpRank) => ({
    dpRank,
    start: (listener) => puller.join(dpRank, listener),
    replay: async (fromSeq, onBatch) => puller.replay(dpRank, fromSeq, onBatch),
    snapshot: () => Promise.resolve(undefined),
    stop: () => puller.leave(dpRank),
  }));
}

/** Asks one server for its events again and again while anybody listens. */
class EventPuller {
  readonly #url: string;
  readonly #options: PulledEventOptions;
  readonly #reader: PulledEventReader;
  readonly #encoder = new EventEncoder('kvasir');
  readonly #listeners = new Map<number, EventSourceListener>();
  /** Next number of each rank's batches. */
  readonly #next = new Map<number, number>();
  /** Latest batches of each rank. */
  readonly #kept = new Map<number, PublishedBatch[]>();
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;

  constructor({ url, blockSize }: WorkerInstance, options: PulledEventOptions) {
    this.#url = `${url}/kv_cache_events`;
    this.#options = options;
    this.#reader = new PulledEventReader(blockSize);
  }

  async join(dpRank: number, listener: EventSourceListener): Promise<void> {
    this.#listeners.set(dpRank, listener);
    listener.connected?.();
    // Later, so that all ranks and their routers are there for the first events.
    this.#running ??= new Promise((resolve) => setImmediate(() => resolve(this.#run())));
  }

  async leave(dpRank: number): Promise<void> {
    this.#listeners.delete(dpRank);
    if (this.#listeners.size > 0) return;
    this.#stop.abort();
    await this.#running;
  }

  /** What is kept is all that can be had: a number that is missing in it is lost for good. */
  replay(dpRank: number, fromSeq: number, onBatch: (batch: PublishedBatch) => void): ReplayOutcome {
    const wanted = (this.#kept.get(dpRank) ?? []).filter(({ seq }) => seq >= fromSeq);
    for (const batch of wanted) onBatch(batch);
    return { end: 'complete', batches: wanted.length };
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#options;
    const { signal } = this.#stop;
    let pauseMs = SHORTEST_PAUSE_MS;
    let failing = false;
    while (!signal.aborted) {
      try {
        const pulled = this.#reader.read(await this.#pull(signal));
        for (const batch of pulled) this.#deliver(batch);
        pauseMs = pulled.length > 0 ? SHORTEST_PAUSE_MS : Math.min(LONGEST_PAUSE_MS, pauseMs * PAUSE_FACTOR);
        failing = false;
      } catch (thrown) {
        if (signal.aborted) return;
        if (!failing)
          log.warn({ url: this.#url, reason: toError(thrown).message }, 'KV events cannot be pulled');
        failing = true;
        pauseMs = FAILURE_PAUSE_MS;
      }
      await sleepUntil(clock, clock.nowMs() + pauseMs, signal).catch(() => {});
    }
  }

  async #pull(signal: AbortSignal): Promise<unknown> {
    const { client } = this.#options;
    const request = { method: 'POST', timeoutMs: TIMEOUT_MS, maxBytes: MAX_ANSWER_BYTES, signal } as const;
    const { status, text } = await client.text(this.#url, request);
    if (status !== 200)
      throw fail('KV_ENGINE_UNREACHABLE', { url: this.#url, reason: `it answered ${status}` });
    // Hashes have 64 bits.
    return BIG_JSON.parse(text);
  }

  #deliver({ dpRank, events, after }: PulledEvents): void {
    // A number that is left out tells the listener of a loss, one that begins anew of a restart.
    const next = after === 'restart' ? 0 : (this.#next.get(dpRank) ?? 0) + (after === 'loss' ? 1 : 0);
    this.#next.set(dpRank, next + 1);
    const timestampS = this.#options.clock.wallMs() / 1000;
    const payload = this.#encoder.encode({ timestampS, dpRank, events });
    const batch = { topic: '', seq: next, payload };
    const kept = after === 'restart' ? [] : (this.#kept.get(dpRank) ?? []);
    kept.push(batch);
    if (kept.length > MAX_KEPT) kept.shift();
    this.#kept.set(dpRank, kept);
    this.#listeners.get(dpRank)?.batch(batch);
  }
}
