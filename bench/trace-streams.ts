import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { SeededRandom } from '../src/base/random.ts';
import type { KvEvent } from '../src/kv/event.ts';
import { BlockHasher } from '../src/kv/hash.ts';

/** Tokens that one id of a trace stands for. */
const TRACE_BLOCK = 512;
const TRACE = 'data/traces/mooncake-conversation.jsonl.gz';

/** What happens at an index, in order: the look-up of a prompt, then what its worker stores and lets go. */
export interface Step {
  readonly sequence: BigUint64Array;
  readonly rank: number;
  readonly events: readonly KvEvent[];
}

export interface Streams {
  readonly steps: readonly Step[];
  readonly requestBlocks: number;
  readonly eventBlocks: number;
  /** `mooncake-conversation`, or `synthetic` where that is not at hand. */
  readonly trace: string;
}

/** Ids of the blocks of each request of the trace; conversations that grow where there is none. */
export function readRequests(count: number): {
  readonly requests: readonly number[][];
  readonly trace: string;
} {
  const path = join(process.env.KVASIR_SHARED ?? '../shared', TRACE);
  if (!existsSync(path)) return { requests: conversations(count), trace: 'synthetic' };
  const lines = gunzipSync(readFileSync(path)).toString('utf8').split('\n', count);
  const requests = lines
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as { hash_ids: number[] }).hash_ids);
  return { requests, trace: 'mooncake-conversation' };
}

function conversations(count: number): number[][] {
  const random = new SeededRandom(1);
  const open: number[][] = [];
  let fresh = 0;
  return Array.from({ length: count }, () => {
    const at = random.nextInt(200);
    const grown = [
      ...(open[at] ?? [0, 1]),
      ...Array.from({ length: 1 + random.nextInt(8) }, () => 2 + fresh++),
    ];
    if (grown.length < 64) open[at] = grown;
    else delete open[at];
    return grown;
  });
}

/**
 * The requests as the events of so many workers that serve them in turns, each with a cache of its own that lets go
 * what was used longest ago, leaves first.
 */
export function expand(
  requests: readonly number[][],
  options: { readonly workers: number; readonly blockSize: number; readonly cacheBlocks: number },
): Omit<Streams, 'trace'> {
  const { workers, blockSize, cacheBlocks } = options;
  const parts = TRACE_BLOCK / blockSize;
  const hasher = new BlockHasher();
  const caches = Array.from({ length: workers }, () => new Map<bigint, undefined>());
  let [requestBlocks, eventBlocks] = [0, 0];
  const steps = requests.map((ids, i): Step => {
    const words = new Uint32Array(2 * parts * ids.length);
    for (const [at, id] of ids.entries())
      for (let part = 0; part < parts; part++) words.set([part + 1, id + 1], 2 * (parts * at + part));
    const local = new BigUint64Array(words.buffer);
    const sequence = hasher.chain(local);
    const rank = i % workers;
    const events = serve(caches[rank]!, { local, sequence }, cacheBlocks);
    requestBlocks += sequence.length;
    for (const event of events) if (event.kind !== 'cleared') eventBlocks += event.blockHashes.length;
    return { sequence, rank, events };
  });
  return { steps, requestBlocks, eventBlocks };
}

function serve(
  cache: Map<bigint, undefined>,
  { local, sequence }: { readonly local: BigUint64Array; readonly sequence: BigUint64Array },
  cacheBlocks: number,
): KvEvent[] {
  let held = 0;
  while (held < sequence.length && cache.has(sequence[held]!)) held++;
  // The first block is used last, so that it outlives those behind it.
  for (let i = sequence.length - 1; i >= 0; i--) {
    cache.delete(sequence[i]!);
    cache.set(sequence[i]!, undefined);
  }
  const events: KvEvent[] = [];
  if (held < sequence.length)
    events.push({
      kind: 'stored',
      parentHash: held === 0 ? undefined : sequence[held - 1],
      blockHashes: sequence.slice(held),
      localHashes: local.slice(held),
    });
  const evicted: bigint[] = [];
  for (const block of cache.keys()) {
    if (cache.size <= cacheBlocks) break;
    cache.delete(block);
    evicted.push(block);
  }
  if (evicted.length > 0) events.push({ kind: 'removed', blockHashes: BigUint64Array.from(evicted) });
  return events;
}
