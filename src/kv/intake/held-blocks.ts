import type { BlockRemoved, BlockStored, EngineEvent } from '../../formats/kv-events/engine-event.ts';
import { EventFilter } from './event-filter.ts';

/** What one block is, and where the engine has it. */
interface Held {
  /** The event of this block alone, without a medium. */
  readonly block: BlockStored;
  /** Copies by medium; none is left of a block that is kept for those that follow it. */
  readonly copies: Map<string, number>;
  /** Known blocks that follow it. */
  children: number;
}

/** More than any rank holds: beyond it the engine’s removals must have been lost. */
const MAX_BLOCKS = 4_194_304;
/** An engine may tell of a lower tier's copy after the device's is gone: so many are remembered for that. */
const MAX_GONE = 16_384;

/**
 * What one rank's engine holds, told by its own events, so that it can be told again to who comes later. Blocks are
 * told parents first: one that is gone is kept, and told as stored and removed, while a later one follows it.
 */
export class HeldBlocks {
  readonly #filter = new EventFilter();
  readonly #limit: number;
  readonly #held = new Map<bigint, Held>();
  /** Of engines that name blocks without their tokens. */
  #gone: Map<bigint, BlockStored> | undefined;
  #complete = true;

  constructor(limit = MAX_BLOCKS) {
    this.#limit = limit;
  }

  /** False once something could not be kept, until the next clear. */
  get complete(): boolean {
    return this.#complete;
  }

  /** Blocks, with those that are kept for others only. */
  get size(): number {
    return this.#held.size;
  }

  apply(event: EngineEvent): void {
    if (this.#filter.reject(event) !== undefined) return;
    if (event.kind === 'cleared') this.clear();
    else if (event.kind === 'removed') this.#remove(event);
    else if (event.tokenIds.length === 0) this.#storeKnown(event);
    else this.#store(event);
  }

  clear(): void {
    this.#held.clear();
    this.#gone?.clear();
    this.#complete = true;
  }

  /** Events that, applied to nothing, restore this. Consecutive blocks come together. */
  *events(): Generator<EngineEvent> {
    let run: Held[] = [];
    const gone: bigint[] = [];
    for (const held of this.#held.values()) {
      const last = run.at(-1);
      if (last !== undefined && !follows(held, last)) {
        yield* told(run);
        run = [];
      }
      run.push(held);
      if (held.copies.size === 0) gone.push(held.block.blockHashes[0]!);
    }
    yield* told(run);
    if (gone.length > 0) yield { kind: 'removed', blockHashes: BigUint64Array.from(gone) };
  }

  #store(event: BlockStored): void {
    const { blockHashes, blockSize, tokenIds } = event;
    const full = Math.min(blockHashes.length, Math.floor(tokenIds.length / blockSize));
    for (let i = 0; i < full; i++) {
      const hash = blockHashes[i]!;
      const held = this.#held.get(hash) ?? this.#add(hash, blockOf(event, i));
      if (held !== undefined) count(held, event.medium, 1);
    }
  }

  #add(hash: bigint, block: BlockStored): Held | undefined {
    if (this.#held.size >= this.#limit) {
      this.#complete = false;
      return undefined;
    }
    const held: Held = { block, copies: new Map(), children: 0 };
    this.#held.set(hash, held);
    const parent = block.parentHash === undefined ? undefined : this.#held.get(block.parentHash);
    if (parent !== undefined) parent.children++;
    return held;
  }

  /** An offload tier names blocks without saying what is in them. */
  #storeKnown({ blockHashes, medium }: BlockStored): void {
    this.#gone ??= new Map();
    for (const hash of blockHashes) {
      const gone = this.#gone.get(hash);
      const held = this.#held.get(hash) ?? (gone && this.#add(hash, gone));
      if (held !== undefined) count(held, medium, 1);
    }
  }

  #remove({ blockHashes, medium }: BlockRemoved): void {
    for (const hash of blockHashes) {
      const held = this.#held.get(hash);
      if (held === undefined) continue;
      count(held, medium, -1);
      this.#drop(hash, held);
    }
  }

  /** Forgets a block without copies that nothing follows, and then those before it that were kept for it. */
  #drop(hash: bigint, held: Held): void {
    let [at, last]: [bigint, Held | undefined] = [hash, held];
    while (last !== undefined && last.copies.size === 0 && last.children === 0) {
      this.#held.delete(at);
      this.#remember(at, last.block);
      const { parentHash } = last.block;
      if (parentHash === undefined) return;
      last = this.#held.get(parentHash);
      at = parentHash;
      if (last !== undefined) last.children--;
    }
  }

  #remember(hash: bigint, block: BlockStored): void {
    if (this.#gone === undefined) return;
    this.#gone.set(hash, block);
    if (this.#gone.size > MAX_GONE) this.#gone.delete(this.#gone.keys().next().value!);
  }
}

