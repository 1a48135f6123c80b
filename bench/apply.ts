import { PerformanceObserver } from 'node:perf_hooks';
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
  eventsOf: (prompt: FleetPrompt, i: number) => KvEvent[],
): RankEvents {
  const perWorker: KvEvent[][] = Array.from({ length: WORKERS }, () => []);
  for (const [i, prompt] of prompts.entries()) perWorker[i % WORKERS]!.push(...eventsOf(prompt, i));
  return interleave(perWorker);
}

/** Every worker lets a prompt go, end first, while it takes in another: a fleet whose caches are full. */
function churn(old: readonly FleetPrompt[], fresh: readonly FleetPrompt[]): RankEvents {
  return fleetEvents(old, (prompt, i) => {
    const stores = storesOf(fresh[i]!, PROMPT_BLOCKS, EVENT_BLOCKS);
    return removesOf(prompt, EVENT_BLOCKS).flatMap((remove, step) => [remove, stores[step]!]);
  });
}

/** Processor milliseconds that an index takes for the events; all must be applied. */
function timeMs(index: KvIndex, events: RankEvents): number {
  const started = cpuMs();
  for (const [rank, event] of events)
    if (index.apply(rank, event).status !== 'ok') throw new Error('an event was refused');
  return cpuMs() - started;
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

/**
 * The longest single apply while an index grows to so many blocks, in processor milliseconds, besides those that
 * the garbage collector interrupted.
 */
async function longestPauseMs(blocks: number): Promise<number> {
  const collections: { readonly from: number; readonly to: number }[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries())
      collections.push({ from: startTime, to: startTime + duration });
  });
  observer.observe({ entryTypes: ['gc'] });
  const index = new WasmIndex({ limitBytes: LIMIT_BYTES });
  const pauses: { readonly from: number; readonly to: number; readonly ms: number }[] = [];
  for (let seed = 1; index.stats().blocks < blocks; seed++) {
    const prompts = makePrompts(256, PROMPT_BLOCKS, 1000 + seed);
    const stores = fleetEvents(prompts, (prompt) => storesOf(prompt, PROMPT_BLOCKS, EVENT_BLOCKS));
    for (const [rank, event] of stores) {
      const [from, started] = [performance.now(), cpuMs()];
      index.apply(rank, event);
      const ms = cpuMs() - started;
      if (ms > 0.2) pauses.push({ from, to: performance.now(), ms });
    }
    // Lets the observer be told.
    await new Promise((resolve) => setImmediate(resolve));
  }
  observer.disconnect();
  const own = pauses.filter(
    (pause) => !collections.some(({ from, to }) => from < pause.to && to > pause.from),
  );
  return Math.max(0, ...own.map((pause) => pause.ms));
}

export const bench: Bench = {
  summary: `a million blocks on ${WORKERS} workers replaced, ${EVENT_BLOCKS} an event; the naive model`,
  floor: 10,
  async run({ quick }) {
    // First, while there is no heap of others to be collected.
    const pauseMs = await longestPauseMs(quick ? MILLION : 4 * MILLION);
    const count = (quick ? MILLION / 4 : MILLION) / PROMPT_BLOCKS;
    const [resident, fresh] = [makePrompts(count, PROMPT_BLOCKS, 1), makePrompts(count, PROMPT_BLOCKS, 2)];
    const fill = fleetEvents(resident, (prompt) => storesOf(prompt, PROMPT_BLOCKS, EVENT_BLOCKS));
    const rounds = [churn(resident, fresh), churn(fresh, resident)];
    const rate = (events: RankEvents, ms: number): number => (events.length * EVENT_BLOCKS) / ms / 1000;
    const best = { fill: 0, subject: 0, baseline: 0 };
    const wasm = new WasmIndex({ limitBytes: LIMIT_BYTES });
    const naive = new NaiveIndex();
    best.fill = rate(fill, timeMs(wasm, fill));
    timeMs(naive, fill);
    for (let round = 0; round < (quick ? 4 : 6); round++) {
      const events = rounds[round % 2]!;
      best.baseline = Math.max(best.baseline, rate(events, timeMs(naive, events)));
      best.subject = Math.max(best.subject, rate(events, timeMs(wasm, events)));
    }
    const million = makePrompts(MILLION / PROMPT_BLOCKS, PROMPT_BLOCKS, 1);
    return {
      value: best.subject,
      baseline: best.baseline,
      unit: 'million blocks/s of processor time',
      ratio: best.subject / best.baseline,
      details: {
        million_blocks_per_s_filling: rounded(best.fill),
        bytes_per_resident_1_worker: rounded(bytesPerResident(million, 1)),
        bytes_per_resident_8_workers: rounded(bytesPerResident(million, 8)),
        [`longest_apply_ms_growing_to_${quick ? 1 : 4}M_blocks`]: rounded(pauseMs),
      },
    };
  },
};
