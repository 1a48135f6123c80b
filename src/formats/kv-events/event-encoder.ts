import { DEFAULT_DIALECT, DIALECTS, type Dialect, type DialectName, type FieldName } from './dialects.ts';
import type { BlockStored, EngineEvent, EngineEventBatch } from './engine-event.ts';
import { MsgpackWriter } from './msgpack-writer.ts';
import { isBelowDevice } from './offload-events.ts';

const TAGS = { stored: 'BlockStored', removed: 'BlockRemoved', cleared: 'AllBlocksCleared' } as const;
const DIGEST_BYTES = 32;

/** Encodes batches byte for byte as one version of an engine does; fields it does not know are left out. */
export class EventEncoder {
  readonly #dialect: Dialect;
  readonly #writer = new MsgpackWriter();
  /** Whether hashes of the event under way are digests. */
  #bytes = false;

  constructor(dialect: DialectName = DEFAULT_DIALECT) {
    this.#dialect = DIALECTS[dialect];
  }

  encode(batch: EngineEventBatch): Uint8Array {
    const writer = this.#writer;
    const { batch: shape } = this.#dialect;
    if (shape === 'map') {
      writer.map(3);
      writer.string('ts');
      writer.float64(batch.timestampS);
      writer.string('events');
      this.#events(batch.events);
      writer.string('data_parallel_rank');
    } else {
      writer.array(shape);
      writer.float64(batch.timestampS);
      this.#events(batch.events);
    }
    if (shape !== 2) writer.value(batch.dpRank);
    return writer.take();
  }

  #events(events: readonly EngineEvent[]): void {
    const { hashes, offloads } = this.#dialect;
    this.#writer.array(events.length);
    for (const event of events) {
      // Offloading connectors wrote digests whatever the engine wrote for its device.
      this.#bytes = hashes === 'bytes' || (offloads === 'named' && isBelowDevice(event));
      if (this.#dialect.event === 'array') this.#positional(event);
      else this.#mapped(event);
    }
  }

  #positional(event: EngineEvent): void {
    const names = this.#fieldsOf(event);
    this.#writer.array(1 + names.length);
    this.#writer.string(TAGS[event.kind]);
    for (const name of names) this.#field(event, name);
  }

  #mapped(event: EngineEvent): void {
    const { required } = this.#dialect;
    const names = this.#fieldsOf(event).filter(
      (name) => required.includes(name) || VALUE_OF[name](event as BlockStored) !== undefined,
    );
    this.#writer.map(1 + names.length);
    this.#writer.string('type');
    this.#writer.string(TAGS[event.kind]);
    for (const name of names) {
      this.#writer.string(name);
      this.#field(event, name);
    }
  }

  #fieldsOf(event: EngineEvent): readonly FieldName[] {
    return event.kind === 'cleared' ? [] : this.#dialect[event.kind];
  }

  #field(event: EngineEvent, name: FieldName): void {
    const value = VALUE_OF[name](event as BlockStored);
    if (value instanceof BigUint64Array) {
      this.#writer.array(value.length);
      for (const hash of value) this.#hash(hash);
    } else if (value instanceof Uint32Array) this.#tokens(event as BlockStored, value);
    else if (name === 'parent_block_hash') this.#parent(value as bigint | undefined);
    else this.#writer.value(value);
  }

  #tokens(event: BlockStored, tokens: Uint32Array): void {
    const { lookaheadTokenId } = event;
    if (lookaheadTokenId === undefined) {
      this.#writer.u32s(tokens);
      return;
    }
    this.#writer.array(tokens.length);
    for (let i = 0; i < tokens.length; i++) {
      this.#writer.array(2);
      this.#writer.int(tokens[i]!);
      this.#writer.int(tokens[i + 1] ?? lookaheadTokenId);
    }
  }

  #parent(parent: bigint | undefined): void {
    if (parent !== undefined) this.#hash(parent);
    else if (this.#dialect.hashes === 'wide') this.#hash(0n);
    else this.#writer.nil();
  }

  #hash(hash: bigint): void {
    const writer = this.#writer;
    const { hashes } = this.#dialect;
    if (this.#bytes) writer.bytes(digestOf(hash));
    else if (hashes === 'unsigned') writer.bigint(hash);
    else if (hashes === 'signed') writer.bigint(BigInt.asIntN(64, hash));
    else writer.wideU64(hash);
  }
}

// Removed events have a subset of the fields of stored ones; a field that is not there reads undefined.
const VALUE_OF: Readonly<Record<FieldName, (event: BlockStored) => unknown>> = {
  block_hashes: (event) => event.blockHashes,
  parent_block_hash: (event) => event.parentHash,
  token_ids: (event) => event.tokenIds,
  block_size: (event) => event.blockSize,
  lora_id: (event) => event.loraId,
  medium: (event) => event.medium,
  lora_name: (event) => event.loraName,
  extra_keys: (event) => event.extraKeys,
  group_idx: (event) => event.groupIdx,
  kv_cache_spec_kind: (event) => event.kvCacheSpecKind,
  kv_cache_spec_sliding_window: (event) => event.slidingWindow,
  locality: (event) => event.locality,
  ownership: (event) => event.ownership,
  session_id: (event) => event.sessionId,
  cache_salt: (event) => event.cacheSalt,
  block_mm_infos: (event) => event.blockMmInfos,
};

/** A 32-byte digest that stands for a u64: consumers read its last eight bytes. */
function digestOf(hash: bigint): Uint8Array {
  const digest = new Uint8Array(DIGEST_BYTES);
  new DataView(digest.buffer).setBigUint64(DIGEST_BYTES - 8, hash);
  return digest;
}
