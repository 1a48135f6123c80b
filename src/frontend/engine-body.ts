import {
  tokenIdFields,
  type UsageFields,
  upstreamBody,
  usageFields,
} from '../formats/openai/upstream-body.ts';
import { SALT_PREFIX } from '../kv/intake/block-salts.ts';
import type { EngineKind, WorkerInstance } from '../transport/discovery.ts';
import type { Continuation } from './continuation.ts';
import { type Exchange, isChunked } from './exchange.ts';
import type { Handoff } from './prefill-hop.ts';

export interface EngineBody extends Omit<UsageFields, 'fields'> {
  readonly body: Buffer;
  /** The engine is asked for token ids that the client did not ask for. */
  readonly stripTokenIds: boolean;
}

/** The rank of an engine that a request goes to. */
export interface EngineTarget {
  readonly instance: Pick<WorkerInstance, 'kind' | 'dpSize'>;
  readonly dpRank: number;
}

/** What engines are told of the hints that came with a request. */
export interface HintForwarding {
  /** `auto`: `nvext` goes to the engines that know it; the others get it cut out, as they may refuse what they do not know. */
  readonly nvext: 'auto' | 'always' | 'never';
  /** Whether engines get the priority, in their own polarity; they must run with priority scheduling. */
  readonly priority: boolean;
}

/**
 * What an engine is sent for a request: the client's body, or that for the rest of an answer, and what we add. Of an
 * answer that another engine may have to go on with, every chunk is to tell which tokens it is made of, or at
 * least how many there are so far: under load, engines put several into one.
 */
export function engineBody(
  exchange: Exchange,
  target: EngineTarget,
  forwarding: HintForwarding,
  continuation: Continuation | undefined,
  handoff: Handoff | undefined,
  resumable: boolean,
): EngineBody {
  const { endpoint, raw, body, request, stream } = exchange;
  const { kind } = target.instance;
  // A response tells its usage unasked.
  const { fields: asked, ...strip } = usageFields(
    stream && isChunked(endpoint),
    request.stream_options,
    resumable && KNOWS_CONTINUOUS_USAGE.has(kind),
  );
  const ids =
    resumable && stream && kind === 'vllm'
      ? tokenIdFields(body.return_token_ids)
      : { fields: {}, stripTokenIds: false };
  const fields = {
    ...asked,
    ...ids.fields,
    ...engineFields(exchange, target, forwarding),
    ...handoff?.fields,
  };
  const bytes =
    continuation === undefined
      ? upstreamBody(raw, body, fields)
      : Buffer.from(JSON.stringify({ ...continuation.body, ...fields }));
  return { body: bytes, ...strip, stripTokenIds: ids.stripTokenIds };
}

/** What every engine on a request's way is sent otherwise than the client sent it; an undefined field is cut out. */
export function engineFields(
  { body, controls: { cacheSalt, priority } }: Pick<Exchange, 'body' | 'controls'>,
  { instance: { kind, dpSize }, dpRank }: EngineTarget,
  forwarding: HintForwarding,
): Readonly<Record<string, unknown>> {
  const cut =
    body.nvext !== undefined &&
    (forwarding.nvext === 'never' || (forwarding.nvext === 'auto' && kind !== 'kvasir'));
  const sign =
    forwarding.priority && priority !== undefined && body.priority == null ? SIGN[kind] : undefined;
  return {
    ...(cacheSalt !== undefined && { cache_salt: `${SALT_PREFIX}${cacheSalt}` }),
    ...(cut && { nvext: undefined }),
    ...(sign !== undefined && priority !== undefined && { priority: sign * priority }),
    // SGLang up to 0.5.14 takes no header for it, and older ones another name.
    ...(kind === 'sglang' && dpSize > 1 && { routed_dp_rank: dpRank, data_parallel_rank: dpRank }),
  };
}

/** Others may refuse what they do not know. */
const KNOWS_CONTINUOUS_USAGE: ReadonlySet<EngineKind> = new Set(['vllm', 'sglang', 'trtllm', 'kvasir']);

/** Polarity of `priority`: vLLM serves the lowest number first, SGLang the highest; the others take none. */
const SIGN: Readonly<Partial<Record<EngineKind, 1 | -1>>> = { vllm: -1, kvasir: -1, sglang: 1 };
