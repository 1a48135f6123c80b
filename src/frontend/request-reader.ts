import { parseEmbeddingRequest } from '../formats/openai/embeddings.ts';
import { parseChatRequest, parseCompletionRequest } from '../formats/openai/request.ts';
import { chatOfResponses, parseResponsesRequest } from '../formats/openai/responses-request.ts';
import type { Endpoint, ServedRequest } from './exchange.ts';
import { encodeChatPrompt, encodeCompletionPrompt, type Prompt, type PromptEncoder } from './prompt.ts';

/** A body that was checked, and the way to the tokens that it is routed by. */
export interface ReadRequest {
  readonly request: ServedRequest;
  encode(encoder: PromptEncoder): Promise<Prompt>;
}

/** Where the prompt is in a body. */
export const PROMPT_FIELDS: Readonly<Record<Endpoint, string>> = {
  chat_completions: 'messages',
  completions: 'prompt',
  embeddings: 'input',
  responses: 'input',
};

/** Checks a body. Throws `KV_REQUEST_INVALID`. */
export function readRequest(endpoint: Endpoint, body: unknown): ReadRequest {
  switch (endpoint) {
    case 'chat_completions': {
      const request = parseChatRequest(body);
      return { request, encode: (encoder) => encodeChatPrompt(request, encoder) };
    }
    case 'completions': {
      const request = parseCompletionRequest(body);
      return { request, encode: (encoder) => encodeCompletionPrompt(request.prompt, encoder) };
    }
    case 'embeddings': {
      const request = parseEmbeddingRequest(body);
      return { request, encode: (encoder) => encodeCompletionPrompt(request.input, encoder) };
    }
    case 'responses': {
      const request = parseResponsesRequest(body);
      const chat = chatOfResponses(request);
      // Input that is no messages has some length at least, for the load that it is.
      const encode = (encoder: PromptEncoder) =>
        chat === undefined
          ? encodeCompletionPrompt(JSON.stringify(request.input), encoder)
          : encodeChatPrompt(chat, encoder);
      return { request, encode };
    }
  }
}
