import type { KvEvent, KvStored } from '../event.ts';
import { TIERS } from './kv-index.ts';

/** An id of one rank and the block that it names. */
export interface Residence {
  readonly blockHash: bigint;
  readonly localHash: bigint;
  readonly sequenceHash: bigint;
  /** The block before it, which may have been removed since. */
  readonly parent: Residence | undefined;
  /** Bit i: held in the i-th of {@link TIERS}. */
  readonly tiers: number;
}

/**
 * Events that restore what one rank holds, parents first, in runs as long as the tree allows. Ancestors that
 * were removed are stored for their descendants' sake and removed at the end.
 */
export function dumpRank(residences: readonly Residence[]): KvEvent[] {
  const writer = new DumpWriter(residences);
  // Leaves first: a run ends in a leaf, so starting there makes the longest ones.
  const inner = new Set(residences.map((residence) => residence.parent?.sequenceHash));
  for (const residence of residences) if (!inner.has(residence.sequenceHash)) writer.write(residence);
  for (const residence of residences) writer.write(residence);
  return writer.finish();
}

/** A block of the path being written: under which id, in which tiers, the first of them storing it first. */
interface Step {
  readonly id: bigint;
  readonly localHash: bigint;
  readonly tiers: number;
}

class DumpWriter {
  readonly #resident: ReadonlyMap<bigint, Residence>;
  readonly #written = new Set<Residence>();
  /** The id under which a block was written last, by sequence hash. */
  readonly #idOf = new Map<bigint, bigint>();
  /** Ids of ancestors that are not resident. */
  readonly #ghosts = new Set<bigint>();
  readonly #events: KvEvent[] = [];

  constructor(residences: readonly Residence[]) {
    this.#resident = new Map(residences.map((residence) => [residence.blockHash, residence]));
  }

  /** Writes a resident, after those of its ancestors that are not written yet. */
  write(residence: Residence): void {
    if (this.#written.has(residence)) return;
    const path = [residence];
    let ancestor = residence.parent;
    while (ancestor !== undefined && !this.#idOf.has(ancestor.sequenceHash)) {
      path.push(ancestor);
      ancestor = ancestor.parent;
    }
    const parent = ancestor === undefined ? undefined : this.#idOf.get(ancestor.sequenceHash);
    const steps = path.reverse().map((each) => this.#step(each));
    const first = (step: Step): number => step.tiers & -step.tiers;
    this.#writeRuns(steps, parent, first);
    for (let tier = 0; tier < TIERS.length; tier++)
      this.#writeRuns(steps, parent, (step) => step.tiers & ~first(step) & (1 << tier));
  }

  finish(): KvEvent[] {
    if (this.#ghosts.size > 0)
      this.#events.push({ kind: 'removed', blockHashes: BigUint64Array.from(this.#ghosts) });
    return this.#events;
  }

  #step(residence: Residence): Step {
    const { blockHash, localHash, sequenceHash } = residence;
    const named = this.#resident.get(blockHash);
    if (named?.sequenceHash === sequenceHash) {
      this.#written.add(named);
      this.#idOf.set(sequenceHash, blockHash);
      return { id: blockHash, localHash, tiers: named.tiers };
    }
    let id = blockHash;
    // The id names another block by now: any that names none will do.
    while (this.#resident.has(id) || this.#ghosts.has(id)) id = BigInt.asUintN(64, id + 1n);
    this.#ghosts.add(id);
    this.#idOf.set(sequenceHash, id);
    return { id, localHash, tiers: 1 };
  }

  /** One event for each run of steps with the same tier bit, as `bitOf` says; 0 leaves a step out. */
  #writeRuns(steps: readonly Step[], parent: bigint | undefined, bitOf: (step: Step) => number): void {
    for (let start = 0; start < steps.length; ) {
      const bit = bitOf(steps[start]!);
      let end = start + 1;
      while (end < steps.length && bitOf(steps[end]!) === bit) end++;
      if (bit !== 0) {
        const run = steps.slice(start, end);
        this.#events.push(stored(run, start === 0 ? parent : steps[start - 1]!.id, Math.log2(bit)));
      }
      start = end;
    }
  }
}

function stored(run: readonly Step[], parentHash: bigint | undefined, tier: number): KvStored {
  return {
    kind: 'stored',
    ...(tier === 0 ? {} : { tier: TIERS[tier]! }),
    parentHash,
    blockHashes: BigUint64Array.from(run, (step) => step.id),
    localHashes: BigUint64Array.from(run, (step) => step.localHash),
  };
}
