import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { VirtualClock } from '../src/base/clock.ts';
import { SeededRandom } from '../src/base/random.ts';
import { routerConfig } from '../src/kv/config.ts';
import type { KvEvent } from '../src/kv/event.ts';
import { BlockHasher } from '../src/kv/hash.ts';
import { WasmIndex } from '../src/kv/index/wasm-index.ts';
import type { IntakeStream } from '../src/kv/intake/intake.ts';
import { KvRouter } from '../src/kv/kv-router.ts';
import { type Bench, rounded } from './harness.ts';

const BLOCK_SIZE = 16;
const WORKERS = 32;
/** Prompts that a worker's cache holds before it lets the oldest go. */
const HELD_PROMPTS = 64;
const PROMPT_TOKENS = 1024;
const REQUESTS_PER_STEP = 64;
const STEP_MS = 500;
const MOST_GROWTH = 1.1;
const MIB = 2 ** 20;

/** A worker with a cache that evicts, telling the router of it by numbered batches. */
class Worker {
  readonly id: string;
  readonly #stream: IntakeStream;
  #seq = 0;
  readonly #held: BigUint64Array[] = [];

  constructor(id: string, router: KvRouter) {
    this.id = id;
    router.addWorker({ workerId: id, totalKvBlocks: 10_000 });
    this.#stream = router.intake.open({ workerId: id, dpRank: 0 });
  }

  compute(hashes: { readonly local: BigUint64Array; readonly sequence: BigUint64Array }): void {
    const events: KvEvent[] = [
      { kind: 'stored', parentHash: undefined, blockHashes: hashes.sequence, localHashes: hashes.local },
    ];
    this.#held.push(hashes.sequence);
    if (this.#held.length > HELD_PROMPTS)
      events.push({ kind: 'removed', blockHashes: this.#held.shift()!.toReversed() });
    this.#stream.deliver({ seq: this.#seq++, events });
  }
}

interface Bytes {
  readonly heap: number;
  readonly wasm: number;
}

/** Bytes in use after everything that can be collected was. */
function bytesOf(index: WasmIndex, collect: () => void): Bytes {
  collect();
  collect();
  return { heap: process.memoryUsage().heapUsed, wasm: index.stats().memoryBytes };
}

export const bench: Bench = {
  summary: `routers of which a worker leaves and a new one joins every ${STEP_MS} ms of virtual time: memory in the end over that after warm-up`,
  run({ quick }) {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const [clock, random, hasher, index] = [
      new VirtualClock(),
      new SeededRandom(1),
      new BlockHasher(),
      new WasmIndex(),
    ];
    const config = routerConfig({ predictedTtlMs: 5000, affinityTtlMs: 60_000 });
    const router = new KvRouter({ blockSize: BLOCK_SIZE, clock, random, config, index });
    const workers: Worker[] = [];
    let [joined, sent] = [0, 0];
    const join = (): void => void workers.push(new Worker(String(++joined), router));
    for (let i = 0; i < WORKERS; i++) join();
    const step = (): void => {
      for (let i = 0; i < REQUESTS_PER_STEP; i++) {
        const tokens = Uint32Array.from({ length: PROMPT_TOKENS }, () => random.nextInt(100_000));
        const controls = { sessionId: `session ${sent % 5000}` };
        const selection = router.select({ requestId: String(sent++), tokens, controls });
        if (selection.kind === 'refused') throw new Error(selection.reason);
        workers
          .find(({ id }) => id === selection.worker.workerId)!
          .compute(hasher.hashPrompt(tokens, BLOCK_SIZE));
        selection.booking?.outputTokens(5);
        // Some clients never say that they are done: their leases run out.
        if (sent % 50 !== 0) selection.booking?.free();
      }
      const [left] = workers.splice(random.nextInt(workers.length), 1);
      router.removeWorker(left!.id);
      join();
      clock.advanceTo(clock.nowMs() + STEP_MS);
    };
    const steps = quick ? 2000 : 10_000;
    const warmUp = steps / 2;
    for (let i = 0; i < warmUp; i++) step();
    const before = bytesOf(index, collect);
    for (let i = warmUp; i < steps; i++) step();
    const after = bytesOf(index, collect);
    router.stop();
    const growth = Math.max(after.heap / before.heap, after.wasm / before.wasm);
    return {
      value: (after.heap + after.wasm) / MIB,
      baseline: (before.heap + before.wasm) / MIB,
      unit: 'MiB',
      ratio: 1 / growth,
      ok: growth <= MOST_GROWTH,
      details: {
        heap_growth: rounded(after.heap / before.heap),
        wasm_growth: rounded(after.wasm / before.wasm),
        workers_ever: joined,
        requests: sent,
        virtual_minutes: rounded(clock.nowMs() / 60_000),
      },
    };
  },
};
