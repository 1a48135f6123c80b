/** A sequence number as eight bytes, big-endian. */
export function seqFrame(seq: number | bigint): Buffer {
  const frame = Buffer.allocUnsafe(8);
  frame.writeBigUInt64BE(BigInt(seq));
  return frame;
}

/** The number that marks the end of a replay; its payload is empty. */
export const END_SEQ = 2n ** 64n - 1n;
