import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { SeededRandom } from '../../base/random.ts';
import { EventDecoder } from './event-decoder.ts';
import { MsgpackWriter } from './msgpack-writer.ts';

// KVASIR_FUZZ_CASES=10000000 npx vitest run src/formats/kv-events/fuzz.test.ts
const CASES = Number(process.env.KVASIR_FUZZ_CASES ?? 30_000);
const SEED = Number(process.env.KVASIR_FUZZ_SEED ?? 1);

const golden = new URL('../../../test/golden/kv-events/frames.json', import.meta.url);
const { frames } = JSON.parse(readFileSync(golden, 'utf8')) as { frames: { hex: string }[] };
const seeds = frames.map((frame) => Uint8Array.from(Buffer.from(frame.hex, 'hex')));
const NAMES = [
  ...['type', 'block_hashes', 'parent_block_hash', 'token_ids', 'block_size', 'lora_id', 'medium'],
  ...['extra_keys', 'group_idx', 'kv_cache_spec_kind', 'cache_salt', 'ts', 'events', 'data_parallel_rank'],
  ...['BlockStored', 'BlockRemoved', 'AllBlocksCleared', 'Ignored', 'Other', 'GPU', ''],
];

/** Makes payloads: random bytes, damaged frames, and msgpack that is valid but means little. */
class PayloadMaker {
  readonly #random: SeededRandom;
  readonly #writer = new MsgpackWriter();

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
  }

  next(): Uint8Array {
    switch (this.#random.nextInt(4)) {
      case 0:
        return this.#noise(this.#random.nextInt(64));
      case 1:
        return this.#damaged();
      case 2:
        return this.#batch();
      default:
        return this.#cutOrSpliced();
    }
  }

  #noise(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = this.#random.nextU32();
    return bytes;
  }

  #seed(): Uint8Array {
    return seeds[this.#random.nextInt(seeds.length)]!;
  }

  #damaged(): Uint8Array {
    const bytes = this.#seed().slice();
    for (let hits = 1 + this.#random.nextInt(3); hits > 0; hits--) {
      const at = this.#random.nextInt(bytes.length);
      bytes[at] = this.#random.nextInt(2)
        ? this.#random.nextU32()
        : bytes[at]! ^ (1 << this.#random.nextInt(8));
    }
    return bytes;
  }

  #cutOrSpliced(): Uint8Array {
    const a = this.#seed();
    const b = this.#seed();
    const head = a.subarray(0, this.#random.nextInt(a.length + 1));
    if (this.#random.nextInt(2)) return head;
    const tail = b.subarray(this.#random.nextInt(b.length + 1));
    const joined = new Uint8Array(head.length + tail.length);
    joined.set(head);
    joined.set(tail, head.length);
    return joined;
  }

  #batch(): Uint8Array {
    const writer = this.#writer;
    writer.array(2 + this.#random.nextInt(3));
    writer.float64(this.#random.next());
    const events = this.#random.nextInt(4);
    writer.array(events);
    for (let i = 0; i < events; i++) this.#event();
    this.#value(1);
    this.#value(1);
    return writer.take();
  }

  /** A store that may be right, with hashes so few that they collide. */
  #store(): void {
    const random = this.#random;
    const hashes = new Uint32Array(random.nextInt(20)).map(() => random.nextInt(100));
    const blockSize = random.nextInt(4);
    const tokens = random.nextInt(3) === 0 ? random.nextInt(9) : hashes.length * blockSize;
    this.#writer.array(5);
    this.#writer.string('BlockStored');
    this.#writer.u32s(hashes);
    this.#writer.int(random.nextInt(100));
    this.#writer.u32s(new Uint32Array(tokens).map(() => random.nextU32()));
    this.#writer.int(blockSize);
  }

  #event(): void {
    if (this.#random.nextInt(3) === 0) {
      this.#store();
      return;
    }
    const length = this.#random.nextInt(16);
    const positional = this.#random.nextInt(2) === 1;
    positional ? this.#writer.array(1 + length) : this.#writer.map(length);
    if (positional) this.#writer.string(NAMES[14 + this.#random.nextInt(5)]!);
    for (let i = 0; i < length; i++) {
      if (!positional) this.#writer.string(NAMES[this.#random.nextInt(NAMES.length)]!);
      this.#value(3);
    }
  }

  #value(depth: number): void {
    const writer = this.#writer;
    const random = this.#random;
    const choice = random.nextInt(depth > 0 ? 9 : 7);
    if (choice === 0) writer.nil();
    else if (choice === 1) writer.int(random.nextInt(40) - 8);
    else if (choice === 2)
      writer.bigint((BigInt(random.nextU32()) << 32n) - BigInt(random.nextInt(2)) * 2n ** 63n);
    else if (choice === 3) writer.string(NAMES[random.nextInt(NAMES.length)]!);
    else if (choice === 4) writer.bytes(this.#noise(random.nextInt(40)));
    else if (choice === 5) writer.float64(random.next() - 0.5);
    else if (choice === 6)
      writer.u32s(new Uint32Array(random.nextInt(9)).map(() => random.nextU32() >>> random.nextInt(32)));
    else this.#nested(choice === 7, random.nextInt(5), depth - 1);
  }

  #nested(array: boolean, length: number, depth: number): void {
    const writer = this.#writer;
    array ? writer.array(length) : writer.map(length);
    for (let i = 0; i < length; i++) {
      if (!array) writer.string(NAMES[this.#random.nextInt(NAMES.length)]!);
      this.#value(depth);
    }
  }
}

describe('any bytes', () => {
  test('decode without a throw, and what comes out keeps its promises', { timeout: 3_600_000 }, () => {
    const maker = new PayloadMaker(SEED);
    const decoder = new EventDecoder();
    const { counts } = decoder;
    let delivered = 0;
    let wrong = 0;
    for (let i = 0; i < CASES; i++) {
      const payload = maker.next();
      const batch = decoder.decode(payload);
      delivered += batch?.events.length ?? 0;
      for (const event of batch?.events ?? []) {
        if (event.kind === 'cleared') continue;
        if (event.blockHashes.length > payload.length) wrong++;
        if (event.kind === 'removed') continue;
        const tokens = event.tokenIds.length;
        if (tokens > event.blockHashes.length * event.blockSize) wrong++;
        if (event.blockHashes.length > 1 && new Set(event.blockHashes).size !== event.blockHashes.length)
          wrong++;
      }
    }
    expect(wrong).toBe(0);
    expect(counts.batches + counts.malformedBatches).toBe(CASES);
    expect(counts.stored + counts.removed + counts.cleared).toBe(delivered);
    // The generator reaches every outcome.
    expect(Math.min(counts.truncatedBatches, counts.malformedBatches, counts.stored)).toBeGreaterThan(
      CASES / 200,
    );
    expect(Math.min(...Object.values(counts.rejected))).toBeGreaterThan(0);
  });
});
