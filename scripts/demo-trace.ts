import { traceLine } from '../src/formats/traces/write-trace.ts';
import { conversationTrace } from '../src/load/trace/conversations.ts';

/**
 * The workload of `kvasir up --demo`: 50 chats, a third of them about long documents, under four system prompts. Reuse
 * needs the turns of a chat on one worker, which round-robin cannot give; few turns keep chance hits rare, and about two
 * requests in flight leave the router free to choose. All blocks together stay far below the caches of four workers.
 */
const DEMO = {
  conversations: 50,
  startWithinMs: 31_000,
  seed: 7,
  blockSize: 512,
  systemPromptBlocks: [1, 1, 1, 1],
  shortDocument: [0, 2],
  longDocument: [14, 18],
  longShare: 0.3,
  turns: [3, 4],
  userTokens: [60, 300],
  answerTokens: [60, 80],
  meanPauseMs: 2500,
} as const;

/** The text of `assets/traces/demo.jsonl`. */
export function makeDemoTrace(): string {
  const lines = conversationTrace(DEMO).map((row) => traceLine(row));
  return `${lines.join('\n')}\n`;
}
