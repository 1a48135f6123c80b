/** An image, sound or video in a prompt: its content hash and the placeholder tokens [start, end) it fills. */
export interface MultimodalObject {
  readonly mmHash: bigint;
  readonly start: number;
  readonly end: number;
}

const PAD_BASE = 1_000_000;
const PAD_BITS = 30;
const EXTRA_KEY = /^[0-9a-f]{64}$/i;

/** The objects' hashes that each block touches, ascending, each once: input of `BlockHasher.hashMultimodal`. */
export function mmHashesPerBlock(
  objects: readonly MultimodalObject[],
  blockSize: number,
  blockCount: number,
): readonly (readonly bigint[])[] {
  const blocks = Array.from({ length: blockCount }, () => new Set<bigint>());
  for (const { mmHash, start, end } of objects) {
    if (end <= start) continue;
    const last = Math.floor((end - 1) / blockSize);
    for (let block = Math.floor(start / blockSize); block <= last && block < blockCount; block++)
      blocks[block]!.add(mmHash);
  }
  return blocks.map((hashes) => [...BigUint64Array.from(hashes).sort()]);
}

/** The canonical form: placeholders become tokens named by the object, and the result hashes as plain text. */
export function substitutePlaceholders(
  tokens: Uint32Array,
  objects: readonly MultimodalObject[],
): Uint32Array {
  const substituted = tokens.slice();
  for (const { mmHash, start, end } of objects) substituted.fill(padToken(mmHash), start, end);
  return substituted;
}

/** The token that stands for an object: above all vocabularies, distinct in the low 30 bits of its hash. */
export function padToken(mmHash: bigint): number {
  return PAD_BASE + Number(BigInt.asUintN(PAD_BITS, mmHash));
}

/** The object's hash in an extra key of vLLM: the first 64 bits of a 256-bit hex digest; else undefined. */
export function mmHashOfExtraKey(key: unknown): bigint | undefined {
  if (typeof key !== 'string' || !EXTRA_KEY.test(key)) return undefined;
  return BigInt(`0x${key.slice(0, 16)}`);
}
