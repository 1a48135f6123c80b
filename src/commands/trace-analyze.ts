import { fail } from '../base/errors.ts';
import { analysisJson, analysisTable, analyze } from '../load/trace/analyze.ts';
import { TRACE_FILE_SETTINGS } from '../load/trace/settings.ts';
import { readTraceFile } from '../transport/trace-file.ts';
import { defineCommand } from './command.ts';

export const command = defineCommand({
  name: 'trace analyze',
  summary: 'Tell what a workload trace holds: lengths, arrivals, prefix reuse by cache size',
  details: 'Example:\n  kvasir trace analyze --input-file conversation_trace.jsonl.gz',
  settings: TRACE_FILE_SETTINGS,
  async run(settings, { log, interactive, print }) {
    const { inputFile, traceFormat, blockSize, timeUnit, repair } = settings;
    if (inputFile === undefined) {
      throw fail('KV_USAGE', {
        reason: 'a trace is needed',
        mend: 'Give --input-file FILE, or - for stdin.',
      });
    }
    const trace = await readTraceFile(inputFile, { format: traceFormat, blockSize, unit: timeUnit, repair });
    for (const warning of trace.warnings) log.warn({}, warning);
    const analysis = analyze(trace);
    print(interactive ? analysisTable(analysis) : JSON.stringify(analysisJson(analysis)));
    return 0;
  },
});
