import type { CompletionPrompt } from '../formats/openai/prompt-schema.ts';
import { type ChatRequest, chatRendering } from '../formats/openai/request.ts';
import type { ChatMessage, ChatRenderOptions } from '../tokenizer/tokenizer.ts';

/** Makes token ids of prompts; long ones may go to another thread. */
export interface PromptEncoder {
  /** Whether these are the very tokens of the engine; if not, they only serve to tell prompts apart. */
  readonly exact: boolean;
  encode(text: string): Uint32Array | Promise<Uint32Array>;
  /** Without the special tokens that begin a prompt; absent where these cannot be left out. */
  encodeMore?(text: string): Uint32Array;
  encodeChat(
    messages: readonly ChatMessage[],
    options: ChatRenderOptions,
  ): Uint32Array | Promise<Uint32Array>;
}

export interface Prompt {
  /** What routing looks at: the prompt, or the first one of a batch. */
  readonly tokens: Uint32Array;
  /** Tokens of all prompts of the request. */
  readonly length: number;
  /** Tokens of the longest one, which the context length limits. */
  readonly longest: number;
}

export async function encodeChatPrompt(request: ChatRequest, encoder: PromptEncoder): Promise<Prompt> {
  const messages = request.messages as readonly ChatMessage[];
  const tokens = await encoder.encodeChat(messages, chatRendering(request));
  return { tokens, length: tokens.length, longest: tokens.length };
}

/** A prompt of token ids needs no encoder. */
export async function encodeCompletionPrompt(
  prompt: CompletionPrompt,
  encoder: PromptEncoder,
): Promise<Prompt> {
  if (typeof prompt === 'string') return promptOf([await encoder.encode(prompt)]);
  if (typeof prompt[0] === 'number') return promptOf([Uint32Array.from(prompt as number[])]);
  const encoded: Uint32Array[] = [];
  for (const each of prompt as (string | number[])[])
    encoded.push(typeof each === 'string' ? await encoder.encode(each) : Uint32Array.from(each));
  return promptOf(encoded);
}

function promptOf(prompts: readonly Uint32Array[]): Prompt {
  const lengths = prompts.map((prompt) => prompt.length);
  return {
    tokens: prompts[0] ?? new Uint32Array(0),
    length: lengths.reduce((sum, length) => sum + length, 0),
    longest: Math.max(0, ...lengths),
  };
}
