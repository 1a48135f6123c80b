import type { KvEvent } from '../src/kv/event.ts';
import type { KvIndex } from '../src/kv/index/kv-index.ts';
import { NaiveIndex } from '../src/kv/index/naive-index.ts';
import { WasmIndex } from '../src/kv/index/wasm-index.ts';
import { type Bench, rounded } from './harness.ts';
import { type FleetPrompt, makePrompts, removesOf, storesOf } from './kv-fleet.ts';

const PROMPT_BLOCKS = 512;
const EVENT_BLOCKS = 64;
const WORKERS = 64;
const LIMIT_BYTES = 2 ** 31;
const MILLION = 2 ** 20;

type RankEvents = readonly (readonly [rank: number, event: KvEvent])[];

/** Events of all workers in turns, as a router receives them. */
function interleave(perWorker: readonly (readonly KvEvent[])[]): RankEvents {
  const longest = Math.max(...perWorker.map((events) => events.length));
  return Array.from({ length: longest }, (_, turn) =>
    perWorker.flatMap((events, rank) => (events[turn] === undefined ? [] : [[rank, events[turn]] as const])),
  ).flat();
}

function fleetEvents(
  prompts: readonly FleetPrompt[],
  eventsOf: (prompt: FleetPrompt) => KvEvent[],
): RankEvents {
  const perWorker = Array.from({ length: WORKERS }, (_, worker) =>
    prompts.filter((_, i) => i % WORKERS === worker).flatMap(eventsOf),
  );
  return interleave(perWorker);
}

/** Milliseconds that an index takes for the events; all must be applied. */
function timeMs(index: KvIndex, events: RankEvents): number {
  const started = performance.now();
  for (const [rank, event] of events)
    if (index.apply(rank, event).status !== 'ok') throw new Error('an event was refused');
  return performance.now() - started;
}

/** Processor milliseconds so far: what others do on the machine does not count as a pause. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Bytes per resident with so many workers that hold the same blocks. */
function bytesPerResident(prompts: readonly FleetPrompt[], workers: number): number {
  const index = new WasmIndex({ limitBytes: LIMIT_BYTES });
  for (let rank = 0; rank < workers; rank++)
    for (const prompt of prompts)
      for (const event of storesOf(prompt, PROMPT_BLOCKS, PROMPT_BLOCKS)) index.apply(rank, event);
  const { memoryBytes, residents } = index.stats();
  return memoryBytes / residents;
}

/** The longest single apply, in processor milliseconds, while an index grows to so many blocks. */
function longestPauseMs(blocks: number): number {
  const index = new WasmIndex({ limitBytes: LIMIT_BYTES });
  let longest = 0;
  for (let seed = 1; index.stats().blocks < blocks; seed++) {
    const prompts = makePrompts(256, PROMPT_BLOCKS, 1000 + seed);
    for (const [rank, event] of fleetEvents(prompts, (prompt) =>
      storesOf(prompt, PROMPT_BLOCKS, EVENT_BLOCKS),
    )) {
      const started = cpuMs();
      index.apply(rank, event);
      longest = Math.max(longest, cpuMs() - started);
    }
  }
  return longest;
}

export const bench: Bench = {
  summary: `store and remove a million blocks on ${WORKERS} workers, ${EVENT_BLOCKS} an event; the naive model`,
  floor: 10,
  run({ quick }) {
    const prompts = makePrompts((quick ? MILLION / 4 : MILLION) / PROMPT_BLOCKS, PROMPT_BLOCKS, 1);
    const blocks = prompts.length * PROMPT_BLOCKS;
    const stores = fleetEvents(prompts, (prompt) => storesOf(prompt, PROMPT_BLOCKS, EVENT_BLOCKS));
    const removes = fleetEvents(prompts, (prompt) => removesOf(prompt, EVENT_BLOCKS));
    const best = { store: 0, remove: 0, total: 0, naive: 0 };
    const rate = (ms: number): number => blocks / ms / 1000;
    for (let round = 0; round < 3; round++) {
      const naive = new NaiveIndex();
      best.naive = Math.max(best.naive, rate(timeMs(naive, stores) + timeMs(naive, removes)));
      for (let repeat = 0; repeat < 3; repeat++) {
        const wasm = new WasmIndex({ limitBytes: LIMIT_BYTES });
        const [storeMs, removeMs] = [timeMs(wasm, stores), timeMs(wasm, removes)];
        best.store = Math.max(best.store, rate(storeMs));
        best.remove = Math.max(best.remove, rate(removeMs));
        best.total = Math.max(best.total, rate(storeMs + removeMs));
      }
    }
    const million = quick ? makePrompts(MILLION / PROMPT_BLOCKS, PROMPT_BLOCKS, 1) : prompts;
    return {
      value: 2 * best.total,
      baseline: 2 * best.naive,
      unit: 'million blocks/s',
      ratio: best.total / best.naive,
      details: {
        stored_million_blocks_per_s: rounded(best.store),
        removed_million_blocks_per_s: rounded(best.remove),
        bytes_per_resident_1_worker: rounded(bytesPerResident(million, 1)),
        bytes_per_resident_8_workers: rounded(bytesPerResident(million, 8)),
        ...(quick ? {} : { longest_apply_cpu_ms_growing_to_4M_blocks: rounded(longestPauseMs(4 * MILLION)) }),
      },
    };
  },
};
