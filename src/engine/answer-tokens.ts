import { hash32, mix32 } from '../base/random.ts';

/** Where the tokens of answers come from; the same request gets the same answer on every worker. */
export interface AnswerTokens {
  /** Token of an answer's position, for a request named by {@link requestKey}. */
  tokenAt(key: number, position: number): number;
}

/** Draws from `vocabulary` by (seed, request, position), with no state kept: any position at any time. */
export function drawnTokens(seed: number, vocabulary: Uint32Array): AnswerTokens {
  const size = vocabulary.length;
  return { tokenAt: (key, position) => vocabulary[hash32(seed, key, position) % size]! };
}

/** Token ids `first` to `first + size - 1`. */
export function idRange(first: number, size: number): Uint32Array {
  return Uint32Array.from({ length: size }, (_, i) => first + i);
}

/** A u32 name of a request, from its id. */
export function requestKey(id: string): number {
  let key = 0;
  for (let i = 0; i < id.length; i++) key = mix32(Math.imul(key, 31) + id.charCodeAt(i));
  return key;
}
