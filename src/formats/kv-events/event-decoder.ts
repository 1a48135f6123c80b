import { type DecodeCounts, emptyDecodeCounts, type RejectReason } from './decode-counts.ts';
import type { EngineEvent, EngineEventBatch } from './engine-event.ts';
import { type EventDraft, emptyDraft, FIELD_NAMES, FIELDS, type Field, readField } from './event-draft.ts';
import { makeEvent } from './make-event.ts';
import { MsgpackCursor } from './msgpack-cursor.ts';
import { WordTable } from './word-table.ts';

/** Fields of events that are arrays, in the order in which the versions of vLLM and SGLang grew them. */
const STORED_FIELDS: readonly Field[] = [
  FIELDS.block_hashes,
  FIELDS.parent_block_hash,
  FIELDS.token_ids,
  FIELDS.block_size,
  FIELDS.lora_id,
  FIELDS.medium,
  FIELDS.lora_name,
  FIELDS.extra_keys,
  FIELDS.group_idx,
  FIELDS.kv_cache_spec_kind,
  FIELDS.kv_cache_spec_sliding_window,
  FIELDS.locality,
  FIELDS.ownership,
  FIELDS.session_id,
];
const REMOVED_FIELDS: readonly Field[] = [
  FIELDS.block_hashes,
  FIELDS.medium,
  FIELDS.group_idx,
  FIELDS.locality,
  FIELDS.ownership,
];
/** SGLang once put a map of `cache_salt` and `session_id` where vLLM has the name of the adapter. */
const METADATA_INDEX = STORED_FIELDS.indexOf(FIELDS.lora_name);
/** From here on patched engines left out what was nil, or put multimodal infos first. */
const TAIL_INDEX = STORED_FIELDS.indexOf(FIELDS.group_idx);
const BATCH_KEYS = new WordTable(['ts', 'events', 'data_parallel_rank', 'attn_dp_rank', 'dp_rank']);

/**
 * Decodes batches of KV events of every engine and version: positional and map events, integer and byte
 * hashes. A bad event is counted and passed over, the others of its batch are delivered. Never throws.
 */
export class EventDecoder {
  readonly counts: DecodeCounts = emptyDecodeCounts();
  readonly #cursor = new MsgpackCursor();
  #timestampS = 0;
  #dpRank: number | undefined;
  #events: EngineEvent[] = [];

  /** Undefined if the payload is no batch; what it returns keeps nothing of the payload. O(bytes). */
  decode(payload: Uint8Array): EngineEventBatch | undefined {
    this.#cursor.reset(payload);
    this.#timestampS = 0;
    this.#dpRank = undefined;
    this.#events = [];
    const readable = this.#cursor.peek() === 'map' ? this.#mapBatch() : this.#arrayBatch();
    if (!readable) {
      this.counts.malformedBatches++;
      return undefined;
    }
    this.counts.batches++;
    return { timestampS: this.#timestampS, dpRank: this.#dpRank, events: this.#events };
  }

  #arrayBatch(): boolean {
    const length = this.#cursor.arrayLength();
    if (length < 2) return false;
    if (!this.#readTimestamp() || this.#cursor.peek() !== 'array') return false;
    if (this.#readEvents() && length > 2) this.#readRank();
    return true;
  }

  #mapBatch(): boolean {
    const cursor = this.#cursor;
    const length = cursor.mapLength();
    let found = false;
    for (let i = 0; i < length; i++) {
      const key = cursor.text(BATCH_KEYS);
      if (key === 'events') {
        if (cursor.peek() !== 'array') return false;
        found = true;
        if (!this.#readEvents()) return true;
      } else if (!(key === 'ts' ? this.#readTimestamp() : this.#readOther(key))) return found;
    }
    return found;
  }

  #readOther(key: string | undefined): boolean {
    return key?.endsWith('_rank') ? this.#readRank() : this.#cursor.skip();
  }

  #readTimestamp(): boolean {
    const start = this.#cursor.position;
    const value = this.#cursor.float();
    if (Number.isFinite(value)) this.#timestampS = value;
    else this.#cursor.position = start;
    return Number.isFinite(value) || this.#cursor.skip();
  }

  #readRank(): boolean {
    const start = this.#cursor.position;
    const value = this.#cursor.uint();
    if (value >= 0) this.#dpRank = value;
    else this.#cursor.position = start;
    return value >= 0 || this.#cursor.skip();
  }

  /** False if the payload ended inside the array. */
  #readEvents(): boolean {
    const cursor = this.#cursor;
    const count = cursor.arrayLength();
    for (let i = 0; i < count; i++) {
      const start = cursor.position;
      const outcome = this.#readEvent();
      if (typeof outcome !== 'string') {
        this.counts[outcome.kind]++;
        this.#events.push(outcome);
        continue;
      }
      cursor.position = start;
      if (!cursor.skip()) {
        this.counts.truncatedBatches++;
        return false;
      }
      this.counts.rejected[outcome]++;
    }
    if (count < 0) this.counts.truncatedBatches++;
    return count >= 0;
  }

