import type { IncomingHttpHeaders } from 'node:http';
import { readAgentHints } from '../formats/openai/agent-annotations.ts';
import type { RequestExtensions } from '../formats/openai/request.ts';
import type { Conversation } from '../kv/policies/policy.ts';

/** What a client asks of the router, besides the prompt. */
export interface ClientControls {
  /** Pin of the only hop, or of the decode hop. */
  readonly workerId: string | undefined;
  readonly dpRank: number | undefined;
  /** Pin of the prefill hop. */
  readonly prefillWorkerId: string | undefined;
  readonly prefillDpRank: number | undefined;
  /** Seconds of head start in the queue. */
  readonly priority: number | undefined;
  readonly strictPriority: number | undefined;
  readonly policyClass: string | undefined;
  /** Tenant, or whatever else keeps equal prompts apart. */
  readonly cacheSalt: string | undefined;
  readonly sessionId: string | undefined;
  readonly sessionFinal: boolean;
  readonly expectedOutputTokens: number | undefined;
  readonly conversation: Conversation | undefined;
}

const MAX_U64 = 2n ** 64n - 1n;
const MAX_U32 = 2 ** 32 - 1;
const MAX_I32 = 2 ** 31 - 1;

/**
 * Reads the routing headers and `nvext`; a header beats the body field by field, and a malformed one counts as
 * absent. `nvext` is undefined where it is switched off.
 */
export function readControls(
  headers: IncomingHttpHeaders,
  nvext: RequestExtensions | undefined,
  bodySalt: string | undefined,
): ClientControls {
  const header = (...names: readonly string[]): string | undefined => firstHeader(headers, names);
  const hints = nvext?.agent_hints ?? {};
  const backend = instanceId(header('x-dynamo-worker-instance-id', 'x-worker-instance-id'));
  const prefill = instanceId(header('x-dynamo-prefill-instance-id', 'x-prefill-instance-id'));
  const dpRank = integer(header('x-dynamo-dp-rank', 'x-dp-rank', 'x-data-parallel-rank'), 0, MAX_U32);
  const prefillDpRank = integer(header('x-dynamo-prefill-dp-rank', 'x-prefill-dp-rank'), 0, MAX_U32);
  const rank = dpRank ?? nvext?.dp_rank ?? undefined;
  const prefillRank = prefillDpRank ?? nvext?.prefill_dp_rank ?? undefined;
  return {
    workerId: backend ?? nvext?.decode_worker_id ?? nvext?.backend_instance_id ?? undefined,
    dpRank: rank,
    prefillWorkerId:
      prefill ?? nvext?.prefill_worker_id ?? backend ?? nvext?.backend_instance_id ?? undefined,
    prefillDpRank: prefillRank === undefined || prefillRank === MAX_U32 ? rank : prefillRank,
    priority:
      integer(header('x-dynamo-request-priority'), -MAX_I32 - 1, MAX_I32) ??
      hints.priority ??
      hints.latency_sensitivity,
    strictPriority:
      integer(header('x-dynamo-request-strict-priority', 'x-dynamo-strict-priority'), 0, MAX_U32) ??
      hints.strict_priority,
    policyClass: header('x-dynamo-meta-policy-class'),
    cacheSalt: header('x-tenant-id') ?? nvext?.cache_salt ?? bodySalt,
    sessionId: header('x-dynamo-session-id'),
    sessionFinal: /^(true|1)$/i.test(header('x-dynamo-session-final') ?? ''),
    expectedOutputTokens: hints.osl,
    conversation: conversationOf(nvext?.annotations, header),
  };
}

/** The agent's own words on the conversation, in annotations or `x-prefix` headers; else the session as far as it tells. */
function conversationOf(
  annotations: unknown,
  header: (...names: readonly string[]) => string | undefined,
): Conversation | undefined {
  const told = readAgentHints(annotations);
  const prefixId = told.prefixId ?? header('x-prefix-id');
  if (prefixId !== undefined) {
    const total = told.totalRequests ?? integer(header('x-prefix-total-requests'), 1, MAX_I32) ?? 1;
    const iat = Number(told.iat ?? header('x-prefix-iat'));
    return { prefixId, remainingCalls: total - 1, interarrivalMs: Number.isFinite(iat) ? iat : undefined };
  }
  const sessionId = header('x-dynamo-session-id');
  const final = /^(true|1)$/i.test(header('x-dynamo-session-final') ?? '');
  return sessionId === undefined ? undefined : { prefixId: sessionId, remainingCalls: final ? 0 : 1 };
}

function firstHeader(headers: IncomingHttpHeaders, names: readonly string[]): string | undefined {
  for (const name of names) {
    const value = headers[name];
    const text = (Array.isArray(value) ? value[0] : value)?.trim();
    if (text !== undefined && text !== '') return text;
  }
  return undefined;
}

function instanceId(text: string | undefined): string | undefined {
  if (text === undefined || !/^\d{1,20}$/.test(text)) return undefined;
  const id = BigInt(text);
  return id <= MAX_U64 ? id.toString() : undefined;
}

function integer(text: string | undefined, min: number, max: number): number | undefined {
  if (text === undefined || !/^-?\d{1,10}$/.test(text)) return undefined;
  const value = Number(text);
  return value >= min && value <= max ? value : undefined;
}
