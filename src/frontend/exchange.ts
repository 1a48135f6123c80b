import type { FastifyReply } from 'fastify';
import type { EmbeddingRequest } from '../formats/openai/embeddings.ts';
import type { ChatRequest, CompletionRequest } from '../formats/openai/request.ts';
import type { ResponsesRequest } from '../formats/openai/responses-request.ts';
import type { RouterOverrides } from '../kv/route-request.ts';
import type { RequestGuard } from '../metrics/request-guard.ts';
import type { ResponseCollector } from '../metrics/response-collector.ts';
import type { ClientPresence } from '../transport/client-presence.ts';
import type { ServedModel } from './model-directory.ts';
import type { Prompt } from './prompt.ts';
import type { ClientControls } from './request-controls.ts';

/** Endpoints whose answers are chunks: they can be split over prefill and decode workers, and gone on with. */
export type ChunkedEndpoint = 'chat_completions' | 'completions';
export type Endpoint = ChunkedEndpoint | 'embeddings' | 'responses';

export const PATHS: Readonly<Record<Endpoint, string>> = {
  chat_completions: '/v1/chat/completions',
  completions: '/v1/completions',
  embeddings: '/v1/embeddings',
  responses: '/v1/responses',
};

export function isChunked(endpoint: Endpoint): endpoint is ChunkedEndpoint {
  return endpoint === 'chat_completions' || endpoint === 'completions';
}

/** A body that was read: what all endpoints share has the same names in each. */
export type ServedRequest = ChatRequest | CompletionRequest | EmbeddingRequest | ResponsesRequest;

/** One client's request under way, checked and tokenised. */
export interface Exchange {
  readonly endpoint: Endpoint;
  /** From the client, or made here; passed to the engine and back. */
  readonly requestId: string;
  readonly request: ServedRequest;
  /** The body as it came, and parsed. */
  readonly raw: Buffer;
  readonly body: Readonly<Record<string, unknown>>;
  readonly stream: boolean;
  /** Renewed when all its workers have gone and others have come. */
  model: ServedModel;
  readonly prompt: Prompt;
  readonly controls: ClientControls;
  /** Of the router's weights, for this request alone. */
  readonly overrides: RouterOverrides | undefined;
  /** Headers for the engine. */
  readonly headers: Readonly<Record<string, string>>;
  readonly receivedMs: number;
  readonly guard: RequestGuard;
  readonly collector: ResponseCollector;
  readonly client: ClientPresence;
  readonly reply: FastifyReply;
}
