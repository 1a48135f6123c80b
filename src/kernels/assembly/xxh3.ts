/** XXH3-64 of one byte range with any seed (Collet, XXH3 specification); names of constants are the specification's. */

import { SECRET, SECRET_BYTES, secretOf } from './secret';

const PRIME32_1: u64 = 0x9e3779b1;
const PRIME32_2: u64 = 0x85ebca77;
const PRIME32_3: u64 = 0xc2b2ae3d;
const PRIME64_1: u64 = 0x9e3779b185ebca87;
const PRIME64_2: u64 = 0xc2b2ae3d27d4eb4f;
const PRIME64_3: u64 = 0x165667b19e3779f9;
const PRIME64_4: u64 = 0x85ebca77c2b2ae63;
const PRIME64_5: u64 = 0x27d4eb2f165667c5;
const PRIME_MX1: u64 = 0x165667919e3779f9;
const PRIME_MX2: u64 = 0x9fb21c651e98df25;

const STRIPE_BYTES: usize = 64;
const STRIPES_PER_BLOCK: usize = (SECRET_BYTES - STRIPE_BYTES) / 8;
const BLOCK_BYTES: usize = STRIPE_BYTES * STRIPES_PER_BLOCK;

export function xxh3(at: usize, length: usize, seed: u64): u64 {
  if (length > 240) return hashLong(at, length, seed);
  if (length > 128) return hash129to240(at, length, seed);
  if (length > 16) return hash17to128(at, length, seed);
  if (length > 8) return hash9to16(load<u64>(at), load<u64>(at + length - 8), length, seed);
  if (length >= 4) return hash4to8(at, length, seed);
  if (length > 0) return hash1to3(at, length, seed);
  return avalanche64(seed ^ load<u64>(SECRET, 56) ^ load<u64>(SECRET, 64));
}

/** XXH3-64 of two u64 in little-endian order: the step of the chain, without a trip through memory. */
@inline
export function xxh3OfPair(first: u64, second: u64, seed: u64): u64 {
  return hash9to16(first, second, 16, seed);
}

@inline
function hash9to16(head: u64, tail: u64, length: usize, seed: u64): u64 {
  const low = head ^ ((load<u64>(SECRET, 24) ^ load<u64>(SECRET, 32)) + seed);
  const high = tail ^ ((load<u64>(SECRET, 40) ^ load<u64>(SECRET, 48)) - seed);
  return avalanche(<u64>length + bswap(low) + high + fold(low, high));
}

function hash1to3(at: usize, length: usize, seed: u64): u64 {
  const first = <u32>load<u8>(at);
  const middle = <u32>load<u8>(at + (length >> 1));
  const last = <u32>load<u8>(at + length - 1);
  const combined = (first << 16) | (middle << 24) | last | (<u32>length << 8);
  return avalanche64(<u64>combined ^ (<u64>(load<u32>(SECRET) ^ load<u32>(SECRET, 4)) + seed));
}

function hash4to8(at: usize, length: usize, seed: u64): u64 {
  const mixedSeed = seed ^ (<u64>bswap(<u32>seed) << 32);
  const head = <u64>load<u32>(at);
  const tail = <u64>load<u32>(at + length - 4);
  let hash = (tail + (head << 32)) ^ ((load<u64>(SECRET, 8) ^ load<u64>(SECRET, 16)) - mixedSeed);
  hash ^= rotl(hash, 49) ^ rotl(hash, 24);
  hash *= PRIME_MX2;
  hash ^= (hash >> 35) + <u64>length;
  hash *= PRIME_MX2;
  return hash ^ (hash >> 28);
}

function hash17to128(at: usize, length: usize, seed: u64): u64 {
  const end = at + length;
  let sum: u64 = <u64>length * PRIME64_1;
  if (length > 96) sum += mix16(at + 48, SECRET + 96, seed) + mix16(end - 64, SECRET + 112, seed);
  if (length > 64) sum += mix16(at + 32, SECRET + 64, seed) + mix16(end - 48, SECRET + 80, seed);
  if (length > 32) sum += mix16(at + 16, SECRET + 32, seed) + mix16(end - 32, SECRET + 48, seed);
  sum += mix16(at, SECRET, seed) + mix16(end - 16, SECRET + 16, seed);
  return avalanche(sum);
}

