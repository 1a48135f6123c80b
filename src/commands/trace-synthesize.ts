import { fail } from '../base/errors.ts';
import { traceLine } from '../formats/traces/write-trace.ts';
import { analysisTable, analyze } from '../load/trace/analyze.ts';
import { SYNTHESIS_SETTINGS } from '../load/trace/settings.ts';
import { synthesize } from '../load/trace/synthesize.ts';
import { writeFileAtomic } from '../transport/atomic-file.ts';
import { readTraceFile } from '../transport/trace-file.ts';
import { defineCommand } from './command.ts';

export const command = defineCommand({
  name: 'trace synthesize',
  summary: 'Make a trace like a given one: longer, denser, with more or less prefix reuse',
  details:
    'Example:\n  kvasir trace synthesize --input-file conversation_trace.jsonl.gz --num-requests 5000 --speedup-ratio 2 --output-file synthetic.jsonl',
  settings: SYNTHESIS_SETTINGS,
  async run(settings, { log, interactive, print }) {
    const { inputFile, traceFormat, blockSize, timeUnit, repair, outputFile } = settings;
    if (inputFile === undefined) {
      throw fail('KV_USAGE', {
        reason: 'a trace is needed',
        mend: 'Give --input-file FILE, or - for stdin.',
      });
    }
    const source = await readTraceFile(inputFile, { format: traceFormat, blockSize, unit: timeUnit, repair });
    for (const warning of source.warnings) log.warn({}, warning);
    const rows = synthesize(source, {
      requests: settings.numRequests,
      seed: settings.seed,
      speedup: settings.speedupRatio,
      prefixLengthMultiplier: settings.prefixLenMultiplier,
      prefixRootMultiplier: settings.prefixRootMultiplier,
      promptLengthMultiplier: settings.promptLenMultiplier,
      outputLengthMultiplier: settings.oslMultiplier,
      maxIsl: settings.maxIsl,
      minIsl: settings.minIsl,
      maxOsl: settings.maxOsl,
      minOsl: settings.minOsl,
    });
    const lines = rows.map((row) =>
      traceLine(row, {
        context_len: row.contextLength,
        unique_user_prompt_len: row.inputLength - row.contextLength,
      }),
    );
    if (outputFile === undefined) {
      for (const line of lines) print(line);
      return 0;
    }
    await writeFileAtomic(outputFile, `${lines.join('\n')}\n`);
    const { blockSize: tokens } = source;
    if (interactive) print(analysisTable(analyze({ ...source, rows, blockSize: tokens })));
    else print(JSON.stringify({ output_file: outputFile, requests: rows.length, block_size: tokens }));
    return 0;
  },
});
