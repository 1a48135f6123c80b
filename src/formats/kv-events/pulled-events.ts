import type { EngineEvent } from './engine-event.ts';

/** Events of one rank of a pull. */
export interface PulledEvents {
  readonly dpRank: number;
  readonly events: readonly EngineEvent[];
  /** What stands between these events and those before: nothing, events that were lost, or a new start of the engine. */
  readonly after: 'nothing' | 'loss' | 'restart';
}

type Json = Readonly<Record<string, unknown>>;

/** Levels of TensorRT-LLM's cache, as others name them. */
const MEDIA = ['GPU', 'CPU_PINNED'] as const;
/** Partial blocks and blocks in host memory that are remembered. */
const MAX_REMEMBERED = 1_000_000;

/** What is known of one rank. */
interface Rank {
  lastId: number | undefined;
  /** Windows of attention; blocks of the largest are whole prefixes. */
  window: number | undefined;
  readonly partial: Set<bigint>;
  /** Of blocks that are not on the device. */
  readonly levels: Map<bigint, number>;
}

/**
 * Reads the events that TensorRT-LLM hands out when asked (`POST /kv_cache_events`), as the other engines' form has
 * them: numbers in the texts may be bigints. Blocks that are not full are left out, and so is what follows them. What is
 * malformed is counted in `malformed` and costs only itself.
 */
export class PulledEventReader {
  readonly #ranks = new Map<number, Rank>();
  #blockSize: number;
  malformed = 0;

  /** `blockSize` in tokens; where it is not known, the longest block seen. */
  constructor(blockSize: number | undefined) {
    this.#blockSize = blockSize ?? 0;
  }

  read(answer: unknown): readonly PulledEvents[] {
    const pulled = new Map<number, { events: EngineEvent[]; after: PulledEvents['after'] }>();
    for (const each of Array.isArray(answer) ? answer : []) {
      const id = numberOf(fieldOf(each, 'event_id'));
      const data = fieldOf(each, 'data');
      if (id === undefined || typeof data !== 'object' || data === null) {
        this.malformed++;
        continue;
      }
      const dpRank = numberOf(fieldOf(each, 'attention_dp_rank')) ?? 0;
      const after = this.#follow(dpRank, id);
      let batch = pulled.get(dpRank);
      if (batch === undefined || after === 'restart') {
        batch = { events: [], after };
        pulled.set(dpRank, batch);
      } else if (after === 'loss' && batch.after === 'nothing') batch.after = 'loss';
      batch.events.push(...this.#convert(this.#ranks.get(dpRank)!, each as Json, data as Json));
    }
    return [...pulled].map(([dpRank, { events, after }]) => ({ dpRank, events, after }));
  }

  #follow(dpRank: number, id: number): PulledEvents['after'] {
    const known = this.#ranks.get(dpRank);
    const lastId = known?.lastId;
    if (known === undefined || (lastId !== undefined && id <= lastId)) {
      this.#ranks.set(dpRank, { lastId: id, window: undefined, partial: new Set(), levels: new Map() });
      if (known !== undefined) return 'restart';
      return id === 0 ? 'nothing' : 'loss';
    }
    known.lastId = id;
    return lastId === undefined || id === lastId + 1 ? 'nothing' : 'loss';
  }

