import { xxh3 } from '@node-rs/xxhash';
import { SeededRandom } from '../src/base/random.ts';
import { BlockHasher } from '../src/kv/hash.ts';
import { type Bench, median, quantile, rounded, sampleInTurns } from './harness.ts';

const TOKENS = 8192;
const BLOCK_SIZE = 16;
const SEED = 1337n;

/** Local and chained hashes with one native call per block and per step of the chain. */
function hashNatively(tokens: Uint32Array): BigUint64Array {
  const bytes = new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength);
  const pair = new BigUint64Array(2);
  const pairBytes = new Uint8Array(pair.buffer);
  const count = tokens.length / BLOCK_SIZE;
  const sequence = new BigUint64Array(count);
  for (let block = 0; block < count; block++) {
    const local = xxh3.xxh64(bytes.subarray(4 * BLOCK_SIZE * block, 4 * BLOCK_SIZE * (block + 1)), SEED);
    pair[0] = sequence[block - 1] ?? 0n;
    pair[1] = local;
    sequence[block] = block === 0 ? local : xxh3.xxh64(pairBytes, SEED);
  }
  return sequence;
}

export const bench: Bench = {
  summary: `local and chained hashes of ${TOKENS} tokens, block ${BLOCK_SIZE}; a native call per block`,
  floor: 10,
  run({ quick }) {
    const random = new SeededRandom(1);
    const tokens = Uint32Array.from({ length: TOKENS }, () => random.nextInt(128_256));
    const hasher = new BlockHasher();
    const found = hasher.hashPrompt(tokens, BLOCK_SIZE).sequence;
    if (found.at(-1) !== hashNatively(tokens).at(-1)) throw new Error('the hashes differ');
    const { subjectUs, baselineUs } = sampleInTurns(
      () => hasher.hashPrompt(tokens, BLOCK_SIZE),
      () => hashNatively(tokens),
      quick ? 60 : 300,
      { subject: 50, baseline: 5 },
    );
    const value = median(subjectUs);
    const baseline = median(baselineUs);
    return {
      value,
      baseline,
      unit: 'us',
      ratio: baseline / value,
      details: { p99_us: rounded(quantile(subjectUs, 0.99)), blocks: TOKENS / BLOCK_SIZE },
    };
  },
};
