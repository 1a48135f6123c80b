import type { Discovery, DiscoveryListener } from './discovery.ts';
import { MemoryDiscovery } from './discovery-memory.ts';
import { EngineProbe, type EngineProbeOptions } from './engine-probe.ts';
import type { EngineSpec } from './engine-spec.ts';

export interface StaticDiscoveryOptions extends EngineProbeOptions {
  readonly engines: readonly EngineSpec[];
  /** Numbers an engine by its normalised URL. */
  readonly workerIdOf: (url: string) => string;
}

/** A fixed list of engines: each is added once it answers, removed when it stops to, and added again. */
export class StaticDiscovery implements Discovery {
  readonly #options: StaticDiscoveryOptions;
  readonly #ready = new MemoryDiscovery();
  readonly #probes = new Map<string, EngineProbe>();

  constructor(options: StaticDiscoveryOptions) {
    this.#options = options;
  }

  /** Starts looking; returns at once. */
  start(): void {
    const { engines, workerIdOf } = this.#options;
    const ready = this.#ready;
    for (const spec of engines) {
      const workerId = workerIdOf(spec.url);
      if (this.#probes.has(workerId)) continue;
      const listener = {
        ready: ready.put.bind(ready),
        gone: ready.remove.bind(ready),
      };
      this.#probes.set(workerId, new EngineProbe(spec, workerId, this.#options, listener));
    }
  }

  watch(listener: DiscoveryListener): () => void {
    return this.#ready.watch(listener);
  }

  suspect(workerId: string): void {
    this.#probes.get(workerId)?.wake();
  }

  hurry(): void {
    for (const probe of this.#probes.values()) probe.wake();
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#probes.values()].map((probe) => probe.stop()));
    await this.#ready.stop();
  }
}
