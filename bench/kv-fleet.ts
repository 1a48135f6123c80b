import { SeededRandom } from '../src/base/random.ts';
import type { KvRemoved, KvStored } from '../src/kv/event.ts';
import { BlockHasher } from '../src/kv/hash.ts';

/** Blocks of one prompt as an engine names them: its ids are unrelated to the chained hashes. */
export interface FleetPrompt {
  readonly ids: BigUint64Array;
  readonly local: BigUint64Array;
  readonly sequence: BigUint64Array;
}

/** Prompts of equal length with random content; no two share a block. */
export function makePrompts(count: number, blocks: number, seed: number): FleetPrompt[] {
  const random = new SeededRandom(seed);
  const hasher = new BlockHasher();
  return Array.from({ length: count }, () => {
    const words = new Uint32Array(2 * blocks).map(() => random.nextU32());
    const local = new BigUint64Array(words.buffer);
    const sequence = hasher.chain(local);
    return { ids: hasher.chain(sequence), local, sequence };
  });
}

/** Events that store the first blocks of a prompt, so many at a time. */
export function storesOf(prompt: FleetPrompt, depth: number, eventBlocks: number): KvStored[] {
  const events: KvStored[] = [];
  for (let from = 0; from < depth; from += eventBlocks) {
    const to = Math.min(depth, from + eventBlocks);
    events.push({
      kind: 'stored',
      parentHash: from === 0 ? undefined : prompt.ids[from - 1],
      blockHashes: prompt.ids.slice(from, to),
      localHashes: prompt.local.slice(from, to),
    });
  }
  return events;
}

/** Events that remove a prompt from its end on, as engines evict. */
export function removesOf(prompt: FleetPrompt, eventBlocks: number): KvRemoved[] {
  const events: KvRemoved[] = [];
  for (let to = prompt.ids.length; to > 0; to -= eventBlocks)
    events.push({
      kind: 'removed',
      blockHashes: prompt.ids.slice(Math.max(0, to - eventBlocks), to).reverse(),
    });
  return events;
}
