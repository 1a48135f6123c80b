import { decode as unpack } from '@msgpack/msgpack';
import { SeededRandom } from '../src/base/random.ts';
import type { EngineEvent } from '../src/formats/kv-events/engine-event.ts';
import { EventDecoder } from '../src/formats/kv-events/event-decoder.ts';
import { EventEncoder } from '../src/formats/kv-events/event-encoder.ts';
import { type Bench, median, quantile, rounded, sampleInTurns } from './harness.ts';

const STORED = 32;
const REMOVED = 8;
const BLOCK_SIZE = 16;

/** What one step of a busy engine publishes. */
function payloadOf(random: SeededRandom): Uint8Array {
  const u64 = (): bigint => (BigInt(random.nextU32()) << 32n) | BigInt(random.nextU32());
  const hashes = (count: number): BigUint64Array => BigUint64Array.from({ length: count }, u64);
  const events: EngineEvent[] = [
    {
      kind: 'stored',
      blockHashes: hashes(STORED),
      parentHash: u64(),
      tokenIds: Uint32Array.from({ length: STORED * BLOCK_SIZE }, () => random.nextInt(128_256)),
      blockSize: BLOCK_SIZE,
      medium: 'GPU',
    },
    { kind: 'removed', blockHashes: hashes(REMOVED), medium: 'GPU' },
  ];
  return new EventEncoder('vllm-0.24').encode({ timestampS: 1757500000.25, dpRank: 0, events });
}

interface Raw {
  readonly block_hashes: readonly (number | bigint)[];
  readonly token_ids?: readonly number[];
}

/** The same arrays by way of a library that knows nothing of events. */
function decodeGenerically(payload: Uint8Array): bigint {
  const [, events] = unpack(payload, { useBigInt64: true }) as [number, readonly Raw[], number];
  let last = 0n;
  for (const event of events) {
    const blockHashes = BigUint64Array.from(event.block_hashes, (hash) => BigInt.asUintN(64, BigInt(hash)));
    if (event.token_ids !== undefined) Uint32Array.from(event.token_ids);
    last = blockHashes.at(-1) ?? last;
  }
  return last;
}

export const bench: Bench = {
  summary: `a KV-event batch of ${STORED} stored and ${REMOVED} removed blocks; @msgpack/msgpack and the same arrays`,
  floor: 2,
  run({ quick }) {
    const payload = payloadOf(new SeededRandom(1));
    const decoder = new EventDecoder();
    const removed = decoder.decode(payload)?.events[1];
    if (removed?.kind !== 'removed' || removed.blockHashes.at(-1) !== decodeGenerically(payload))
      throw new Error('the hashes differ');
    const { subjectUs, baselineUs } = sampleInTurns(
      () => decoder.decode(payload),
      () => decodeGenerically(payload),
      quick ? 60 : 300,
      { subject: 100, baseline: 50 },
    );
    const value = median(subjectUs);
    const baseline = median(baselineUs);
    const millionBlocks = rounded((STORED + REMOVED) / value);
    return {
      value,
      baseline,
      unit: 'us',
      ratio: baseline / value,
      details: {
        p99_us: rounded(quantile(subjectUs, 0.99)),
        bytes: payload.length,
        mblocks_per_s: millionBlocks,
      },
    };
  },
};
