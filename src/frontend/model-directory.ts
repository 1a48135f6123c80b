import { fail } from '../base/errors.ts';
import type { ModelConfig } from '../metrics/model-catalogue.ts';
import type { Discovery, DiscoveryChange, WorkerInstance } from '../transport/discovery.ts';
import { type PoolParts, WorkerPool } from './worker-pool.ts';

/** A name that clients may ask for. */
export interface ServedModel {
  readonly name: string;
  readonly pool: WorkerPool;
  /** Set if the name is an adapter's: it keeps prompts of its own. */
  readonly loraName: string | undefined;
  /** Seconds since the Unix epoch. */
  readonly created: number;
}

/** Told which models and workers there are. */
export interface DirectoryObserver {
  readonly workers: { add(workerId: string): void; remove(workerId: string): void };
  addModel(name: string, config: ModelConfig): void;
  removeModel(name: string): void;
}

export interface DirectoryParts extends PoolParts {
  readonly discovery: Discovery;
  readonly metrics: DirectoryObserver;
  /** Nothing is served before so many workers have joined; those that leave later do not count. */
  readonly minInitialWorkers: number;
  /** Milliseconds since the Unix epoch. */
  wallMs(): number;
}

/** Which models are served by which workers, as discovery tells. A model is served while it has a worker. */
export class ModelDirectory {
  readonly #parts: DirectoryParts;
  readonly #pools = new Map<string, WorkerPool>();
  readonly #models = new Map<string, ServedModel>();
  #unwatch: () => void = () => {};
  #enough = false;

  constructor(parts: DirectoryParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#enough = this.#parts.minInitialWorkers === 0;
    this.#unwatch = this.#parts.discovery.watch((change) => this.#changed(change));
  }

  stop(): void {
    this.#unwatch();
    for (const pool of this.#pools.values()) pool.stop();
    this.#pools.clear();
    this.#models.clear();
  }

  models(): ServedModel[] {
    return [...this.#models.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  pools(): WorkerPool[] {
    return [...this.#pools.values()];
  }

  /** Whether some model can take requests now. */
  get ready(): boolean {
    return (
      this.#enough &&
      this.pools().some((pool) => pool.encoder !== undefined && pool.router('decode') !== undefined)
    );
  }

  /** Throws `KV_MODEL_UNKNOWN` for a name that nobody serves, `KV_NO_WORKERS` while nobody serves anything. */
  find(name: string): ServedModel {
    const model = this.#models.get(name);
    if (model !== undefined && this.#enough) return model;
    if (!this.#enough && this.#models.size > 0) {
      const reason = `fewer than ${this.#parts.minInitialWorkers} workers have joined`;
      throw fail('KV_NO_WORKERS', { model: name, reason });
    }
    if (this.#models.size === 0) throw fail('KV_NO_WORKERS', { model: name, reason: 'none is ready' });
    const served = this.models().map((each) => each.name);
    throw fail('KV_MODEL_UNKNOWN', { model: name, served: served.slice(0, 20).join(', '), param: 'model' });
  }

  /** The model as it is served now: its pool is another one once the last worker of the former has gone. */
  current(model: ServedModel): ServedModel {
    return this.#models.get(model.name) ?? model;
  }

  #changed({ kind, instance }: DiscoveryChange): void {
    const base = instance.models[0];
    for (const pool of this.#pools.values())
      if (pool.knows(instance.workerId) && (kind === 'removed' || pool.model !== base))
        this.#leave(pool, instance);
    if (kind !== 'removed' && base !== undefined) this.#join(base, instance);
    this.#dropEmpty();
    this.#rename();
    const workers = this.pools().reduce((sum, each) => sum + each.size, 0);
    this.#enough ||= workers >= this.#parts.minInitialWorkers;
  }

  #join(base: string, instance: WorkerInstance): void {
    this.#parts.metrics.workers.add(instance.workerId);
    let pool = this.#pools.get(base);
    if (pool === undefined) {
      pool = new WorkerPool(base, instance, this.#parts);
      this.#pools.set(base, pool);
    }
    pool.put(instance);
  }

  /** Drops pools without workers; those that did not fit in with the last ones make a pool of their own. */
  #dropEmpty(): void {
    for (const [base, pool] of this.#pools) {
      if (pool.size > 0) continue;
      pool.stop();
      this.#pools.delete(base);
      for (const { instance } of pool.refused) this.#join(base, instance);
    }
  }

  #leave(pool: WorkerPool, { workerId }: WorkerInstance): void {
    pool.remove(workerId);
    this.#parts.metrics.workers.remove(workerId);
  }

  /** Brings the table of names, and the models' series, in line with the pools. */
  #rename(): void {
    const { metrics } = this.#parts;
    const names = new Map<string, Omit<ServedModel, 'created'>>();
    for (const pool of this.#pools.values()) {
      for (const { models, loras } of pool.instances()) {
        for (const name of models) names.set(name, { name, pool, loraName: undefined });
        for (const name of loras) if (!names.has(name)) names.set(name, { name, pool, loraName: name });
      }
    }
    for (const name of this.#models.keys()) {
      if (names.has(name)) continue;
      this.#models.delete(name);
      metrics.removeModel(name);
    }
    const created = Math.floor(this.#parts.wallMs() / 1000);
    for (const [name, model] of names) {
      this.#models.set(name, { ...model, created: this.#models.get(name)?.created ?? created });
      metrics.addModel(name, model.pool.config);
    }
  }
}
