import { hash32 } from '../../src/base/random.ts';
import { BlockHasher } from '../../src/kv/hash.ts';
import { ByteTokenizer } from '../../src/tokenizer/byte-tokenizer.ts';
import { answerText } from '../../src/worker/answer-text.ts';

const hasher = new BlockHasher();
const tokenizer = new ByteTokenizer();
/** How far the next engine's text may agree with the first one's by chance. */
const CHANCE = 48;

/** What a simulated engine of seed 0 says to a prompt, one byte a token. */
export function answerTo(prompt: string, tokens: number): string {
  const ids = tokenizer.encode(prompt);
  const content = Number(
    hasher.hashBytes(new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength), 0n) & 0xffffffffn,
  );
  return answerText(hash32(hash32(0, content, 0), 0, 2), tokens);
}

/**
 * At how many places another engine went on with an answer; undefined if there is no way to get it from engines that
 * each saw the prompt and all text so far. A token missing or doubled anywhere leaves no such way.
 */
export function handovers(prompt: string, answer: string): number | undefined {
  const expected = answerTo(prompt, answer.length);
  if (expected === answer) return 0;
  let agree = 0;
  while (expected[agree] === answer[agree]) agree++;
  for (let at = agree; at >= Math.max(1, agree - CHANCE); at--) {
    const rest = answer.slice(at);
    const first = answerTo(prompt + answer.slice(0, at), 1);
    if (first !== rest[0]) continue;
    const more = handovers(prompt + answer.slice(0, at), rest);
    if (more !== undefined) return more + 1;
  }
  return undefined;
}