  #convert(rank: Rank, { window_size }: Json, data: Json): EngineEvent[] {
    const window = numberOf(window_size);
    if (data.type === 'created') {
      if (window !== undefined) rank.window = Math.max(rank.window ?? 0, window);
      return [];
    }
    if (window !== undefined && rank.window !== undefined && window !== rank.window) return [];
    if (data.type === 'stored') return this.#stored(rank, data);
    if (data.type === 'removed') return removed(rank, data);
    if (data.type === 'updated') return moved(rank, data);
    this.malformed++;
    return [];
  }

  #stored(rank: Rank, { parent_hash, blocks, lora_name, cache_salt }: Json): EngineEvent[] {
    const list = Array.isArray(blocks) ? (blocks as unknown[]) : [];
    const read = list.map((block) => ({
      hash: hashOf(fieldOf(block, 'block_hash')),
      tokens: tokensOf(fieldOf(block, 'tokens')),
      level: numberOf(fieldOf(block, 'cache_level')) ?? 0,
    }));
    this.#blockSize = Math.max(this.#blockSize, ...read.map(({ tokens }) => tokens?.length ?? 0));
    const cut = read.findIndex(
      ({ hash, tokens }) => hash === undefined || tokens?.length !== this.#blockSize,
    );
    const full = cut === -1 ? read : read.slice(0, cut);
    for (const { hash } of read.slice(full.length)) if (hash !== undefined) remember(rank.partial, hash);
    const parentHash = parent_hash == null ? undefined : hashOf(parent_hash);
    if (full.length === 0 || this.#blockSize === 0) return [];
    for (const { hash, level } of full) setLevel(rank, hash!, level);
    return [
      {
        kind: 'stored',
        blockHashes: BigUint64Array.from(full, ({ hash }) => hash!),
        parentHash,
        tokenIds: Uint32Array.from(full.flatMap(({ tokens }) => tokens!)),
        blockSize: this.#blockSize,
        ...(full.every(({ level }) => level > 0) && { medium: MEDIA[1] }),
        ...(typeof lora_name === 'string' && { loraName: lora_name }),
        ...(typeof cache_salt === 'string' && { cacheSalt: cache_salt }),
      },
    ];
  }
}

/** The removal of a partial block is nobody's business. */
function removed(rank: Rank, { block_hashes }: Json): EngineEvent[] {
  const events: EngineEvent[] = [];
  for (const given of Array.isArray(block_hashes) ? block_hashes : []) {
    const hash = hashOf(given);
    if (hash === undefined || rank.partial.delete(hash)) continue;
    events.push(removal(hash, rank.levels.get(hash) ?? 0));
    rank.levels.delete(hash);
  }
  return events;
}

/** A block went to host memory, or came back. */
function moved(rank: Rank, { block_hash, cache_level }: Json): EngineEvent[] {
  const hash = hashOf(block_hash);
  const level = numberOf(fieldOf(cache_level, 'new_value'));
  if (hash === undefined || level === undefined || rank.partial.has(hash)) return [];
  const before = rank.levels.get(hash) ?? 0;
  if (before === level) return [];
  setLevel(rank, hash, level);
  return [
    {
      kind: 'stored',
      blockHashes: BigUint64Array.of(hash),
      parentHash: undefined,
      tokenIds: new Uint32Array(0),
      blockSize: 0,
      medium: mediumOf(level),
    },
    removal(hash, before),
  ];
}

function removal(hash: bigint, level: number): EngineEvent {
  return { kind: 'removed', blockHashes: BigUint64Array.of(hash), medium: mediumOf(level) };
}

function mediumOf(level: number): string {
  return MEDIA[Math.min(level, 1)]!;
}

function setLevel({ levels }: Rank, hash: bigint, level: number): void {
  levels.delete(hash);
  if (level === 0) return;
  levels.set(hash, level);
  if (levels.size > MAX_REMEMBERED) levels.delete(levels.keys().next().value!);
}

function remember(partial: Set<bigint>, hash: bigint): void {
  partial.add(hash);
  if (partial.size > MAX_REMEMBERED) partial.delete(partial.keys().next().value!);
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Json)[name] : undefined;
}

/** Undefined where a token is more than its id, such as a part of a picture. */
function tokensOf(value: unknown): readonly number[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const ids = value.map((token) => {
    const extra = fieldOf(token, 'token_extra_id');
    return extra == null || Number(extra) === 0 ? numberOf(fieldOf(token, 'token_id')) : undefined;
  });
  return ids.every((id) => id !== undefined && id < 2 ** 32) ? (ids as number[]) : undefined;
}

function numberOf(value: unknown): number | undefined {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : undefined;
}

function hashOf(value: unknown): bigint | undefined {
  if (typeof value === 'bigint') return BigInt.asUintN(64, value);
  return Number.isSafeInteger(value) ? BigInt.asUintN(64, BigInt(value as number)) : undefined;
}