  #readEvent(): EngineEvent | RejectReason {
    const kind = this.#cursor.peek();
    const draft = emptyDraft();
    if (kind === 'map') return this.#readMap(draft) ? makeEvent(draft) : 'malformed';
    return kind === 'array' ? this.#readArray(draft) : 'malformed';
  }

  #readMap(draft: EventDraft): boolean {
    const cursor = this.#cursor;
    const length = cursor.mapLength();
    for (let i = 0; i < length; i++) {
      const name = cursor.text(FIELD_NAMES);
      if (name === undefined) return false;
      const field = Object.hasOwn(FIELDS, name) ? FIELDS[name as keyof typeof FIELDS] : undefined;
      if (!(field === undefined ? cursor.skip() : readField(cursor, field, draft))) return false;
    }
    return length >= 0;
  }

  #readArray(draft: EventDraft): EngineEvent | RejectReason {
    const length = this.#cursor.arrayLength();
    if (length < 1 || !readField(this.#cursor, FIELDS.type, draft)) return 'malformed';
    let fits: boolean;
    if (draft.tag === 'BlockStored') fits = this.#readStored(length - 1, draft);
    else if (draft.tag === 'BlockRemoved') fits = this.#readPositions(REMOVED_FIELDS, 0, length - 1, draft);
    else fits = this.#skipValues(length - 1);
    return fits ? makeEvent(draft) : 'malformed';
  }

  #readStored(length: number, draft: EventDraft): boolean {
    const cursor = this.#cursor;
    const head = Math.min(length, METADATA_INDEX);
    if (!this.#readPositions(STORED_FIELDS, 0, head, draft)) return false;
    if (length > METADATA_INDEX) {
      const fits =
        cursor.peek() === 'map' ? this.#readMap(draft) : readField(cursor, FIELDS.lora_name, draft);
      if (!fits) return false;
    }
    if (length > METADATA_INDEX + 1 && !readField(cursor, FIELDS.extra_keys, draft)) return false;
    if (length <= TAIL_INDEX) return true;
    const tail = cursor.position;
    if (this.#readPositions(STORED_FIELDS, TAIL_INDEX, length, draft)) return true;
    cursor.position = tail;
    return this.#readCompactTail(length - TAIL_INDEX, draft);
  }

  /** Reads the fields from one position to before another; what lies beyond the known ones is skipped. */
  #readPositions(fields: readonly Field[], from: number, to: number, draft: EventDraft): boolean {
    const known = Math.min(to, fields.length);
    for (let i = from; i < known; i++) if (!readField(this.#cursor, fields[i]!, draft)) return false;
    return this.#skipValues(to - known);
  }

  /** Where the fixed order does not fit, types tell the fields: first integer group, second window, text kind. */
  #readCompactTail(length: number, draft: EventDraft): boolean {
    const cursor = this.#cursor;
    draft.groupIdx = draft.slidingWindow = undefined;
    draft.kvCacheSpecKind = draft.locality = draft.ownership = draft.sessionId = undefined;
    for (let i = 0; i < length; i++) {
      const kind = cursor.peek();
      let field: Field;
      if (kind === 'int') field = draft.groupIdx === undefined ? FIELDS.group_idx : SLIDING_WINDOW;
      else if (kind === 'string') field = FIELDS.kv_cache_spec_kind;
      else if (kind === 'array' || kind === 'nil') field = FIELDS.block_mm_infos;
      else return false;
      if (!readField(cursor, field, draft)) return false;
    }
    return true;
  }

  #skipValues(count: number): boolean {
    for (let i = 0; i < count; i++) if (!this.#cursor.skip()) return false;
    return true;
  }
}

const SLIDING_WINDOW = FIELDS.kv_cache_spec_sliding_window;
