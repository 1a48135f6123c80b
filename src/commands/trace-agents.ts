import { traceLine } from '../formats/traces/write-trace.ts';
import { AGENT_TRACE_BLOCK, AGENT_TRACE_SETTINGS, agentSessions } from '../load/trace/agent-sessions.ts';
import { analysisTable, analyze } from '../load/trace/analyze.ts';
import { writeFileAtomic } from '../transport/atomic-file.ts';
import { defineCommand } from './command.ts';

export const command = defineCommand({
  name: 'trace agents',
  summary: 'make a trace of agents that call a model again and again with a growing context',
  details: `Example:
  kvasir trace agents --sessions 300 --turns 10 --rate 2 --output-file agents.jsonl
  kvasir replay --trace agents.jsonl --workers 4 --router-mode round-robin,kv,thompson --seeds 10

Rows are Mooncake's, with session_id and, from the second call of a conversation on, the delay after the one before.`,
  settings: AGENT_TRACE_SETTINGS,
  async run({ outputFile, ...options }, { interactive, print }) {
    const rows = agentSessions(options);
    const lines = rows.map((row) => traceLine(row));
    if (outputFile === undefined) {
      for (const line of lines) print(line);
      return 0;
    }
    await writeFileAtomic(outputFile, `${lines.join('\n')}\n`);
    const trace = {
      format: 'mooncake',
      rows,
      blockSize: AGENT_TRACE_BLOCK,
      repairedRows: 0,
      warnings: [],
    } as const;
    if (interactive) print(analysisTable(analyze(trace)));
    else
      print(
        JSON.stringify({ output_file: outputFile, requests: rows.length, block_size: AGENT_TRACE_BLOCK }),
      );
    return 0;
  },
});
