import { type Clock, sleepUntil } from '../base/clock.ts';
import { toError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { describeEngine } from './describe-engine.ts';
import type { WorkerInstance } from './discovery.ts';
import type { EngineSpec } from './engine-spec.ts';
import type { HttpClient } from './http-client.ts';

export interface EngineProbeOptions {
  readonly client: HttpClient;
  readonly clock: Clock;
  readonly log: Log;
  /** Between looks at a ready engine; 2 s unless given. */
  readonly probeIntervalMs?: number | undefined;
  /** A look that takes longer counts as failed; 5 s unless given. */
  readonly probeTimeoutMs?: number | undefined;
}

export interface EngineProbeListener {
  /** The engine answers; called at every look, with the facts found. */
  ready(instance: WorkerInstance): void;
  /** It was ready and no longer answers. */
  gone(workerId: string): void;
}

/** Failed looks in a row after which an engine in use is given up: one may just mean that it is very busy. */
const FAILURES_TO_REMOVE = 2;
const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 5000;

/** Looks at one engine again and again, until stopped: whether it answers, and what it tells of itself. */
export class EngineProbe {
  readonly spec: EngineSpec;
  readonly workerId: string;
  readonly #options: EngineProbeOptions;
  readonly #listener: EngineProbeListener;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #wake: () => void = () => {};

  constructor(
    spec: EngineSpec,
    workerId: string,
    options: EngineProbeOptions,
    listener: EngineProbeListener,
  ) {
    this.spec = spec;
    this.workerId = workerId;
    this.#options = options;
    this.#listener = listener;
    this.#running = this.#run();
  }

  /** Looks now instead of at the next turn. */
  wake(): void {
    this.#wake();
  }

  /** The listener hears no more. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#wake();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { log, probeIntervalMs = 2000 } = this.#options;
    const { url } = this.spec;
    let failures = 0;
    let known: WorkerInstance | undefined;
    while (!this.#stop.signal.aborted) {
      try {
        const instance = await this.#look(known);
        if (this.#stop.signal.aborted) return;
        failures = 0;
        if (known === undefined) log.info({ url, models: instance.models }, 'engine is ready');
        this.#listener.ready(instance);
        known = instance;
      } catch (thrown) {
        if (this.#stop.signal.aborted) return;
        failures++;
        if (failures === 1) log.warn({ url, reason: toError(thrown).message }, 'engine does not answer');
        if (known !== undefined && failures >= FAILURES_TO_REMOVE) {
          log.warn({ url }, 'engine is gone');
          this.#listener.gone(this.workerId);
          known = undefined;
        }
      }
      const backOff = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (failures - 1));
      await this.#pause(failures === 0 ? probeIntervalMs : backOff);
    }
  }

  #look(known: WorkerInstance | undefined): Promise<WorkerInstance> {
    const { client, probeTimeoutMs: timeoutMs = 5000 } = this.#options;
    return describeEngine(client, this.spec, this.workerId, { timeoutMs, signal: this.#stop.signal }, known);
  }

  /** Waits, unless woken. */
  #pause(ms: number): Promise<void> {
    const { clock } = this.#options;
    const wait = new AbortController();
    this.#wake = () => wait.abort();
    if (this.#stop.signal.aborted) wait.abort();
    return sleepUntil(clock, clock.nowMs() + ms, wait.signal).catch(() => {});
  }
}
