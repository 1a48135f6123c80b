import { mix32 } from '../../base/random.ts';
import type { RejectReason } from './decode-counts.ts';
import type { BlockRemoved, BlockStored, EngineEvent } from './engine-event.ts';
import type { EventDraft } from './event-draft.ts';

type Building<T> = { -readonly [K in keyof T]: T[K] };

const NO_TOKENS = new Uint32Array();
const QUADRATIC_LIMIT = 12;

/** The event that a draft amounts to, or why it amounts to none. */
export function makeEvent(draft: EventDraft): EngineEvent | RejectReason {
  switch (draft.tag) {
    case 'BlockStored':
      return makeStored(draft);
    case 'BlockRemoved':
      return makeRemoved(draft);
    case 'AllBlocksCleared':
      return draft.ownership === undefined
        ? { kind: 'cleared' }
        : { kind: 'cleared', ownership: draft.ownership };
    case 'Ignored':
      return 'ignored';
    default:
      return draft.tag === undefined ? 'malformed' : 'unknown_tag';
  }
}

function makeStored(draft: EventDraft): BlockStored | RejectReason {
  const { blockHashes, parentHash, tokenIds = NO_TOKENS, blockSize = 0 } = draft;
  if (blockHashes === undefined) return 'malformed';
  if (tokenIds.length > blockHashes.length * blockSize) return 'token_count_mismatch';
  if (parentHash !== undefined && blockHashes.includes(parentHash)) return 'hash_equals_parent';
  if (hasDuplicate(blockHashes)) return 'duplicate_hash';
  const event: Building<BlockStored> = { kind: 'stored', blockHashes, parentHash, tokenIds, blockSize };
  if (draft.lookaheadTokenId !== undefined) event.lookaheadTokenId = draft.lookaheadTokenId;
  if (draft.loraId !== undefined) event.loraId = draft.loraId;
  if (draft.loraName !== undefined) event.loraName = draft.loraName;
  if (draft.medium !== undefined) event.medium = draft.medium;
  if (draft.extraKeys !== undefined) event.extraKeys = draft.extraKeys;
  if (draft.groupIdx !== undefined) event.groupIdx = draft.groupIdx;
  if (draft.kvCacheSpecKind !== undefined) event.kvCacheSpecKind = draft.kvCacheSpecKind;
  if (draft.slidingWindow !== undefined) event.slidingWindow = draft.slidingWindow;
  if (draft.locality !== undefined) event.locality = draft.locality;
  if (draft.ownership !== undefined) event.ownership = draft.ownership;
  if (draft.sessionId !== undefined) event.sessionId = draft.sessionId;
  if (draft.cacheSalt !== undefined) event.cacheSalt = draft.cacheSalt;
  if (draft.blockMmInfos !== undefined) event.blockMmInfos = draft.blockMmInfos;
  return event;
}

function makeRemoved(draft: EventDraft): BlockRemoved | RejectReason {
  if (draft.blockHashes === undefined) return 'malformed';
  const event: Building<BlockRemoved> = { kind: 'removed', blockHashes: draft.blockHashes };
  if (draft.medium !== undefined) event.medium = draft.medium;
  if (draft.groupIdx !== undefined) event.groupIdx = draft.groupIdx;
  if (draft.locality !== undefined) event.locality = draft.locality;
  if (draft.ownership !== undefined) event.ownership = draft.ownership;
  return event;
}

function hasDuplicate(hashes: BigUint64Array): boolean {
  const words = new Uint32Array(hashes.buffer, hashes.byteOffset, 2 * hashes.length);
  if (hashes.length > QUADRATIC_LIMIT) return hasDuplicateHashed(words);
  for (let i = 2; i < words.length; i += 2) {
    for (let j = 0; j < i; j += 2) {
      if (words[i] === words[j] && words[i + 1] === words[j + 1]) return true;
    }
  }
  return false;
}

/** Open addressing over the positions: no bigint is made, O(n). */
function hasDuplicateHashed(words: Uint32Array): boolean {
  const mask = 2 ** Math.ceil(Math.log2(words.length)) - 1;
  const slots = new Int32Array(mask + 1);
  for (let i = 0; i < words.length; i += 2) {
    let slot = mix32(words[i]! ^ Math.imul(words[i + 1]!, 0x9e3779b1)) & mask;
    for (; slots[slot] !== 0; slot = (slot + 1) & mask) {
      const other = slots[slot]! - 1;
      if (words[other] === words[i] && words[other + 1] === words[i + 1]) return true;
    }
    slots[slot] = i + 1;
  }
  return false;
}
