import { fail, toError } from '../base/errors.ts';
import type { HttpClient } from '../transport/http-client.ts';
import type { GenerationRequest } from './generation-request.ts';

/** vLLM's `kv_load_failure_policy`: what becomes of a request whose KV cannot be fetched. */
export type LoadFailurePolicy = 'fail' | 'recompute';

export interface FetchOptions {
  readonly client: HttpClient;
  readonly policy: LoadFailurePolicy;
  /** The fetch came to nothing. */
  readonly onFailed: (tokens: number) => void;
  readonly signal: AbortSignal;
}

/** Longer than the other side keeps or waits. */
const TIMEOUT_MS = 35_000;

/**
 * Claims the KV of a destination's prompt from the engine that computed it, which gives it once. A request that does
 * not say where is computed here, as vLLM does; one whose KV is not to be had fails, or is computed here too.
 */
export async function fetchHandoff(
  generation: GenerationRequest,
  options: FetchOptions,
): Promise<GenerationRequest> {
  const target = targetOf(generation);
  if (target === undefined) return generation.handoff === 'destination' ? alone(generation) : generation;
  const tokens = generation.prompts.reduce((sum, prompt) => sum + prompt.length, 0);
  const refused = await claim(target, tokens, options);
  if (options.signal.aborted) return generation;
  if (refused === undefined) return { ...generation, handoff: 'destination' };
  options.onFailed(tokens);
  if (options.policy === 'recompute') return alone(generation);
  throw fail('KV_HANDOFF_FAILED', { url: target.url, reason: refused });
}

interface Target {
  readonly url: string;
  readonly body: object;
  readonly engineId: string | undefined;
}

function targetOf({ handoff, remote, room }: GenerationRequest): Target | undefined {
  if (handoff === 'destination' && remote !== undefined) {
    const { host, port, requestId, engineId } = remote;
    return { url: `http://${host}:${port}/kv/handoff`, body: { request_id: requestId }, engineId };
  }
  if (handoff !== 'none' || room?.host === undefined || room.port === undefined) return undefined;
  return {
    url: `http://${room.host}:${room.port}/kv/handoff`,
    body: { room: room.room },
    engineId: undefined,
  };
}

/** Why the KV is not to be had; undefined if it is. */
async function claim(
  target: Target,
  tokens: number,
  { client, signal }: FetchOptions,
): Promise<string | undefined> {
  const { url, body, engineId } = target;
  try {
    const { status, body: answer } = await client.json(url, {
      method: 'POST',
      body,
      timeoutMs: TIMEOUT_MS,
      signal,
    });
    const { engine_id, tokens: kept } = (answer ?? {}) as { engine_id?: unknown; tokens?: unknown };
    if (status !== 200) return `it answered ${status}: nothing is kept under that name, or not any more`;
    if (engineId !== undefined && engine_id !== engineId) return `it is engine ${engine_id}, not ${engineId}`;
    return kept === tokens ? undefined : `it keeps ${kept} tokens, and the prompt has ${tokens}`;
  } catch (thrown) {
    return toError(thrown).message;
  }
}

function alone(generation: GenerationRequest): GenerationRequest {
  return { ...generation, handoff: 'none', remote: undefined, room: undefined };
}
