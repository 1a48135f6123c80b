import { fail } from '../base/errors.ts';

export const DEFAULT_NAME = 'default';

/** Workers of one model that are chosen among; nothing crosses from one partition to another. */
export interface PartitionKey {
  readonly modelName: string;
  readonly routingGroup: string;
}

/** What is known of the keys looked for. */
export interface PartitionFilter {
  readonly modelName?: string | undefined;
  readonly routingGroup?: string | undefined;
}

export interface PartitionEntry<T> {
  readonly key: PartitionKey;
  readonly blockSize: number;
  readonly value: T;
}

const MAX_PARTITIONS = 1024;

/** One `T` for each model and routing group, made with the block size of the first worker. */
export class Partitions<T> {
  readonly #make: (key: PartitionKey, blockSize: number) => T;
  readonly #entries = new Map<string, PartitionEntry<T>>();

  constructor(make: (key: PartitionKey, blockSize: number) => T) {
    this.#make = make;
  }

  get size(): number {
    return this.#entries.size;
  }

  find(key: PartitionKey): PartitionEntry<T> | undefined {
    return this.#entries.get(nameOf(key));
  }

  /** Throws KV_RECORD_UNKNOWN. */
  require(key: PartitionKey): PartitionEntry<T> {
    const entry = this.find(key);
    if (entry !== undefined) return entry;
    throw fail('KV_RECORD_UNKNOWN', {
      what: 'the partition',
      id: `model ${key.modelName}, routing group ${key.routingGroup}`,
      mend: 'Register a worker for it first.',
    });
  }

  /** The partition, made if need be. Throws KV_RECORD_CONFLICT for another block size. */
  open(key: PartitionKey, blockSize: number): PartitionEntry<T> {
    const known = this.find(key);
    if (known !== undefined) {
      if (known.blockSize === blockSize) return known;
      throw fail('KV_RECORD_CONFLICT', {
        reason: `blocks of ${key.modelName}:${key.routingGroup} have ${known.blockSize} tokens, not ${blockSize}`,
        mend: 'Register workers of one block size, or give them another routing group.',
      });
    }
    if (this.#entries.size >= MAX_PARTITIONS)
      throw fail('KV_RECORD_CONFLICT', {
        reason: `there are ${MAX_PARTITIONS} models and routing groups already`,
        mend: 'Unregister workers that are gone.',
      });
    const entry = { key, blockSize, value: this.#make(key, blockSize) };
    this.#entries.set(nameOf(key), entry);
    return entry;
  }

  close(key: PartitionKey): void {
    this.#entries.delete(nameOf(key));
  }

  /** Those that match what is given of a key, in the order of their names. */
  matching(filter: PartitionFilter): readonly PartitionEntry<T>[] {
    return [...this.#entries.entries()]
      .filter(
        ([, { key }]) =>
          (filter.modelName === undefined || filter.modelName === key.modelName) &&
          (filter.routingGroup === undefined || filter.routingGroup === key.routingGroup),
      )
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, entry]) => entry);
  }
}

/** `model:group`, as dumps name partitions. */
export function nameOf({ modelName, routingGroup }: PartitionKey): string {
  return `${modelName}:${routingGroup}`;
}

/** Reads a dump's name; the model may hold colons, the group none. */
export function keyOf(name: string): PartitionKey {
  const at = name.lastIndexOf(':');
  return at < 0
    ? { modelName: name, routingGroup: DEFAULT_NAME }
    : { modelName: name.slice(0, at), routingGroup: name.slice(at + 1) };
}
