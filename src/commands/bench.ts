import { join } from 'node:path';
import { RealClock } from '../base/clock.ts';
import { redactedSettings } from '../base/settings.ts';
import { ProgressView } from '../load/bench/progress.ts';
import { type BenchOutcome, publish } from '../load/bench/publish.ts';
import { vllmOptions } from '../load/bench/report-options.ts';
import { runBench } from '../load/bench/run-bench.ts';
import { BENCH_SETTINGS, type BenchSettings } from '../load/bench/settings.ts';
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
    const vllm = vllmOptions(settings);
    const outcome = await measure(settings, context);
    const saves = settings.saveResult || settings.appendResult;
    return publish(outcome, {
      outputDir: settings.outputDir,
      vllmFile: saves
        ? { path: (name) => vllmPath(settings, name), append: settings.appendResult }
        : undefined,
      vllm,
      config: redactedSettings(BENCH_SETTINGS, settings) as Record<string, unknown>,
      interactive: context.interactive,
      print: context.print,
    });
  },
});

async function measure(settings: BenchSettings, context: CommandContext): Promise<BenchOutcome> {
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

function vllmPath({ resultDir, resultFilename }: BenchSettings, name: string): string {
  return join(resultDir ?? '.', resultFilename ?? name);
}
