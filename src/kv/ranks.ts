import type { WorkerKey } from './event.ts';

/**
 * Interns ranks as small dense integers, which index, loads and policies use in place of {@link WorkerKey}s.
 * Ids of departed ranks are reused, so whoever keeps one must drop it when the rank leaves.
 */
export class Ranks {
  readonly #ids = new Map<string, number>();
  readonly #keys: (WorkerKey | undefined)[] = [];
  readonly #free: number[] = [];

  /** One more than the highest id in use: the length that arrays indexed by rank need. */
  get capacity(): number {
    return this.#keys.length;
  }

  get size(): number {
    return this.#ids.size;
  }

  /** The id of the rank, given a new one if it has none. */
  add(key: WorkerKey): number {
    const name = rankName(key);
    const known = this.#ids.get(name);
    if (known !== undefined) return known;
    const id = this.#free.pop() ?? this.#keys.length;
    this.#keys[id] = key;
    this.#ids.set(name, id);
    return id;
  }

  idOf(key: WorkerKey): number | undefined {
    return this.#ids.get(rankName(key));
  }

  keyOf(id: number): WorkerKey | undefined {
    return this.#keys[id];
  }

  /** Frees the id; false if the rank was not known. */
  remove(key: WorkerKey): boolean {
    const name = rankName(key);
    const id = this.#ids.get(name);
    if (id === undefined) return false;
    this.#ids.delete(name);
    this.#keys[id] = undefined;
    this.#free.push(id);
    return true;
  }

  /** All ranks with their ids, in order of id. */
  *entries(): IterableIterator<readonly [number, WorkerKey]> {
    for (const [id, key] of this.#keys.entries()) if (key !== undefined) yield [id, key];
  }
}

function rankName(key: WorkerKey): string {
  return `${key.workerId}/${key.dpRank}`;
}
