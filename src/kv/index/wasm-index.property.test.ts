import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compareIndexes } from '../../../test/support/compare-indexes.ts';
import type { KvEvent } from '../event.ts';
import { BlockHasher } from '../hash.ts';
import { type KvIndex, TIERS } from './kv-index.ts';
import { NaiveIndex } from './naive-index.ts';
import { WasmIndex } from './wasm-index.ts';

/** Few letters and short prompts, so that random events meet: shared prefixes, holes, repeats, reused ids. */
const LETTERS = 2;
const DEPTH = 6;
/** Beyond what a bitmap, and what a list of holders takes (`assembly/holders.ts`). */
const CROWD = 70;

type Path = readonly number[];
interface Step {
  readonly do: 'store' | 'remove' | 'clear' | 'leave';
  readonly rank: number;
  readonly path: Path;
  /** Where a store begins on the path. */
  readonly from: number;
  /** Bit i: a remove takes the i-th block of the path. */
  readonly which: number;
  readonly tier: number;
  readonly naming: number;
}

const rank = fc.oneof(fc.nat(4), fc.constantFrom(CROWD + 1, CROWD + 2, CROWD + 70, CROWD + 200));
const path = fc.array(fc.nat(LETTERS - 1), { minLength: 1, maxLength: DEPTH });
const tier = fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.nat(TIERS.length - 1));
const naming = fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.nat(2));
const action = fc.oneof(
  { weight: 8, arbitrary: fc.constant('store' as const) },
  { weight: 5, arbitrary: fc.constant('remove' as const) },
  { weight: 1, arbitrary: fc.constantFrom('clear' as const, 'leave' as const) },
);
const step: fc.Arbitrary<Step> = fc.record({
  do: action,
  rank,
  path,
  from: fc.nat(DEPTH),
  which: fc.nat(2 ** DEPTH - 1),
  tier,
  naming,
});

const hasher = new BlockHasher();

/** The id of a prefix: its own, a second one, or one of few that prefixes take from each other. */
function idOf(prefix: Path, naming: number): bigint {
  const own = prefix.reduce((sum, letter) => LETTERS * sum + letter, 1);
  return BigInt([own, 1000 + own, 2000 + (own % 5)][naming]!);
}

function eventOf(step: Step): KvEvent {
  if (step.do === 'clear') return { kind: 'cleared' };
  const { path, tier, naming } = step;
  const ids = path.map((_, i) => idOf(path.slice(0, i + 1), naming));
  if (step.do === 'remove') {
    const chosen = ids.filter((_, i) => (step.which >> i) & 1);
    return { kind: 'removed', tier: TIERS[tier]!, blockHashes: BigUint64Array.from(chosen) };
  }
  const from = step.from % path.length;
  return {
    kind: 'stored',
    tier: TIERS[tier]!,
    parentHash: from === 0 ? undefined : ids[from - 1],
    blockHashes: BigUint64Array.from(ids.slice(from)),
    localHashes: localsOf(path).subarray(from),
  };
}

function localsOf(path: Path): BigUint64Array {
  return BigUint64Array.from(path, (letter) => BigInt(letter + 1));
}

function perform(index: KvIndex, step: Step): unknown {
  if (step.do === 'leave') return index.removeRank(step.rank);
  const known: number[] = [];
  const applied = index.apply(step.rank, eventOf(step), (place) => known.push(place));
  return { applied, known };
}

/** Who holds what of every prompt there is, without ranks that hold nothing. */
function holdings(index: KvIndex): unknown {
  const prompts = Array.from({ length: LETTERS ** DEPTH }, (_, prompt) =>
    Array.from({ length: DEPTH }, (_, place) => Math.floor(prompt / LETTERS ** place) % LETTERS),
  );
  return prompts.map((prompt) => {
    const tiers = Object.entries(index.match(hasher.chain(localsOf(prompt))));
    return tiers.map(([name, depths]) => [name, [...depths.entries()].filter(([, depth]) => depth > 0)]);
  });
}

function crowd(index: KvIndex): void {
  const step = { do: 'store', from: 0, which: 0, tier: 0, naming: 0 } as const;
  for (let rank = 0; rank < CROWD; rank++) perform(index, { ...step, rank, path: [rank % LETTERS, 0, 1] });
}

test('the index in WebAssembly is the naive one after any history', () => {
  fc.assert(
    fc.property(fc.boolean(), fc.array(step, { maxLength: 80 }), (crowded, history) => {
      const naive = new NaiveIndex();
      const wasm = new WasmIndex();
      if (crowded) for (const index of [naive, wasm]) crowd(index);
      for (const step of history) {
        expect(perform(wasm, step)).toEqual(perform(naive, step));
        expect(wasm.residentsOf(step.rank)).toBe(naive.residentsOf(step.rank));
      }
      expect(holdings(wasm)).toEqual(holdings(naive));
      wasm.settle();
      const { blocks, residents } = naive.stats();
      expect(wasm.stats()).toMatchObject({ blocks, residents, evicted: 0 });
    }),
    { numRuns: 150 },
  );
}, 60_000);

test('a dump of either index restores both', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 50 }), (history) => {
      const naive = new NaiveIndex();
      const wasm = new WasmIndex();
      for (const step of history) for (const index of [naive, wasm]) perform(index, step);
      for (const source of [naive, wasm])
        for (const copy of [new NaiveIndex(), new WasmIndex()]) {
          for (const { rank, event } of source.dump()) expect(copy.apply(rank, event).status).toBe('ok');
          expect(holdings(copy)).toEqual(holdings(naive));
          expect(copy.stats().residents).toBe(naive.stats().residents);
        }
    }),
    { numRuns: 60 },
  );
}, 60_000);

test('all memory is free again once every rank has left', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (history) => {
      const index = new WasmIndex();
      const live = (): void => {
        crowd(index);
        for (const step of history) perform(index, step);
        for (let rank = 0; rank <= CROWD + 200; rank++) index.removeRank(rank);
        index.settle();
      };
      live();
      const empty = index.stats();
      expect(empty).toMatchObject({ blocks: 0, residents: 0 });
      live();
      expect(index.stats()).toEqual(empty);
    }),
    { numRuns: 40 },
  );
}, 60_000);

test.each([
  { seed: 1, ranks: 12, events: 12_000 },
  { seed: 2, ranks: 150, events: 12_000 },
])('a long random history of $ranks ranks leaves both the same', ({ seed, ranks, events }) => {
  const { residents, blocks } = compareIndexes({ seed, ranks, events, checkEvery: events / 2 });
  expect(residents).toBeGreaterThan(1000);
  expect(blocks).toBeGreaterThan(5 * events);
});
