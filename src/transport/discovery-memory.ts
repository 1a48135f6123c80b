import { isDeepStrictEqual } from 'node:util';
import type { Discovery, DiscoveryListener, WorkerInstance } from './discovery.ts';

/** Ready instances kept in this process: whoever knows them puts and removes them. */
export class MemoryDiscovery implements Discovery {
  readonly #instances = new Map<string, WorkerInstance>();
  readonly #listeners = new Set<DiscoveryListener>();

  /** Adds the instance, or replaces the one of the same id; equal facts change nothing. */
  put(instance: WorkerInstance): void {
    const known = this.#instances.get(instance.workerId);
    if (isDeepStrictEqual(known, instance)) return;
    this.#instances.set(instance.workerId, instance);
    this.#tell({ kind: known === undefined ? 'added' : 'changed', instance });
  }

  /** False if no such instance was known. */
  remove(workerId: string): boolean {
    const instance = this.#instances.get(workerId);
    if (instance === undefined) return false;
    this.#instances.delete(workerId);
    this.#tell({ kind: 'removed', instance });
    return true;
  }

  watch(listener: DiscoveryListener): () => void {
    for (const instance of this.#instances.values()) listener({ kind: 'added', instance });
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async stop(): Promise<void> {
    this.#listeners.clear();
  }

  #tell(change: Parameters<DiscoveryListener>[0]): void {
    for (const listener of [...this.#listeners]) listener(change);
  }
}
