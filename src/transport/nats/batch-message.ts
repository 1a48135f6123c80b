const SEQ_BYTES = 8;

/** A numbered batch as one message: the number as 8 bytes, big-endian, then the batch as its engine encoded it. */
export function packBatch(seq: number, payload: Uint8Array): Uint8Array {
  const message = Buffer.allocUnsafe(SEQ_BYTES + payload.length);
  message.writeBigUInt64BE(BigInt(seq));
  message.set(payload, SEQ_BYTES);
  return message;
}

/** Undefined for a message without a number. */
export function unpackSeq(message: Uint8Array): number | undefined {
  if (message.length < SEQ_BYTES) return undefined;
  const view = new DataView(message.buffer, message.byteOffset);
  const seq = Number(view.getBigUint64(0));
  return Number.isSafeInteger(seq) ? seq : undefined;
}

/** The batch of a message, as a copy: what NATS delivers is a view of a larger buffer. */
export function unpackPayload(message: Uint8Array): Uint8Array {
  return new Uint8Array(message.subarray(SEQ_BYTES));
}
