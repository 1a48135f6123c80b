import { readFile } from 'node:fs/promises';
import { fail, toError } from '../base/errors.ts';
import { redactedSettings } from '../base/settings.ts';
import { publish } from '../load/bench/publish.ts';
import { vllmOptions } from '../load/bench/report-options.ts';
import { BENCH_REPORT_SETTINGS } from '../load/bench/report-settings.ts';
import { reviveFacts } from '../load/bench/run-facts.ts';
import { mergeRuns, parseRecordLines } from '../load/export/record-lines.ts';
import { reportOf } from '../load/measure/report.ts';
import { defineCommand } from './command.ts';

export const command = defineCommand({
  name: 'bench report',
  summary: 'Value the raw records of earlier bench runs again, shards of one run together',
  details: `Examples:
  kvasir bench report --records results/records.jsonl --goodput ttft:500 --convention vllm
  kvasir bench report --records shard0/records.jsonl --records shard1/records.jsonl --output-dir whole`,
  settings: BENCH_REPORT_SETTINGS,
  async run(settings, { interactive, print }) {
    const [first, ...more] = await Promise.all(settings.records.map(readRecords));
    if (first === undefined) {
      throw fail('KV_USAGE', {
        reason: 'records are needed',
        mend: 'Give --records FILE, the records.jsonl of a run.',
      });
    }
    const vllm = vllmOptions(settings);
    const run = more.length === 0 ? first.run : mergeRuns([first, ...more].map((read) => read.run));
    const facts = reviveFacts({
      ...first.facts,
      ...(settings.model !== undefined && { model: settings.model }),
    });
    const report = reportOf(run, {
      goals: vllm.goals,
      convention: settings.convention,
      lagLimitMs: settings.sendLagLimitMs,
      theoreticalKve: facts.theoreticalKve,
    });
    return publish(
      { run, report, facts: { ...facts, maxConcurrency: run.concurrency } },
      {
        outputDir: settings.outputDir,
        vllm,
        config: redactedSettings(BENCH_REPORT_SETTINGS, settings) as Record<string, unknown>,
        interactive,
        print,
      },
    );
  },
});

async function readRecords(path: string): Promise<ReturnType<typeof parseRecordLines>> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw fail('KV_FILE_UNREADABLE', { path, reason: toError(cause).message }, cause);
  }
  return parseRecordLines(text, path);
}
