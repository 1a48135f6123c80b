import { type Clock, sleepUntil } from '../base/clock.ts';
import { toError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { describeEngine } from './describe-engine.ts';
import type { Discovery, DiscoveryListener, WorkerInstance } from './discovery.ts';
import { MemoryDiscovery } from './discovery-memory.ts';
import type { EngineSpec } from './engine-spec.ts';
import type { HttpClient } from './http-client.ts';

export interface StaticDiscoveryOptions {
  readonly engines: readonly EngineSpec[];
  readonly client: HttpClient;
  readonly clock: Clock;
  readonly log: Log;
  /** Numbers an engine by its normalised URL. */
  readonly workerIdOf: (url: string) => string;
  /** Between looks at a ready engine; 2 s unless given. */
  readonly probeIntervalMs?: number;
  /** A look that takes longer counts as failed; 5 s unless given. */
  readonly probeTimeoutMs?: number;
}

/** Failed looks in a row after which an engine in use is given up: one may just mean that it is very busy. */
const FAILURES_TO_REMOVE = 2;
const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 5000;

/** A fixed list of engines: each is added once it answers, removed when it stops to, and added again. */
export class StaticDiscovery implements Discovery {
  readonly #options: StaticDiscoveryOptions;
  readonly #ready = new MemoryDiscovery();
  readonly #stop = new AbortController();
  readonly #probes: ReadonlyMap<string, Probe>;
  #running: readonly Promise<void>[] | undefined;

  constructor(options: StaticDiscoveryOptions) {
    this.#options = options;
    this.#probes = new Map(
      options.engines.map((spec) => [options.workerIdOf(spec.url), { spec, wake: () => {} }]),
    );
  }

  /** Starts looking; returns at once. */
  start(): void {
    this.#running ??= [...this.#probes].map(([workerId, probe]) => this.#watchOver(workerId, probe));
  }

  watch(listener: DiscoveryListener): () => void {
    return this.#ready.watch(listener);
  }

  suspect(workerId: string): void {
    this.#probes.get(workerId)?.wake();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    for (const probe of this.#probes.values()) probe.wake();
    await Promise.all(this.#running ?? []);
    await this.#ready.stop();
  }

  async #watchOver(workerId: string, probe: Probe): Promise<void> {
    const { log, probeIntervalMs = 2000 } = this.#options;
    let failures = 0;
    let known: WorkerInstance | undefined;
    while (!this.#stop.signal.aborted) {
      try {
        const instance = await this.#look(workerId, probe.spec, known);
        failures = 0;
        if (known === undefined) log.info({ url: instance.url, models: instance.models }, 'engine is ready');
        this.#ready.put(instance);
        known = instance;
      } catch (thrown) {
        if (this.#stop.signal.aborted) return;
        failures++;
        if (failures === 1)
          log.warn({ url: probe.spec.url, reason: toError(thrown).message }, 'engine does not answer');
        if (known !== undefined && failures >= FAILURES_TO_REMOVE) {
          log.warn({ url: probe.spec.url }, 'engine is gone');
          this.#ready.remove(workerId);
          known = undefined;
        }
      }
      const backOff = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (failures - 1));
      await this.#pause(failures === 0 ? probeIntervalMs : backOff, probe);
    }
  }

  #look(workerId: string, spec: EngineSpec, known: WorkerInstance | undefined): Promise<WorkerInstance> {
    const { client, probeTimeoutMs: timeoutMs = 5000 } = this.#options;
    return describeEngine(client, spec, workerId, { timeoutMs, signal: this.#stop.signal }, known);
  }

  /** Waits, unless woken. */
  #pause(ms: number, probe: Probe): Promise<void> {
    const { clock } = this.#options;
    const wait = new AbortController();
    probe.wake = () => wait.abort();
    if (this.#stop.signal.aborted) wait.abort();
    return sleepUntil(clock, clock.nowMs() + ms, wait.signal).catch(() => {});
  }
}

interface Probe {
  readonly spec: EngineSpec;
  wake: () => void;
}
