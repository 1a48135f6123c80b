import { decode, encode } from '@msgpack/msgpack';
import type { BookingState, ReplicaMessage, ReplicaOp, RouterLife } from './replica-message.ts';

/** First item of every message: a reader of another version leaves it alone. */
const VERSION = 1;
const MAX_NAME = 256;
/** More than any sender puts into one message. */
const MAX_ITEMS = 65_536;
const KINDS = ['ops', 'hello', 'bye', 'ask', 'snapshot'] as const;
const OPS = ['add', 'prefill_complete', 'output_block', 'free'] as const;

/** One message as msgpack: positional arrays, hashes as little-endian bytes. */
export function encodeReplicaMessage(message: ReplicaMessage): Uint8Array {
  const { router, incarnation } = message.from;
  const head = [VERSION, KINDS.indexOf(message.kind), router, incarnation];
  switch (message.kind) {
    case 'ops':
      return encode([...head, message.first, message.ops.map(opItem), message.sentMs]);
    case 'hello':
      return encode([...head, message.restore]);
    case 'bye':
      return encode(head);
    case 'ask':
      return encode([...head, message.of, message.next]);
    case 'snapshot': {
      const { about, next, part, parts, bookings } = message;
      const items = bookings.map(bookingItem);
      return encode([...head, about.router, about.incarnation, next, part, parts, items]);
    }
  }
}

/** Undefined for bytes that are no message of this version: nothing in them is trusted. */
export function decodeReplicaMessage(bytes: Uint8Array): ReplicaMessage | undefined {
  try {
    return readMessage(decode(bytes, { maxArrayLength: MAX_ITEMS, maxStrLength: 4096, maxMapLength: 0 }));
  } catch {
    return undefined;
  }
}

function opItem(op: ReplicaOp): unknown[] {
  const kind = OPS.indexOf(op.kind);
  if (op.kind === 'add') return [kind, bookingItem(op.booking)];
  if (op.kind === 'output_block') return [kind, op.requestId, op.blocks, op.fraction ?? null];
  return [kind, op.requestId];
}

function bookingItem(booking: BookingState): unknown[] {
  const { requestId, workerId, dpRank, hashes, ownBlocks, weight, isl, prefillTokens } = booking;
  const { expectedOutputTokens = null, ageMs } = booking;
  const bytes = new Uint8Array(hashes.buffer, hashes.byteOffset, hashes.byteLength);
  return [
    requestId,
    workerId,
    dpRank,
    bytes,
    ownBlocks,
    weight,
    isl,
    prefillTokens,
    expectedOutputTokens,
    ageMs,
  ];
}

function readMessage(value: unknown): ReplicaMessage | undefined {
  const [version, kind, router, incarnation, ...rest] = value as unknown[];
  if (version !== VERSION) return undefined;
  const from = life(router, incarnation);
  switch (KINDS[kind as number]) {
    case 'ops':
      return {
        kind: 'ops',
        from,
        first: count(rest[0]),
        ops: (rest[1] as unknown[][]).map(readOp),
        sentMs: amount(rest[2]),
      };
    case 'hello':
      return { kind: 'hello', from, restore: rest[0] === true };
    case 'bye':
      return { kind: 'bye', from };
    case 'ask':
      return { kind: 'ask', from, of: name(rest[0]), next: count(rest[1]) };
    case 'snapshot':
      return {
        kind: 'snapshot',
        from,
        about: life(rest[0], rest[1]),
        next: count(rest[2]),
        part: count(rest[3]),
        parts: count(rest[4]),
        bookings: (rest[5] as unknown[][]).map(readBooking),
      };
    default:
      return undefined;
  }
}

function readOp([kind, first, second, third]: unknown[]): ReplicaOp {
  switch (OPS[kind as number]) {
    case 'add':
      return { kind: 'add', booking: readBooking(first as unknown[]) };
    case 'prefill_complete':
      return { kind: 'prefill_complete', requestId: requestId(first) };
    case 'output_block':
      return {
        kind: 'output_block',
        requestId: requestId(first),
        blocks: count(second),
        fraction: third === null ? undefined : share(third),
      };
    case 'free':
      return { kind: 'free', requestId: requestId(first) };
    default:
      throw new Error('unknown change');
  }
}

function readBooking(item: unknown[]): BookingState {
  const [id, workerId, dpRank, bytes, ownBlocks, weight, isl, prefillTokens, expected, ageMs] = item;
  if (typeof workerId !== 'string' || !/^\d{1,20}$/.test(workerId)) throw new Error('no worker id');
  if (!(bytes instanceof Uint8Array) || bytes.length % 8 !== 0) throw new Error('no hashes');
  return {
    requestId: requestId(id),
    workerId,
    dpRank: count(dpRank),
    // A copy of its own: decoded bytes are views of the whole message (and a Buffer's `slice` would be one too).
    hashes: new BigUint64Array(new Uint8Array(bytes).buffer),
    ownBlocks: amount(ownBlocks),
    weight: share(weight),
    isl: count(isl),
    prefillTokens: count(prefillTokens),
    expectedOutputTokens: expected === null ? undefined : count(expected),
    ageMs: amount(ageMs),
  };
}

function life(router: unknown, incarnation: unknown): RouterLife {
  return { router: name(router), incarnation: count(incarnation) };
}

function name(value: unknown): string {
  if (typeof value === 'string' && value !== '' && value.length <= MAX_NAME) return value;
  throw new Error('no name');
}

function requestId(value: unknown): string {
  if (typeof value === 'string' && value !== '') return value;
  throw new Error('no request id');
}

function count(value: unknown): number {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  throw new Error('no count');
}

function amount(value: unknown): number {
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
  throw new Error('no amount');
}

function share(value: unknown): number {
  return Math.min(1, amount(value));
}
