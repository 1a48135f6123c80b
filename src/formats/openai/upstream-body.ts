const CLOSE = 0x7d;
const WHITESPACE = new Set([0x20, 0x09, 0x0a, 0x0d]);

/**
 * The body to send on: the client's own bytes with further fields before the closing brace, so that nothing is
 * lost of numbers that JavaScript cannot hold. Only a field that the client gave too makes it a new text.
 */
export function upstreamBody(
  raw: Buffer,
  parsed: Readonly<Record<string, unknown>>,
  fields: Readonly<Record<string, unknown>>,
): Buffer {
  const names = Object.keys(fields);
  if (names.length === 0) return raw;
  const end = lastByte(raw);
  const replaces = names.some((name) => Object.hasOwn(parsed, name));
  if (replaces || raw[end] !== CLOSE || Object.keys(parsed).length === 0)
    return Buffer.from(JSON.stringify({ ...parsed, ...fields }));
  const added = Buffer.from(`,${JSON.stringify(fields).slice(1)}`);
  return Buffer.concat([raw.subarray(0, end), added]);
}

/** What is asked of an engine so that it reports usage, and what of that the client did not ask for. */
export interface UsageFields {
  readonly fields: Readonly<Record<string, unknown>>;
  /** The chunk at the end that only reports usage. */
  readonly stripUsage: boolean;
  /** The usage on every chunk. */
  readonly stripContinuous: boolean;
}

/** Makes vLLM list the tokens of the prompt and of every chunk; older ones take no notice. */
export function tokenIdFields(asked: unknown): {
  readonly fields: Readonly<Record<string, unknown>>;
  readonly stripTokenIds: boolean;
} {
  const stripTokenIds = asked !== true;
  return { fields: stripTokenIds ? { return_token_ids: true } : {}, stripTokenIds };
}

/** Makes an engine report usage at the end of a stream, or on every chunk (`continuous`). */
export function usageFields(
  stream: boolean,
  options: Readonly<Record<string, unknown>> | null | undefined,
  continuous = false,
): UsageFields {
  const stripUsage = stream && options?.include_usage !== true;
  const stripContinuous = stream && continuous && (stripUsage || options?.continuous_usage_stats !== true);
  if (!stripUsage && !stripContinuous) return { fields: {}, stripUsage, stripContinuous };
  const asked = { ...options, include_usage: true, ...(continuous && { continuous_usage_stats: true }) };
  return { fields: { stream_options: asked }, stripUsage, stripContinuous };
}

function lastByte(raw: Buffer): number {
  let end = raw.length - 1;
  while (end > 0 && WHITESPACE.has(raw[end]!)) end--;
  return end;
}
