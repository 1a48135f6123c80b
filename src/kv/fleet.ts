import type { WorkerKey } from './event.ts';
import { Ranks } from './ranks.ts';

/** What is known of a worker when it joins; changes are made with {@link Fleet.put}. */
export interface WorkerInfo {
  /** u64 as decimal text. */
  readonly workerId: string;
  /** First of its data-parallel ranks; 0 unless told. */
  readonly dpStart?: number | undefined;
  /** Number of its ranks; 1 unless told. */
  readonly dpSize?: number | undefined;
  /** KV blocks of one rank. */
  readonly totalKvBlocks?: number | undefined;
  /** Tokens that the engine computes in one pass. */
  readonly maxNumBatchedTokens?: number | undefined;
  readonly taints?: readonly string[] | undefined;
  /** Adapters it has loaded. */
  readonly loras?: readonly string[] | undefined;
  /** Takes no new requests for now: draining, or found unhealthy. */
  readonly inhibited?: boolean | undefined;
  readonly onCpu?: boolean | undefined;
}

/** One rank of the fleet. */
export interface FleetRank {
  readonly id: number;
  readonly key: WorkerKey;
  readonly worker: FleetWorker;
}

export interface FleetWorker {
  info: WorkerInfo;
  readonly ranks: readonly FleetRank[];
}

/** Ranks that a change of the fleet made or removed; ids of removed ones are free once it returns. */
export interface FleetChange {
  readonly added: readonly FleetRank[];
  readonly removed: readonly FleetRank[];
}

/** The workers that requests can go to. Owns the interned ids of their ranks. */
export class Fleet {
  readonly ranks = new Ranks();
  #workers = new Map<string, FleetWorker>();
  #inOrder = true;
  readonly #byRank: (FleetRank | undefined)[] = [];
  readonly #replicas = new Map<string, number>();

  get size(): number {
    return this.#workers.size;
  }

  /** In the order of their ids, whoever joined first: a seed then means the same draws for the same fleet. */
  workers(): IterableIterator<FleetWorker> {
    // Not at each join: thousands may join before anyone looks.
    if (!this.#inOrder) this.#workers = new Map([...this.#workers].sort(([a], [b]) => compareIds(a, b)));
    this.#inOrder = true;
    return this.#workers.values();
  }

  worker(workerId: string): FleetWorker | undefined {
    return this.#workers.get(workerId);
  }

  rank(id: number): FleetRank | undefined {
    return this.#byRank[id];
  }

  rankOf(key: WorkerKey): FleetRank | undefined {
    const id = this.ranks.idOf(key);
    return id === undefined ? undefined : this.#byRank[id];
  }

  /** Whether any worker has the adapter loaded. */
  hasReplicas(loraName: string): boolean {
    return this.#replicas.has(loraName);
  }

  /** Adds a worker, or replaces what is known of it; ranks that stay keep their ids. */
  put(info: WorkerInfo): FleetChange {
    const old = this.#workers.get(info.workerId);
    const ranks: FleetRank[] = [];
    const worker: FleetWorker = { info, ranks };
    const added: FleetRank[] = [];
    const first = info.dpStart ?? 0;
    for (let dpRank = first; dpRank < first + (info.dpSize ?? 1); dpRank++) {
      const key = { workerId: info.workerId, dpRank };
      const isNew = this.ranks.idOf(key) === undefined;
      const rank = { id: this.ranks.add(key), key, worker };
      ranks.push(rank);
      this.#byRank[rank.id] = rank;
      if (isNew) added.push(rank);
    }
    const removed = (old?.ranks ?? []).filter(({ id }) => this.#byRank[id]?.worker !== worker);
    for (const rank of removed) this.#drop(rank);
    if (old !== undefined) this.#countReplicas(old.info, -1);
    this.#countReplicas(info, 1);
    this.#workers.set(info.workerId, worker);
    if (old === undefined) this.#inOrder = false;
    return { added, removed };
  }

  /** Ranks that left, empty when the worker was not known. */
  remove(workerId: string): readonly FleetRank[] {
    const worker = this.#workers.get(workerId);
    if (worker === undefined) return [];
    this.#workers.delete(workerId);
    this.#countReplicas(worker.info, -1);
    for (const rank of worker.ranks) this.#drop(rank);
    return worker.ranks;
  }

  #drop(rank: FleetRank): void {
    this.#byRank[rank.id] = undefined;
    this.ranks.remove(rank.key);
  }

  #countReplicas(info: WorkerInfo, change: 1 | -1): void {
    for (const lora of info.loras ?? []) {
      const count = (this.#replicas.get(lora) ?? 0) + change;
      if (count > 0) this.#replicas.set(lora, count);
      else this.#replicas.delete(lora);
    }
  }
}

/** Decimal numbers by their size. */
function compareIds(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : 1);
}
