import { setTimeout } from 'node:timers/promises';
import { RealClock } from '../src/base/clock.ts';
import { SeededRandom } from '../src/base/random.ts';
import { routerConfig } from '../src/kv/config.ts';
import { BlockHasher } from '../src/kv/hash.ts';
import { WasmIndex } from '../src/kv/index/wasm-index.ts';
import { KvRouter } from '../src/kv/kv-router.ts';
import type { PhaseTimings } from '../src/kv/observer.ts';
import type { Selection } from '../src/kv/selection.ts';
import { type Bench, quantile, rounded } from './harness.ts';

const TOKENS = 8192;
const BLOCK_SIZE = 16;
const WORKERS = 64;
/** Leading tokens that all prompts of one family share, as a system prompt. */
const STEM_TOKENS = 2048;
const FAMILIES = 16;
const ACTIVE = 16 * WORKERS;
const BUDGET_US = 500;
const BURST = 4;

const PHASES = {
  block_hashing: 'blockHashingMs',
  find_matches: 'indexerFindMatchesMs',
  seq_hashing: 'seqHashingMs',
  scheduling: 'schedulingMs',
} as const satisfies Record<string, keyof PhaseTimings>;

/** Prompts with common stems, of which each worker holds some to some depth. */
function makePrompts(count: number, random: SeededRandom): Uint32Array[] {
  const draw = (length: number): Uint32Array => Uint32Array.from({ length }, () => random.nextInt(128_256));
  const stems = Array.from({ length: FAMILIES }, () => draw(STEM_TOKENS));
  return Array.from({ length: count }, (_, i) => {
    const prompt = draw(TOKENS);
    prompt.set(stems[i % FAMILIES]!);
    return prompt;
  });
}

function fill(
  router: KvRouter,
  index: WasmIndex,
  prompts: readonly Uint32Array[],
  random: SeededRandom,
): void {
  const hasher = new BlockHasher();
  for (let id = 1; id <= WORKERS; id++) router.addWorker({ workerId: String(id), totalKvBlocks: 100_000 });
  for (const prompt of prompts) {
    const { local, sequence } = hasher.hashPrompt(prompt, BLOCK_SIZE);
    for (let copy = 0; copy < 4; copy++) {
      const depth = 1 + random.nextInt(sequence.length);
      index.apply(random.nextInt(WORKERS), {
        kind: 'stored',
        parentHash: undefined,
        blockHashes: sequence.slice(0, depth),
        localHashes: local.slice(0, depth),
      });
    }
  }
}

export const bench: Bench = {
  summary: `routing ${TOKENS} tokens among ${WORKERS} busy workers, hashing to booking; ${BUDGET_US} us over the p99 of raw samples`,
  floor: 1,
  async run({ quick }) {
    const random = new SeededRandom(1);
    const phases: PhaseTimings[] = [];
    const index = new WasmIndex();
    const router = new KvRouter({
      blockSize: BLOCK_SIZE,
      clock: new RealClock({ keepAlive: false }),
      random,
      config: routerConfig({ predictedTtlMs: 5000 }),
      index,
      observer: { phases: (timings) => phases.push(timings) },
    });
    const prompts = makePrompts(quick ? 500 : 2000, random);
    fill(router, index, prompts, random);
    const active: Selection[] = [];
    const rounds = quick ? 6000 : 20_000;
    const warmUp = rounds / 4;
    for (let round = 0; round < warmUp + rounds; round++) {
      if (round === warmUp) phases.length = 0;
      // Requests come spaced in time; a loop that never rests is what a busy machine's scheduler interrupts.
      if (round % BURST === 0) await setTimeout(1);
      const tokens = prompts[random.nextInt(prompts.length)]!;
      const selection = router.select({ requestId: String(round), tokens });
      if (selection.kind === 'refused') throw new Error(selection.reason);
      active.push(selection);
      // Half of the active requests are still in prefill.
      active[active.length - ACTIVE / 2]?.booking?.prefillComplete();
      if (active.length > ACTIVE) active.shift()?.booking?.free();
    }
    router.stop();
    const totals = phases.map(({ totalMs }) => 1000 * totalMs);
    const value = quantile(totals, 0.99);
    const parts = Object.entries(PHASES).map(([name, key]) => {
      const samples = phases.map((timings) => 1000 * timings[key]);
      return [`${name}_p50_us`, rounded(quantile(samples, 0.5))] as const;
    });
    const details = {
      p50_us: rounded(quantile(totals, 0.5)),
      p90_us: rounded(quantile(totals, 0.9)),
      ...Object.fromEntries(parts),
      resident_blocks: index.stats().residents,
    };
    return { value, baseline: BUDGET_US, unit: 'us', ratio: BUDGET_US / value, details };
  },
};
