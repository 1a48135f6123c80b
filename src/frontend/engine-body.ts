import { SALT_PREFIX } from '../kv/intake/block-salts.ts';
import type { Continuation } from './continuation.ts';
import type { Exchange } from './exchange.ts';
import type { Handoff } from './prefill-hop.ts';
import { upstreamBody, usageFields } from './upstream-body.ts';

export interface EngineBody {
  readonly body: Buffer;
  /** The engine is asked for usage that the client did not ask for. */
  readonly stripUsage: boolean;
}

/** What an engine is sent for a request: the client's body, or that for the rest of an answer, and what we add. */
export function engineBody(
  { raw, body, request, stream, controls }: Exchange,
  continuation: Continuation | undefined,
  handoff: Handoff | undefined,
): EngineBody {
  const usage = usageFields(stream, request.stream_options);
  const salt = controls.cacheSalt === undefined ? {} : { cache_salt: `${SALT_PREFIX}${controls.cacheSalt}` };
  const fields = { ...usage.fields, ...salt, ...handoff?.fields };
  const bytes =
    continuation === undefined
      ? upstreamBody(raw, body, fields)
      : Buffer.from(JSON.stringify({ ...continuation.body, ...fields }));
  return { body: bytes, stripUsage: usage.stripUsage };
}
