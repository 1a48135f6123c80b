import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readTraceFile } from '../../transport/trace-file.ts';
import { analyze } from './analyze.ts';
import { conversationTrace } from './conversations.ts';
import { rowReuse } from './prefix-reuse.ts';

const small = {
  conversations: 3,
  startWithinMs: 1000,
  seed: 1,
  blockSize: 16,
  systemPromptBlocks: [1],
  shortDocument: [1, 2],
  longDocument: [3, 3],
  longShare: 0.3,
  turns: [3, 3],
  userTokens: [5, 40],
  answerTokens: [2, 9],
  meanPauseMs: 100,
} as const;

describe('conversations', () => {
  test('repeat all before them, turn by turn', () => {
    const rows = conversationTrace(small);
    expect(rows).toHaveLength(9);
    expect(rows).toEqual(conversationTrace(small));
    for (const row of rows) expect(row.hashIds).toHaveLength(Math.ceil(row.inputLength / 16));
    const first = rows[0]!;
    // The second block is the conversation's own document.
    const turns = rows.filter((row) => row.hashIds![1] === first.hashIds![1]);
    expect(turns).toHaveLength(3);
    for (const [i, turn] of turns.slice(1).entries()) {
      const before = turns[i]!;
      const full = Math.floor(before.inputLength / 16);
      expect(turn.hashIds!.slice(0, full)).toEqual(before.hashIds!.slice(0, full));
      expect(turn.inputLength).toBeGreaterThanOrEqual(before.inputLength + before.outputLength + 5);
      expect(turn.timestampMs! - before.timestampMs!).toBeGreaterThanOrEqual(49);
    }
  });

  test('in the shipped trace are worth routing: one cache reuses most, a cache per worker in turn little', async () => {
    const trace = await readTraceFile(join(import.meta.dirname, '../../../assets/traces/demo.jsonl'));
    const analysis = analyze(trace);
    expect(trace.warnings).toEqual([]);
    expect(analysis.requests).toBe(176);
    expect(analysis.spanS).toBeCloseTo(35.97, 1);
    expect(analysis.columns['Input Length']!.mean).toBeCloseTo(3946.5, 0);
    expect(analysis.columns['Output Length']!.mean).toBeCloseTo(69.35, 1);
    expect(analysis.reusableTokenShare).toBeCloseTo(0.672, 3);
    const perWorker = [0, 1, 2, 3].flatMap((worker) =>
      rowReuse(
        trace.rows.filter((_, i) => i % 4 === worker),
        trace.blockSize,
      ),
    );
    const reused = perWorker.reduce((sum, row) => sum + Math.min(row.inputLength, row.hitBlocks * 512), 0);
    expect(reused / perWorker.reduce((sum, row) => sum + row.inputLength, 0)).toBeLessThan(0.34);
  });
});
