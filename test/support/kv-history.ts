import { SeededRandom } from '../../src/base/random.ts';
import type { KvEvent } from '../../src/kv/event.ts';
import { BlockHasher } from '../../src/kv/hash.ts';
import { TIERS } from '../../src/kv/index/kv-index.ts';

/** One thing that happens to a fleet: an event of a rank or, without one, the rank leaves. */
export interface Happening {
  readonly rank: number;
  readonly event: KvEvent | undefined;
}

interface Prompt {
  readonly local: BigUint64Array;
  readonly sequence: BigUint64Array;
}

const PROMPTS = 300;
const MAX_BLOCKS = 48;
const EVENT_BLOCKS = 12;

/**
 * An endless random history of a fleet that serves prompts with shared prefixes: stores and removes in and out of
 * order, in all tiers, ids that repeat or are taken over, ranks that are cleared, leave and come back.
 */
export class KvHistory {
  readonly #random: SeededRandom;
  readonly #hasher = new BlockHasher();
  readonly #ranks: number;
  readonly #prompts: Prompt[] = [];

  constructor(seed: number, ranks: number) {
    this.#random = new SeededRandom(seed);
    this.#ranks = ranks;
    for (let i = 0; i < PROMPTS; i++) this.#prompts.push(this.#makePrompt());
  }

  next(): Happening {
    const random = this.#random;
    // Some ranks are busier than others.
    const rank = Math.min(random.nextInt(this.#ranks), random.nextInt(this.#ranks));
    const dice = random.nextInt(2000);
    if (dice === 0) return { rank, event: undefined };
    if (dice === 1) return { rank, event: { kind: 'cleared' } };
    if (dice < 40) this.#prompts[random.nextInt(PROMPTS)] = this.#makePrompt();
    return { rank, event: dice < 1150 ? this.#store(rank) : this.#remove(rank) };
  }

  /** The chained hashes of some prompt that the fleet may have seen. */
  prompt(): BigUint64Array {
    return this.#prompts[this.#random.nextInt(PROMPTS)]!.sequence;
  }

  /** A beginning of an earlier prompt with new blocks behind it. */
  #makePrompt(): Prompt {
    const random = this.#random;
    const source = this.#prompts[random.nextInt(Math.max(1, this.#prompts.length))];
    const kept = source === undefined ? 0 : random.nextInt(source.local.length);
    const fresh = 1 + random.nextInt(MAX_BLOCKS - Math.min(kept, MAX_BLOCKS - 1));
    const local = new BigUint64Array(kept + fresh);
    if (source !== undefined) local.set(source.local.subarray(0, kept));
    for (let i = kept; i < local.length; i++) local[i] = BigInt(random.nextU32());
    return { local, sequence: this.#hasher.chain(local) };
  }

  #store(rank: number): KvEvent {
    const { prompt, from, to } = this.#range();
    const naming = this.#naming();
    return {
      kind: 'stored',
      ...this.#tier(),
      parentHash: from === 0 ? undefined : idOf(rank, prompt.sequence[from - 1]!, naming),
      blockHashes: prompt.sequence.slice(from, to).map((hash) => idOf(rank, hash, naming)),
      localHashes: prompt.local.slice(from, to),
    };
  }

  #remove(rank: number): KvEvent {
    const { prompt, from, to } = this.#range();
    const naming = this.#naming();
    const ids = prompt.sequence.slice(from, to).map((hash) => idOf(rank, hash, naming));
    const order = this.#random.nextInt(3);
    if (order === 0) ids.reverse();
    return {
      kind: 'removed',
      ...this.#tier(),
      blockHashes: order === 1 ? ids.filter(() => this.#random.nextInt(2) === 0) : ids,
    };
  }

  /** Consecutive blocks of a prompt, from its beginning half the time. */
  #range(): { readonly prompt: Prompt; readonly from: number; readonly to: number } {
    const random = this.#random;
    const prompt = this.#prompts[random.nextInt(PROMPTS)]!;
    const from = random.nextInt(2) === 0 ? 0 : random.nextInt(prompt.local.length);
    return { prompt, from, to: Math.min(prompt.local.length, from + 1 + random.nextInt(EVENT_BLOCKS)) };
  }

  #tier(): Pick<KvEvent & { kind: 'removed' }, 'tier'> {
    return this.#random.nextInt(8) === 0 ? { tier: TIERS[1 + this.#random.nextInt(3)]! } : {};
  }

  #naming(): number {
    const dice = this.#random.nextInt(100);
    return dice < 2 ? 1 : dice < 3 ? 2 : 0;
  }
}

/** A rank's id of a block: its usual one, a second one, or one of few that blocks take from each other. */
function idOf(rank: number, hash: bigint, naming: number): bigint {
  if (naming === 2) return hash % 64n;
  return BigInt.asUintN(64, hash + BigInt(rank * 2 + naming));
}
