import { BlockDirectory } from '../engine/block-directory.ts';
import type { EngineSettings } from '../engine/engine-settings.ts';
import type { BlockHasher } from '../kv/hash.ts';
import { promptOf, type Workload } from './workload.ts';

/**
 * The KV efficiency that no placement can beat: the share of prompt tokens that one engine with endless memory,
 * serving the requests one by one in order of arrival, would find cached. Answers are not counted: a trace does
 * not say which prompts repeat them.
 */
export function infiniteCacheKve(workload: Workload, engine: EngineSettings, hasher: BlockHasher): number {
  const { blockSize, backend } = engine;
  const seen = new BlockDirectory(1024);
  let slots = 0;
  let capacity = 1024;
  let hits = 0;
  let tokens = 0;
  const requests = workload.sessions.flatMap(({ turns }) => turns);
  for (const request of requests) {
    const prompt = promptOf(request, workload.traceBlockSize);
    const { sequence } = prompt.hashes(hasher, blockSize);
    const words = new Uint32Array(sequence.buffer, sequence.byteOffset, 2 * sequence.length);
    const reusable = backend === 'vllm' ? Math.floor((prompt.length - 1) / blockSize) : sequence.length;
    let block = 0;
    while (block < sequence.length && seen.find(words[2 * block]!, words[2 * block + 1]!) >= 0) block++;
    hits += Math.min(block, reusable) * blockSize;
    tokens += prompt.length;
    for (; block < sequence.length; block++) {
      if (slots === capacity) {
        capacity *= 2;
        seen.grow(capacity);
      }
      seen.add(slots++, words[2 * block]!, words[2 * block + 1]!);
    }
  }
  return tokens === 0 ? 0 : hits / tokens;
}
