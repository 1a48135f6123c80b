import { exponential, type Random, SeededRandom } from '../../base/random.ts';
import { int, number, type SettingsOf, text } from '../../base/settings.ts';
import type { TraceRow } from '../../formats/traces/trace.ts';

/** Tokens behind one hash id, as in Mooncake's own traces. */
export const AGENT_TRACE_BLOCK = 512;

export const AGENT_TRACE_SETTINGS = {
  outputFile: text({ placeholder: 'FILE', help: 'where to write the rows; stdout when absent' }),
  sessions: int({ default: 200, min: 1, help: 'conversations of agents' }),
  turns: number({ default: 8, min: 1, help: 'calls of a conversation, on average' }),
  agents: int({ default: 4, min: 1, help: 'kinds of agents; those of a kind share their system prompt' }),
  systemTokens: int({ default: 4096, min: 0, help: 'tokens of a system prompt with its tools' }),
  turnTokens: int({ default: 600, min: 1, help: 'tokens that a call adds to the context, on average' }),
  outputTokens: int({ default: 150, min: 1, help: 'tokens of an answer, on average' }),
  rate: number({ default: 1, min: 1e-6, help: 'conversations begun per second, on average' }),
  thinkTime: number({
    default: 2000,
    min: 0,
    placeholder: 'MS',
    help: 'time from an answer to the next call, on average: a tool at work',
  }),
  seed: int({ default: 0, help: 'the same seed makes the same trace' }),
};
export type AgentTraceOptions = Omit<SettingsOf<typeof AGENT_TRACE_SETTINGS>, 'outputFile'>;

/** One generator per dimension, so that more turns never shift the arrivals. */
const STREAM = { arrival: 1, turns: 2, length: 3, output: 4, think: 5, kind: 6 } as const;

/**
 * Conversations of agents: each call repeats all before it behind its kind's system prompt, and adds to it. They
 * begin as a Poisson process; lengths, waits and numbers of calls are exponential around their means.
 */
export function agentSessions(options: AgentTraceOptions): readonly TraceRow[] {
  const random = (stream: number): Random => new SeededRandom(options.seed, stream);
  const arrivals = random(STREAM.arrival);
  const turns = random(STREAM.turns);
  const kinds = random(STREAM.kind);
  const draws = { length: random(STREAM.length), output: random(STREAM.output), think: random(STREAM.think) };
  const systemBlocks = Math.ceil(options.systemTokens / AGENT_TRACE_BLOCK);
  const rows: TraceRow[] = [];
  let nextId = options.agents * systemBlocks;
  let timestampMs = 0;
  for (let session = 0; session < options.sessions; session++) {
    const kind = kinds.nextInt(options.agents);
    const ids = Array.from({ length: systemBlocks }, (_, block) => kind * systemBlocks + block);
    const calls = 1 + Math.round(exponential(turns, options.turns - 1));
    let inputLength = systemBlocks * AGENT_TRACE_BLOCK;
    for (let turn = 0; turn < calls; turn++) {
      inputLength += drawLength(draws.length, options.turnTokens);
      while (ids.length * AGENT_TRACE_BLOCK < inputLength) ids.push(nextId++);
      const outputLength = drawLength(draws.output, options.outputTokens);
      rows.push({
        line: rows.length + 1,
        timestampMs: turn === 0 ? timestampMs : undefined,
        sessionId: `session-${session}`,
        ...(turn > 0 && { delayMs: exponential(draws.think, options.thinkTime) }),
        inputLength,
        outputLength,
        hashIds: [...ids],
      });
      inputLength += outputLength;
    }
    timestampMs += exponential(arrivals, 1000 / options.rate);
  }
  return rows;
}

function drawLength(random: Random, mean: number): number {
  return 1 + Math.round(exponential(random, mean - 1));
}
