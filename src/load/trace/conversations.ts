import { exponential, SeededRandom } from '../../base/random.ts';
import type { TraceRow } from '../../formats/traces/trace.ts';

export interface ConversationOptions {
  readonly conversations: number;
  /** Conversations start spread over this time. */
  readonly startWithinMs: number;
  readonly seed: number;
  readonly blockSize: number;
  /** Blocks of each system prompt; conversations take one of them, the first more often than the next. */
  readonly systemPromptBlocks: readonly number[];
  /** Blocks of a conversation's own document: short ones, and long ones with the given share. Ranges hold both ends. */
  readonly shortDocument: readonly [number, number];
  readonly longDocument: readonly [number, number];
  readonly longShare: number;
  readonly turns: readonly [number, number];
  readonly userTokens: readonly [number, number];
  readonly answerTokens: readonly [number, number];
  /** Mean pause between two turns, counted from request to request. */
  readonly meanPauseMs: number;
}

const STREAM = { start: 1, shape: 2, length: 3, pause: 4 } as const;

/**
 * Chats about documents: a shared system prompt, a document of the conversation's own, then turns that each repeat all
 * before them. Blocks that are full once stay the same in every later turn; the last, unfilled one is the turn's own.
 * Rows are ascending by arrival, and turns arrive on the clock, so that the load is the same whatever the server does.
 */
export function conversationTrace(options: ConversationOptions): readonly TraceRow[] {
  const { seed, blockSize } = options;
  const start = new SeededRandom(seed, STREAM.start);
  const shape = new SeededRandom(seed, STREAM.shape);
  const length = new SeededRandom(seed, STREAM.length);
  const pause = new SeededRandom(seed, STREAM.pause);
  const between = (random: SeededRandom, [low, high]: readonly [number, number]): number =>
    low + random.nextInt(high - low + 1);
  let nextId = 0;
  const fresh = (count: number): number[] => Array.from({ length: count }, () => nextId++);
  const systemPrompts = options.systemPromptBlocks.map(fresh);
  const rows: Omit<TraceRow, 'line'>[] = [];
  for (let conversation = 0; conversation < options.conversations; conversation++) {
    const popular = Math.min(shape.nextInt(systemPrompts.length), shape.nextInt(systemPrompts.length));
    const document = shape.next() < options.longShare ? options.longDocument : options.shortDocument;
    const full = [...systemPrompts[popular]!, ...fresh(between(shape, document))];
    let tokens = full.length * blockSize;
    let atMs = start.next() * options.startWithinMs;
    for (let turn = between(shape, options.turns); turn > 0; turn--) {
      tokens += between(length, options.userTokens);
      full.push(...fresh(Math.floor(tokens / blockSize) - full.length));
      const hashIds = tokens % blockSize === 0 ? [...full] : [...full, ...fresh(1)];
      const outputLength = between(length, options.answerTokens);
      rows.push({ timestampMs: Math.round(atMs), inputLength: tokens, outputLength, hashIds });
      tokens += outputLength;
      atMs += options.meanPauseMs / 2 + exponential(pause, options.meanPauseMs / 2);
    }
  }
  rows.sort((a, b) => a.timestampMs! - b.timestampMs!);
  return rows.map((row, i) => ({ line: i + 1, ...row }));
}