const DEVICE = 'GPU';

function count({ copies }: Held, medium: string | undefined, change: 1 | -1): void {
  const name = medium === undefined || medium === '' ? DEVICE : medium;
  const left = (copies.get(name) ?? 0) + change;
  if (left > 0) copies.set(name, left);
  else copies.delete(name);
}

/** The event of the i-th block alone; it keeps nothing of the event's arrays. */
function blockOf(event: BlockStored, i: number): BlockStored {
  const {
    blockHashes,
    blockSize,
    tokenIds,
    extraKeys,
    blockMmInfos,
    medium: _,
    lookaheadTokenId,
    ...rest
  } = event;
  const end = (i + 1) * blockSize;
  const after = end < tokenIds.length ? tokenIds[end] : lookaheadTokenId;
  return {
    ...rest,
    blockSize,
    blockHashes: blockHashes.slice(i, i + 1),
    parentHash: i === 0 ? event.parentHash : blockHashes[i - 1],
    tokenIds: tokenIds.slice(i * blockSize, end),
    ...(lookaheadTokenId !== undefined && after !== undefined && { lookaheadTokenId: after }),
    ...(extraKeys?.[i] != null && { extraKeys: [extraKeys[i]] }),
    ...(blockMmInfos?.[i] != null && { blockMmInfos: [blockMmInfos[i]] }),
  };
}

/** Whether two blocks may be told in one event. */
function follows({ block, copies }: Held, { block: before, copies: copiesBefore }: Held): boolean {
  return (
    block.parentHash === before.blockHashes[0] &&
    block.blockSize === before.blockSize &&
    block.loraName === before.loraName &&
    block.cacheSalt === before.cacheSalt &&
    block.groupIdx === before.groupIdx &&
    copies.size === copiesBefore.size &&
    [...copies].every(([medium, times]) => copiesBefore.get(medium) === times)
  );
}

/** One store for each copy; a block without any is told once, to be removed in the end. */
function* told(run: readonly Held[]): Generator<BlockStored> {
  const first = run[0];
  if (first === undefined) return;
  const blocks = run.map(({ block }) => block);
  const { lookaheadTokenId } = blocks.at(-1)!;
  const { extraKeys: _, blockMmInfos: __, ...base } = first.block;
  const event: BlockStored = {
    ...base,
    blockHashes: BigUint64Array.from(blocks, ({ blockHashes }) => blockHashes[0]!),
    tokenIds: joined(blocks.map(({ tokenIds }) => tokenIds)),
    ...(lookaheadTokenId !== undefined && { lookaheadTokenId }),
    ...lists(blocks),
  };
  if (first.copies.size === 0) yield event;
  for (const [medium, times] of first.copies)
    for (let copy = 0; copy < times; copy++) yield { ...event, medium };
}

/** What belongs to each block apart, where any has it. */
function lists(blocks: readonly BlockStored[]): Pick<BlockStored, 'extraKeys' | 'blockMmInfos'> {
  const some = (key: 'extraKeys' | 'blockMmInfos') => blocks.some((block) => block[key] !== undefined);
  const each = (key: 'extraKeys' | 'blockMmInfos') => blocks.map((block) => block[key]?.[0] ?? null);
  return {
    ...(some('extraKeys') && { extraKeys: each('extraKeys') }),
    ...(some('blockMmInfos') && { blockMmInfos: each('blockMmInfos') }),
  };
}

function joined(parts: readonly Uint32Array[]): Uint32Array {
  const all = new Uint32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
