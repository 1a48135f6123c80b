import type { BookingState } from '../../formats/replica/replica-message.ts';
import type { WorkerKey } from '../event.ts';
import type { ActiveRequest } from '../sequences/active-sequences.ts';
import { hashesOf } from '../sequences/prefix-tree.ts';

/** Blocks beyond this count as unshared, so that a message stays small. */
const MAX_HASHES = 65_536;

/** What another router must know of a booking to weigh it as this one does. */
export function stateOf(
  request: ActiveRequest,
  { workerId, dpRank }: WorkerKey,
  nowMs: number,
): BookingState {
  const hashes = hashesOf(request.prefix);
  return {
    requestId: request.requestId,
    workerId,
    dpRank,
    hashes: hashes.length > MAX_HASHES ? hashes.slice(0, MAX_HASHES) : hashes,
    ownBlocks: request.ownBlocks + Math.max(0, hashes.length - MAX_HASHES),
    weight: request.ownWeight,
    isl: request.isl,
    prefillTokens: request.prefill?.tokens ?? 0,
    expectedOutputTokens: request.expectedOutputTokens,
    ageMs: Math.max(0, nowMs - request.addedMs),
  };
}

/** Cuts a list into messages of bearable size: at most 256 items and about 256 kB of hashes each. */
export function chunksOf<T>(items: readonly T[], hashesIn: (item: T) => number): T[][] {
  const chunks: T[][] = [];
  let room = 0;
  for (const item of items) {
    const last = chunks.at(-1);
    const hashes = hashesIn(item);
    if (last === undefined || last.length >= CHUNK_ITEMS || hashes > room) {
      chunks.push([item]);
      room = CHUNK_HASHES - hashes;
    } else {
      last.push(item);
      room -= hashes;
    }
  }
  return chunks;
}

const CHUNK_ITEMS = 256;
const CHUNK_HASHES = 32_768;
