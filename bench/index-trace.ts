import type { KvIndex } from '../src/kv/index/kv-index.ts';
import { NaiveIndex } from '../src/kv/index/naive-index.ts';
import { WasmIndex } from '../src/kv/index/wasm-index.ts';
import { type Bench, quantile, rounded } from './harness.ts';
import { expand, readRequests, type Step } from './trace-streams.ts';

const LIMIT_BYTES = 2 ** 31;
/** Of each worker, in tokens: 16384 blocks of 64. */
const CACHE_TOKENS = 2 ** 20;
const NAIVE_SHARE = 0.1;

interface Run {
  readonly blocksPerSecond: number;
  readonly findUs: readonly number[];
}

/** Looks every prompt up and applies every event, one after the other: nothing is left to be done when the time is taken. */
function run(index: KvIndex, steps: readonly Step[]): Run {
  const findUs: number[] = [];
  let blocks = 0;
  const started = performance.now();
  for (const { sequence, rank, events } of steps) {
    const asked = performance.now();
    index.match(sequence);
    findUs.push(1000 * (performance.now() - asked));
    blocks += sequence.length;
    for (const event of events) {
      index.apply(rank, event);
      if (event.kind !== 'cleared') blocks += event.blockHashes.length;
    }
  }
  return { blocksPerSecond: (1000 * blocks) / (performance.now() - started), findUs };
}

export const bench: Bench = {
  summary:
    'a conversation trace as event streams of many workers, look-ups and events drained; the naive model on a part of it',
  async run({ quick }) {
    const { requests, trace } = readRequests(quick ? 1500 : 20_000);
    const details: Record<string, number | string> = { trace, requests: requests.length };
    const cases = quick
      ? [[64, 128]]
      : [16, 64, 256].flatMap((workers) => [128, 16].map((size) => [workers, size]));
    let [value, baseline] = [0, 0];
    for (const [workers, blockSize] of cases as [number, number][]) {
      const { steps, requestBlocks, eventBlocks } = expand(requests, {
        workers,
        blockSize,
        cacheBlocks: CACHE_TOKENS / blockSize,
      });
      const index = new WasmIndex({ limitBytes: LIMIT_BYTES });
      const { blocksPerSecond, findUs } = run(index, steps);
      const { memoryBytes, residents } = index.stats();
      const name = `${workers}_workers_${blockSize}_tokens`;
      details[`${name}_million_blocks_per_s`] = rounded(blocksPerSecond / 1e6);
      details[`${name}_blocks`] = `${requestBlocks} looked up, ${eventBlocks} in events`;
      details[`${name}_find_us`] =
        `p50 ${rounded(quantile(findUs, 0.5))}, p99 ${rounded(quantile(findUs, 0.99))}`;
      details[`${name}_bytes_per_resident`] = `${rounded(memoryBytes / residents)} of ${residents}`;
      if (workers !== 64 || blockSize !== 128) continue;
      value = blocksPerSecond / 1e6;
      const part = steps.slice(0, Math.ceil(NAIVE_SHARE * steps.length));
      baseline = run(new NaiveIndex(), part).blocksPerSecond / 1e6;
    }
    return { value, baseline, unit: 'million blocks/s', ratio: value / baseline, details };
  },
};