function hash129to240(at: usize, length: usize, seed: u64): u64 {
  let sum: u64 = <u64>length * PRIME64_1;
  for (let i: usize = 0; i < 128; i += 16) sum += mix16(at + i, SECRET + i, seed);
  sum = avalanche(sum);
  const rounded = length & ~15;
  for (let i: usize = 128; i < rounded; i += 16) sum += mix16(at + i, SECRET + i - 128 + 3, seed);
  return avalanche(sum + mix16(at + length - 16, SECRET + 136 - 17, seed));
}

const lanes: usize = memory.data(64, 16);

function hashLong(at: usize, length: usize, seed: u64): u64 {
  const secret = secretOf(seed);
  resetLanes();
  const blocks = (length - 1) / BLOCK_BYTES;
  for (let block: usize = 0; block < blocks; block++) {
    accumulateStripes(at + block * BLOCK_BYTES, secret, STRIPES_PER_BLOCK);
    scramble(secret + SECRET_BYTES - STRIPE_BYTES);
  }
  const rest = at + blocks * BLOCK_BYTES;
  accumulateStripes(rest, secret, (length - 1 - blocks * BLOCK_BYTES) / STRIPE_BYTES);
  accumulate(at + length - STRIPE_BYTES, secret + SECRET_BYTES - STRIPE_BYTES - 7);
  let sum: u64 = <u64>length * PRIME64_1;
  for (let i: usize = 0; i < 64; i += 16) {
    sum += fold(load<u64>(lanes + i) ^ load<u64>(secret + i, 11), load<u64>(lanes + i, 8) ^ load<u64>(secret + i, 19));
  }
  return avalanche(sum);
}

function resetLanes(): void {
  store<u64>(lanes, PRIME32_3);
  store<u64>(lanes, PRIME64_1, 8);
  store<u64>(lanes, PRIME64_2, 16);
  store<u64>(lanes, PRIME64_3, 24);
  store<u64>(lanes, PRIME64_4, 32);
  store<u64>(lanes, PRIME32_2, 40);
  store<u64>(lanes, PRIME64_5, 48);
  store<u64>(lanes, PRIME32_1, 56);
}

function accumulateStripes(at: usize, secret: usize, count: usize): void {
  for (let stripe: usize = 0; stripe < count; stripe++) accumulate(at + stripe * STRIPE_BYTES, secret + stripe * 8);
}

/** One stripe: each lane takes the product of its keyed halves and its neighbour's raw input. */
@inline
function accumulate(at: usize, secret: usize): void {
  for (let i: usize = 0; i < 64; i += 16) {
    const input = v128.load(at + i);
    const key = v128.xor(input, v128.load(secret + i));
    const low = v128.shuffle<u32>(key, key, 0, 2, 0, 2);
    const high = v128.shuffle<u32>(key, key, 1, 3, 1, 3);
    const swapped = v128.shuffle<u64>(input, input, 1, 0);
    const sum = v128.add<u64>(v128.load(lanes + i), swapped);
    v128.store(lanes + i, v128.add<u64>(sum, v128.extmul_low<u32>(low, high)));
  }
}

function scramble(secret: usize): void {
  for (let i: usize = 0; i < 64; i += 8) {
    const lane = load<u64>(lanes + i);
    store<u64>(lanes + i, (lane ^ (lane >> 47) ^ load<u64>(secret + i)) * PRIME32_1);
  }
}

@inline
function mix16(at: usize, secret: usize, seed: u64): u64 {
  return fold(load<u64>(at) ^ (load<u64>(secret) + seed), load<u64>(at, 8) ^ (load<u64>(secret, 8) - seed));
}

/** The 128-bit product of two u64, its halves xored. */
@inline
function fold(a: u64, b: u64): u64 {
  const aLow = a & 0xffffffff;
  const aHigh = a >> 32;
  const bLow = b & 0xffffffff;
  const bHigh = b >> 32;
  const lowLow = aLow * bLow;
  const highLow = aHigh * bLow;
  const cross = (lowLow >> 32) + (highLow & 0xffffffff) + aLow * bHigh;
  const upper = (highLow >> 32) + (cross >> 32) + aHigh * bHigh;
  const lower = (cross << 32) | (lowLow & 0xffffffff);
  return upper ^ lower;
}

@inline
function avalanche(hash: u64): u64 {
  const mixed = (hash ^ (hash >> 37)) * PRIME_MX1;
  return mixed ^ (mixed >> 32);
}

/** The final mix of XXH64, which XXH3 keeps for inputs of at most three bytes. */
function avalanche64(hash: u64): u64 {
  let mixed = (hash ^ (hash >> 33)) * PRIME64_2;
  mixed = (mixed ^ (mixed >> 29)) * PRIME64_3;
  return mixed ^ (mixed >> 32);
}
