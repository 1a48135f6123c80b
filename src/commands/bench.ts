import { join } from 'node:path';
import { RealClock } from '../base/clock.ts';
import { fail } from '../base/errors.ts';
import { redactedSettings } from '../base/settings.ts';
import { consoleTable } from '../load/bench/console-table.ts';
import { type ReportFiles, writeReports, writeVllmFile } from '../load/bench/files.ts';
import { ProgressView } from '../load/bench/progress.ts';
import { type BenchResult, runBench } from '../load/bench/run-bench.ts';
import { BENCH_SETTINGS, type BenchSettings } from '../load/bench/settings.ts';
import { summaryJson } from '../load/bench/summary-json.ts';
import { type VllmHeader, vllmFileName } from '../load/export/vllm-json.ts';
import { parseGoals } from '../load/measure/goodput.ts';
import { type CommandContext, defineCommand } from './command.ts';

export const command = defineCommand({
  name: 'bench',
  summary: 'Load an OpenAI-compatible server, open or closed loop, and measure it',
  details: `Examples:
  kvasir bench --url http://127.0.0.1:8000 --concurrency 8 --isl 2000 --osl 100 --requests 200
  kvasir bench --url http://127.0.0.1:8000 --rate 5 --isl 2000 --osl 100 --requests 200 --goodput ttft:200,tpot:20
  kvasir bench --url http://127.0.0.1:8000 --trace conversation.jsonl.gz --speedup 10 --output-dir results

Exit code 1: requests failed, or the run is invalid because the generator could not keep up.`,
  settings: BENCH_SETTINGS,
  async run(settings, context) {
    // What can be wrong with the settings is found before load is sent.
    const describe = fileDescriptions(settings);
    const result = await measure(settings, context);
    const { report } = result;
    const files = describe(result);
    if (settings.outputDir !== undefined) await writeReports(settings.outputDir, files);
    if (settings.saveResult || settings.appendResult) {
      const name = settings.resultFilename ?? vllmFileName(files.header);
      await writeVllmFile(join(settings.resultDir ?? '.', name), files, settings.appendResult);
    }
    if (context.interactive) {
      context.print(consoleTable(report, { ...result, maxConcurrency: settings.concurrency }));
      if (settings.outputDir !== undefined) context.print(`reports in ${settings.outputDir}`);
    } else context.print(JSON.stringify(files.summary));
    const { failed, dropped } = report.counts;
    return failed + dropped > 0 || !report.verdict.valid || report.interrupted ? 1 : 0;
  },
});

async function measure(settings: BenchSettings, context: CommandContext): Promise<BenchResult> {
  const { log, signal, interactive } = context;
  const clock = new RealClock();
  const progress = await ProgressView.create(log, () => clock.nowMs(), interactive && process.stderr.isTTY);
  try {
    return await runBench(settings, {
      clock,
      log,
      signal,
      onProgress: (state, hasFailed) => progress.update(state, hasFailed),
    });
  } finally {
    progress.stop();
  }
}

function fileDescriptions(settings: BenchSettings): (result: BenchResult) => ReportFiles {
  const metadata = parseMetadata(settings.metadata);
  const vllm = {
    goals: parseGoals(settings.goodput),
    percentiles: parsePercentiles(settings.metricPercentiles),
    percentileMetrics: settings.percentileMetrics,
    detailed: settings.saveDetailed,
  };
  const { url, cacheState, concurrency: maxConcurrency } = settings;
  return ({ run, report, endpoint, requestRate, speedup, startedAt }) => ({
    run,
    report,
    summary: summaryJson(report, {
      ...{ url, cacheState, maxConcurrency, requestRate, speedup, startedAt },
      model: endpoint.model,
      prompt: endpoint.form,
    }),
    header: vllmHeader(settings, metadata, endpoint.model, requestRate, startedAt),
    vllm,
    config: redactedSettings(BENCH_SETTINGS, settings) as Record<string, unknown>,
  });
}

function vllmHeader(
  settings: BenchSettings,
  metadata: Readonly<Record<string, string>>,
  modelId: string,
  requestRate: number,
  date: Date,
): VllmHeader {
  const { rampUpStrategy: strategy, rampUpStartRps = 0, rampUpEndRps = 0 } = settings;
  return {
    date,
    backend: settings.backend,
    label: settings.label,
    modelId,
    tokenizerId: settings.tokenizer ?? modelId,
    metadata,
    requestRate,
    burstiness: settings.burstiness,
    maxConcurrency: settings.concurrency,
    ramp: strategy && { strategy, startRps: rampUpStartRps, endRps: rampUpEndRps },
  };
}

function parseMetadata(items: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    items.map((item) => {
      const equals = item.indexOf('=');
      if (equals > 0) return [item.slice(0, equals), item.slice(equals + 1)];
      throw fail('KV_SETTING_INVALID', {
        setting: '--metadata',
        value: item,
        reason: 'has no key',
        mend: 'Give KEY=VALUE.',
      });
    }),
  );
}

function parsePercentiles(items: readonly string[]): readonly number[] {
  return items.map((item) => {
    const value = Number(item);
    if (value >= 0 && value <= 100) return value;
    throw fail('KV_SETTING_INVALID', {
      setting: '--metric-percentiles',
      value: item,
      reason: 'is not a percentile',
      mend: 'Give numbers from 0 to 100, as in 50,90,99.9.',
    });
  });
}
