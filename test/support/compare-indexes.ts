import { isDeepStrictEqual } from 'node:util';
import { NaiveIndex } from '../../src/kv/index/naive-index.ts';
import { WasmIndex } from '../../src/kv/index/wasm-index.ts';
import { KvHistory } from './kv-history.ts';

export interface Comparison {
  readonly events: number;
  readonly blocks: number;
  readonly matches: number;
  readonly residents: number;
}

const TIER_NAMES = ['device', 'hostPinned', 'disk', 'external'] as const;

/**
 * Lets the fast index and its model live through the same random history and throws where they differ. Every
 * event's outcome and, in between, matches are compared; all counts and a restored dump every `checkEvery` events.
 */
export function compareIndexes(options: {
  readonly seed: number;
  readonly ranks: number;
  readonly events: number;
  readonly checkEvery: number;
  readonly progress?: (events: number) => void;
}): Comparison {
  const { seed, ranks, checkEvery } = options;
  const history = new KvHistory(seed, ranks);
  const naive = new NaiveIndex();
  const wasm = new WasmIndex();
  let blocks = 0;
  let matches = 0;
  for (let event = 1; event <= options.events; event++) {
    const where = `seed ${seed}, event ${event}`;
    const { rank, event: change } = history.next();
    if (change === undefined) {
      for (const index of [naive, wasm]) index.removeRank(rank);
    } else {
      if (change.kind !== 'cleared') blocks += change.blockHashes.length;
      demandEqual(wasm.apply(rank, change), naive.apply(rank, change), `outcome at ${where}`);
    }
    if (event % 16 === 0) {
      matches += 1;
      demandEqualMatch(wasm, naive, history.prompt(), where);
    }
    if (event % checkEvery === 0) {
      demandEqualState(wasm, naive, ranks, where);
      demandEqualCopy(wasm, naive, history, where);
      options.progress?.(event);
    }
  }
  return { events: options.events, blocks, matches, residents: naive.stats().residents };
}

function demandEqualMatch(wasm: WasmIndex, naive: NaiveIndex, prompt: BigUint64Array, where: string): void {
  const [found, expected] = [wasm.match(prompt), naive.match(prompt)];
  for (const tier of TIER_NAMES) {
    const length = Math.max(found[tier].length, expected[tier].length);
    for (let rank = 0; rank < length; rank++) {
      const [depth, truth] = [found[tier][rank] ?? 0, expected[tier][rank] ?? 0];
      if (depth !== truth) throw new Error(`${tier} of rank ${rank} at ${where}: ${depth}, not ${truth}`);
    }
  }
}

function demandEqualState(wasm: WasmIndex, naive: NaiveIndex, ranks: number, where: string): void {
  wasm.settle();
  const { blocks, residents } = naive.stats();
  const { blocks: foundBlocks, residents: foundResidents } = wasm.stats();
  demandEqual([foundBlocks, foundResidents], [blocks, residents], `blocks and residents at ${where}`);
  for (let rank = 0; rank < ranks; rank++)
    demandEqual(wasm.residentsOf(rank), naive.residentsOf(rank), `residents of rank ${rank} at ${where}`);
}

function demandEqualCopy(wasm: WasmIndex, naive: NaiveIndex, history: KvHistory, where: string): void {
  const copy = new WasmIndex();
  for (const { rank, event } of wasm.dump()) copy.apply(rank, event);
  demandEqual(copy.stats().residents, naive.stats().residents, `residents of the copy at ${where}`);
  for (let i = 0; i < 20; i++) demandEqualMatch(copy, naive, history.prompt(), `the copy at ${where}`);
}

function demandEqual(found: unknown, expected: unknown, what: string): void {
  if (!isDeepStrictEqual(found, expected))
    throw new Error(`${what}: ${JSON.stringify(found)}, not ${JSON.stringify(expected)}`);
}
