import { expect, test } from 'vitest';
import { traceSessions } from '../../formats/traces/sessions.ts';
import { AGENT_TRACE_BLOCK, agentSessions } from './agent-sessions.ts';

const OPTIONS = {
  sessions: 50,
  turns: 6,
  agents: 3,
  systemTokens: 2000,
  turnTokens: 300,
  outputTokens: 100,
  rate: 2,
  thinkTime: 1000,
  seed: 4,
};

test('each call repeats the one before it and its answer, behind the system prompt of its kind', () => {
  const rows = agentSessions(OPTIONS);
  const sessions = traceSessions({ rows });
  expect(sessions).toHaveLength(50);
  expect(rows.length / 50).toBeGreaterThan(4);
  expect(rows.length / 50).toBeLessThan(8);
  const kinds = new Set<number>();
  for (const { turns } of sessions) {
    kinds.add(turns[0]!.row.hashIds![0]!);
    for (const [turn, { row }] of turns.entries()) {
      expect(row.hashIds).toHaveLength(Math.ceil(row.inputLength / AGENT_TRACE_BLOCK));
      const before = turns[turn - 1]?.row;
      if (before === undefined) continue;
      expect(row.inputLength).toBeGreaterThan(before.inputLength + before.outputLength);
      expect(row.hashIds!.slice(0, before.hashIds!.length)).toEqual(before.hashIds);
    }
  }
  expect(kinds.size).toBe(3);
});

test('the same seed makes the same trace, and other lengths leave the arrivals alone', () => {
  expect(agentSessions(OPTIONS)).toEqual(agentSessions(OPTIONS));
  const arrivals = (changes: object) =>
    agentSessions({ ...OPTIONS, ...changes })
      .map(({ timestampMs }) => timestampMs)
      .filter((ms) => ms !== undefined);
  expect(arrivals({ turns: 12, outputTokens: 50 })).toEqual(arrivals({}));
});
