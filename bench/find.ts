import { SeededRandom } from '../src/base/random.ts';
import type { KvIndex } from '../src/kv/index/kv-index.ts';
import { NaiveIndex } from '../src/kv/index/naive-index.ts';
import { WasmIndex } from '../src/kv/index/wasm-index.ts';
import { type Bench, median, quantile, rounded, sampleInTurns } from './harness.ts';
import { type FleetPrompt, makePrompts, storesOf } from './kv-fleet.ts';

const PROMPT_BLOCKS = 512;
const PROMPTS = 2 ** 20 / PROMPT_BLOCKS;
const WORKERS = 64;
/** Prompts that are asked for; each is held by one worker whole, by seven more to varying depths. */
const HOT_PROMPTS = 256;
const HOLDERS = 8;

/** Stores a million blocks, one worker holding each; more of them hold beginnings of the hot prompts. */
function fill(index: KvIndex, prompts: readonly FleetPrompt[]): void {
  const random = new SeededRandom(2);
  for (const [i, prompt] of prompts.entries()) {
    const holders = i < HOT_PROMPTS ? HOLDERS : 1;
    for (let holder = 0; holder < holders; holder++) {
      const depth = holder === 0 ? PROMPT_BLOCKS : 1 + random.nextInt(PROMPT_BLOCKS);
      for (const event of storesOf(prompt, depth, PROMPT_BLOCKS))
        index.apply((i + 7 * holder) % WORKERS, event);
    }
  }
}

function demandEqual(found: Uint32Array, expected: Uint32Array): void {
  for (const [rank, depth] of expected.entries())
    if (found[rank] !== depth) throw new Error(`rank ${rank}: ${found[rank]}, not ${depth}`);
}

export const bench: Bench = {
  summary: `match ${PROMPT_BLOCKS} blocks at a million resident, ${WORKERS} workers; the naive model`,
  floor: 20,
  run({ quick }) {
    const prompts = makePrompts(PROMPTS, PROMPT_BLOCKS, 1);
    const wasm = new WasmIndex();
    const naive = new NaiveIndex();
    for (const index of [wasm, naive]) fill(index, prompts);
    const random = new SeededRandom(3);
    const queries = Array.from({ length: 4096 }, () => prompts[random.nextInt(HOT_PROMPTS)]!.sequence);
    const query = (round: number): BigUint64Array => queries[round % queries.length]!;
    for (let i = 0; i < 64; i++) demandEqual(wasm.match(query(i)).device, naive.match(query(i)).device);
    // One match a sample, so that the tail is that of single matches.
    const samples = sampleInTurns(
      (round) => wasm.match(query(round)),
      (round) => naive.match(query(round)),
      quick ? 2000 : 20_000,
      { subject: 1, baseline: 1 },
    );
    const value = median(samples.subjectUs);
    const baseline = median(samples.baselineUs);
    return {
      value,
      baseline,
      unit: 'us',
      ratio: baseline / value,
      details: {
        p99_us: rounded(quantile(samples.subjectUs, 0.99)),
        naive_p99_us: rounded(quantile(samples.baselineUs, 0.99)),
        residents: wasm.stats().residents,
      },
    };
  },
};
