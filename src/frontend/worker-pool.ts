import { fail, toError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { PromptNamespace } from '../kv/hash.ts';
import type { KvRouter } from '../kv/kv-router.ts';
import type { RouteRequest } from '../kv/route-request.ts';
import type { ModelConfig } from '../metrics/model-catalogue.ts';
import type { WorkerInstance } from '../transport/discovery.ts';
import type { CircuitBreakers } from './circuit-breakers.ts';
import type { PromptEncoder } from './prompt.ts';

/** Which hop of a request a router places: the only one, or one of two where prefill has workers of its own. */
export type Hop = 'prefill' | 'decode';

/** What a pool gets from the program around it. */
export interface PoolParts {
  readonly log: Log;
  makeRouter(pool: WorkerPool, hop: Hop): KvRouter;
  makeCircuits(): CircuitBreakers;
  /** Asks elsewhere what the pool's workers hold of a prompt; undefined where the routers have indexes of their own. */
  readonly askHeld?:
    | ((pool: WorkerPool, prompt: AskedPrompt) => Promise<RouteRequest['heldByRank']>)
    | undefined;
  /** Feeds an instance's KV events to the router's index; returns what ends it. */
  feedEvents(instance: WorkerInstance, router: KvRouter): () => void;
  /** The tokenizer that the instance names, or what stands in for it. */
  encoderFor(instance: WorkerInstance, workers: () => readonly WorkerInstance[]): Promise<PromptEncoder>;
  /** KV block size of engines that do not tell theirs. */
  readonly defaultBlockSize: number;
}

export interface AskedPrompt {
  readonly tokens: Uint32Array;
  readonly namespace: PromptNamespace;
}

/** A worker that answers, but cannot serve here. */
export interface RefusedWorker {
  readonly instance: WorkerInstance;
  readonly reason: string;
}

interface Member {
  readonly instance: WorkerInstance;
  readonly router: KvRouter;
  readonly stopFeeding: () => void;
}

/** The workers of one base model, with the routers that choose among them. Owns routers and event feeds. */
export class WorkerPool {
  readonly model: string;
  readonly blockSize: number;
  /** Which of its workers fail so often that they are left out. */
  readonly circuits: CircuitBreakers;
  readonly #parts: PoolParts;
  readonly #members = new Map<string, Member>();
  readonly #refused = new Map<string, RefusedWorker>();
  readonly #routers = new Map<Hop, KvRouter>();
  readonly #onRemoved = new Map<string, Set<() => void>>();
  #encoder: PromptEncoder | undefined;
  #config: ModelConfig = {};
  #loading: Promise<void> | undefined;

  constructor(model: string, first: WorkerInstance, parts: PoolParts) {
    this.model = model;
    this.blockSize = first.blockSize ?? parts.defaultBlockSize;
    this.circuits = parts.makeCircuits();
    this.#parts = parts;
  }

  get size(): number {
    return this.#members.size;
  }

  /** Undefined while the tokenizer loads. */
  get encoder(): PromptEncoder | undefined {
    return this.#encoder;
  }

  /** Resolves when that is over, for better or worse. */
  get loading(): Promise<void> {
    return this.#loading ?? Promise.resolve();
  }

  get routers(): ReadonlyMap<Hop, KvRouter> {
    return this.#routers;
  }

  /** Set where what workers hold is asked elsewhere. */
  get askHeld(): ((prompt: AskedPrompt) => Promise<RouteRequest['heldByRank']>) | undefined {
    const { askHeld } = this.#parts;
    return askHeld && ((prompt) => askHeld(this, prompt));
  }

  instances(): WorkerInstance[] {
    return [...this.#members.values()].map(({ instance }) => instance);
  }

  /** Whether the worker serves here, or was refused. */
  knows(workerId: string): boolean {
    return this.#members.has(workerId) || this.#refused.has(workerId);
  }

  /** Workers that answer but cannot serve here, and why. */
  get refused(): readonly RefusedWorker[] {
    return [...this.#refused.values()];
  }

  instance(workerId: string): WorkerInstance | undefined {
    return this.#members.get(workerId)?.instance;
  }

  /** The router of a hop while it has workers. Workers for both hops are the decode router's. */
  router(hop: Hop): KvRouter | undefined {
    const router = this.#routers.get(hop);
    return router !== undefined && router.fleet.size > 0 ? router : undefined;
  }

  /** The shortest of its workers', so that any of them can take what is let through. */
  get contextLength(): number | undefined {
    return this.#config.contextLength;
  }

  /** What each of its workers can do at least. */
  get config(): ModelConfig {
    return this.#config;
  }

  /** Adds a worker or takes in its new facts; false if it cannot serve in this pool. */
  put(instance: WorkerInstance): boolean {
    if (instance.blockSize !== undefined && instance.blockSize !== this.blockSize) {
      const facts = { url: instance.url, blockSize: instance.blockSize, expected: this.blockSize };
      const reason = `its KV blocks hold ${instance.blockSize} tokens, those of its model ${this.blockSize}`;
      // It is looked at every few seconds, and says the same each time.
      if (!this.#refused.has(instance.workerId)) this.#parts.log.error(facts, `worker refused: ${reason}`);
      this.remove(instance.workerId);
      this.#refused.set(instance.workerId, { instance, reason });
      return false;
    }
    this.#refused.delete(instance.workerId);
    const known = this.#members.get(instance.workerId);
    const router = this.#routerOf(instance.role === 'prefill' ? 'prefill' : 'decode');
    router.addWorker({
      workerId: instance.workerId,
      dpSize: instance.dpSize,
      totalKvBlocks: instance.totalKvBlocks,
      maxNumBatchedTokens: instance.maxNumBatchedTokens,
      loras: instance.loras,
    });
    const kept = known !== undefined && known.router === router && sameEvents(known.instance, instance);
    if (known !== undefined && !kept) this.#leave(known, known.router !== router);
    const stopFeeding = kept ? known.stopFeeding : this.#parts.feedEvents(instance, router);
    this.#members.set(instance.workerId, { instance, router, stopFeeding });
    this.#config = leastOf(this.instances(), this.blockSize);
    this.#loading ??= this.#loadEncoder(instance);
    return true;
  }

  remove(workerId: string): void {
    this.#refused.delete(workerId);
    const member = this.#members.get(workerId);
    if (member === undefined) return;
    this.#members.delete(workerId);
    this.circuits.remove(workerId);
    this.#config = leastOf(this.instances(), this.blockSize);
    this.#leave(member, true);
    for (const listener of [...(this.#onRemoved.get(workerId) ?? [])]) listener();
  }

  /** Calls back each time the worker is taken out; returns what ends that. */
  onRemoved(workerId: string, listener: () => void): () => void {
    const listeners = this.#onRemoved.get(workerId) ?? new Set();
    this.#onRemoved.set(workerId, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.#onRemoved.get(workerId) === listeners)
        this.#onRemoved.delete(workerId);
    };
  }

  stop(): void {
    for (const workerId of [...this.#members.keys()]) this.remove(workerId);
    for (const router of this.#routers.values()) router.stop();
  }

  #leave({ instance, router, stopFeeding }: Member, gone: boolean): void {
    stopFeeding();
    if (gone) router.removeWorker(instance.workerId);
  }

  #routerOf(hop: Hop): KvRouter {
    let router = this.#routers.get(hop);
    if (router === undefined) {
      router = this.#parts.makeRouter(this, hop);
      this.#routers.set(hop, router);
    }
    return router;
  }

  async #loadEncoder(instance: WorkerInstance): Promise<void> {
    try {
      this.#encoder = await this.#parts.encoderFor(instance, () => this.instances());
    } catch (thrown) {
      const { message, hint } = toError(thrown);
      this.#parts.log.error(
        { model: this.model, reason: message, hint },
        'model cannot be served: no tokenizer',
      );
    }
  }
}

/** Throws unless the pool can take requests now. */
export function requireReady(pool: WorkerPool): PromptEncoder {
  if (pool.encoder === undefined)
    throw fail('KV_NO_WORKERS', { model: pool.model, reason: 'its tokenizer is not loaded' });
  if (pool.router('decode') === undefined)
    throw fail('KV_NO_WORKERS', { model: pool.model, reason: 'none is ready' });
  return pool.encoder;
}

function leastOf(instances: readonly WorkerInstance[], kvCacheBlockSize: number): ModelConfig {
  const least = (pick: (each: WorkerInstance) => number | undefined): number | undefined => {
    const known = instances.map(pick).filter((value) => value !== undefined);
    return known.length > 0 ? Math.min(...known) : undefined;
  };
  const config = {
    totalKvBlocks: least((each) => each.totalKvBlocks),
    maxNumSeqs: least((each) => each.maxNumSeqs),
    maxNumBatchedTokens: least((each) => each.maxNumBatchedTokens),
    contextLength: least((each) => each.contextLength),
    kvCacheBlockSize,
  };
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined));
}

function sameEvents(a: WorkerInstance, b: WorkerInstance): boolean {
  return (
    a.kvEvents === b.kvEvents && a.replay === b.replay && a.snapshot === b.snapshot && a.dpSize === b.dpSize
  );
}
