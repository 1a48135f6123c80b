import { traceLine } from '../src/formats/traces/write-trace.ts';
import { conversationTrace } from '../src/load/trace/conversations.ts';

/**
 * The workload of `kvasir up --demo`: 44 chats about documents of their own under four system prompts, 28 s. Reuse needs
 * a conversation's turns on one worker, which round-robin cannot give, while blocks stay far below four workers' caches.
 */
const DEMO = {
  conversations: 44,
  startWithinMs: 18_000,
  seed: 2025,
  blockSize: 512,
  systemPromptBlocks: [2, 2, 1, 1],
  documentBlocks: [2, 6],
  turns: [3, 6],
  userTokens: [60, 400],
  answerTokens: [60, 120],
  meanPauseMs: 2500,
} as const;

/** The text of `assets/traces/demo.jsonl`. */
export function makeDemoTrace(): string {
  const lines = conversationTrace(DEMO).map((row) => traceLine(row));
  return `${lines.join('\n')}\n`;
}
