import type { IncomingHttpHeaders } from 'node:http';
import type { RequestExtensions } from '../formats/openai/request.ts';
import { readSession } from '../formats/openai/session.ts';
import type { AgentHintReader, RequestHints } from './agent-hints.ts';

/** What a client asks of the router, besides the prompt. */
export interface ClientControls extends RequestHints {
  /** Pin of either hop, for what the two below leave open; `hop-pin.ts` says for which. */
  readonly backendWorkerId: string | undefined;
  /** Pin of the decode hop, or of the only one. */
  readonly decodeWorkerId: string | undefined;
  readonly prefillWorkerId: string | undefined;
  /** Of the prefill hop too, unless that has its own. */
  readonly dpRank: number | undefined;
  readonly prefillDpRank: number | undefined;
  readonly strictPriority: number | undefined;
  readonly policyClass: string | undefined;
  /** Tenant, or whatever else keeps equal prompts apart. */
  readonly cacheSalt: string | undefined;
  readonly sessionId: string | undefined;
  readonly sessionFinal: boolean;
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
  agentHints: AgentHintReader,
): ClientControls {
  const header = (...names: readonly string[]): string | undefined => firstHeader(headers, names);
  const session = readSession(header);
  const hints = agentHints.read(nvext, header, session);
  const backend = instanceId(header('x-dynamo-worker-instance-id', 'x-worker-instance-id'));
  const prefill = instanceId(header('x-dynamo-prefill-instance-id', 'x-prefill-instance-id'));
  const dpRank = integer(header('x-dynamo-dp-rank', 'x-dp-rank', 'x-data-parallel-rank'), 0, MAX_U32);
  const prefillDpRank = integer(header('x-dynamo-prefill-dp-rank', 'x-prefill-dp-rank'), 0, MAX_U32);
  const prefillRank = prefillDpRank ?? nvext?.prefill_dp_rank ?? undefined;
  return {
    backendWorkerId: backend ?? nvext?.backend_instance_id ?? undefined,
    decodeWorkerId: backend ?? nvext?.decode_worker_id ?? undefined,
    prefillWorkerId: prefill ?? nvext?.prefill_worker_id ?? undefined,
    dpRank: dpRank ?? nvext?.dp_rank ?? undefined,
    prefillDpRank: prefillRank === MAX_U32 ? undefined : prefillRank,
    ...hints,
    priority: integer(header('x-dynamo-request-priority'), -MAX_I32 - 1, MAX_I32) ?? hints.priority,
    strictPriority:
      integer(header('x-dynamo-request-strict-priority', 'x-dynamo-strict-priority'), 0, MAX_U32) ??
      nvext?.agent_hints?.strict_priority,
    policyClass: header('x-dynamo-meta-policy-class'),
    cacheSalt: header('x-tenant-id') ?? nvext?.cache_salt ?? bodySalt,
    sessionId: session.id,
    sessionFinal: session.final,
  };
}

/** Whether the client names the worker that is to answer. */
export function pinsDecode({ backendWorkerId, decodeWorkerId }: ClientControls): boolean {
  return backendWorkerId !== undefined || decodeWorkerId !== undefined;
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
