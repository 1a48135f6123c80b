import type { Levels } from '../agent-profiler/sizing/gpu-sizing.ts';
import { type SizingTargets, sizeGpus } from '../agent-profiler/sizing/gpu-sizing.ts';
import { writeSizingJob } from '../agent-profiler/sizing/sizing-output.ts';
import { levelsOfJobs, levelsOfRuns } from '../agent-profiler/sizing/sizing-run.ts';
import { sizingTable } from '../agent-profiler/sizing/sizing-table.ts';
import { fail, toError } from '../base/errors.ts';
import { choice, flag, int, list, number, type SettingsOf, text } from '../base/settings.ts';
import { BENCH_SETTINGS } from '../load/bench/settings.ts';
import { AGENT_TRACE_SETTINGS } from '../load/trace/agent-sessions.ts';
import { loadPngRenderer } from '../transport/plot-assets.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { measureLevels } from './sizing-load.ts';
import { measureWorkflowLevels } from './sizing-workflow.ts';
import { faultLog, ON_FAULT } from './trace-faults.ts';

const SETTINGS = {
  run: list({
    placeholder: 'N=TRACES',
    env: 'KVASIR_SIZING_RUN',
    help: 'traces of a run at concurrency N, in any shape that profile agent reads; or an earlier calc_runner_output.json',
  }),
  endpoint: text({
    placeholder: 'URL',
    env: 'KVASIR_SIZING_ENDPOINT',
    help: 'OpenAI-compatible server to run a workload against, at each of --concurrencies',
  }),
  workflow: text({
    placeholder: 'URL',
    help: 'workflow server (nat serve) to run the questions of --dataset through, at each of --concurrencies',
  }),
  dataset: text({ placeholder: 'FILE', help: 'with --workflow: JSON or JSON Lines of nat eval’s items' }),
  questionKey: text({
    default: 'question',
    help: 'with --workflow: member of an item that holds its question',
  }),
  inputKey: text({
    default: 'input_message',
    help: 'with --workflow: member of a request that holds the question, named as the workflow’s argument',
  }),
  offlineMode: flag({ help: 'calculate again from what earlier jobs in --calc-output-dir measured' }),
  calcOutputDir: text({
    placeholder: 'DIR',
    default: 'sizing',
    help: 'folder of the jobs: online/job_* for what was measured, offline/job_* for what was calculated again',
  }),
  appendCalcOutputs: flag({ help: 'keep the older jobs; without it a new job replaces those of its kind' }),

  targetLlmLatency: number({ default: 0, min: 0, help: 'p95 LLM latency to meet, in seconds; 0 for none' }),
  targetWorkflowRuntime: number({ default: 0, min: 0, help: 'p95 run time to meet, in seconds; 0 for none' }),
  targetUsers: number({ default: 0, min: 0, help: 'users at once to size for' }),
  testGpuCount: number({ default: 0, min: 0, help: 'GPUs that served the runs' }),
  compat: choice({
    choices: ['kvasir', 'nat'],
    default: 'kvasir',
    help: 'rules of the calculation: Kvasir’s, or those of NeMo Agent Toolkit with its defects',
  }),
  onFault: ON_FAULT,

  concurrencies: list({
    placeholder: 'N,N',
    default: ['1', '2', '3', '4', '5', '6', '7', '8', '9', '10'],
    help: 'with --endpoint or --workflow: runs of the workflow at a time, one level each',
  }),
  numPasses: int({
    default: 0,
    min: 0,
    help: 'with --endpoint or --workflow: runs per place of a level; 0 for the whole workload',
  }),
  endpointTimeout: number({
    default: 300,
    min: 0.001,
    placeholder: 'SEC',
    help: 'a call, or with --workflow a run, that takes longer has failed',
  }),
  trace: text({
    placeholder: 'FILE',
    env: 'KVASIR_SIZING_TRACE',
    help: 'workload trace whose sessions are the runs of the workflow; synthetic agents when absent',
  }),
  sessions: int({ default: 20, min: 1, help: 'runs of the workflow of synthetic agents at each level' }),
  turns: { ...AGENT_TRACE_SETTINGS.turns, default: 3 },
  systemTokens: { ...AGENT_TRACE_SETTINGS.systemTokens, default: 1024 },
  turnTokens: AGENT_TRACE_SETTINGS.turnTokens,
  outputTokens: AGENT_TRACE_SETTINGS.outputTokens,
  thinkTime: { ...AGENT_TRACE_SETTINGS.thinkTime, default: 500 },
  model: BENCH_SETTINGS.model,
  apiKey: BENCH_SETTINGS.apiKey,
  seed: AGENT_TRACE_SETTINGS.seed,
};
type Settings = SettingsOf<typeof SETTINGS>;

export const command = defineCommand({
  name: 'sizing calc',
  summary: 'Find how many GPUs an agent workflow needs for a number of users',
  details: `Examples:
  kvasir sizing calc --run 1=c1.json --run 4=c4.json --run 16=c16.json \\
    --target-workflow-runtime 10 --target-users 100 --test-gpu-count 8
  kvasir sizing calc --endpoint http://127.0.0.1:8000 --concurrencies 1,2,4,8,16 --target-llm-latency 3 --target-users 100 --test-gpu-count 8
  kvasir sizing calc --workflow http://127.0.0.1:8000 --dataset questions.json --concurrencies 1,2,4,8 --target-workflow-runtime 20 --target-users 100 --test-gpu-count 8
  kvasir sizing calc --offline-mode --target-llm-latency 2 --target-users 500 --test-gpu-count 8

A line through the p95 times at several concurrencies gives the concurrency that meets a target, and so the GPUs.`,
  settings: SETTINGS,
  async run(settings, context) {
    const targets: SizingTargets = {
      llmLatencyP95S: settings.targetLlmLatency,
      workflowRuntimeP95S: settings.targetWorkflowRuntime,
      users: settings.targetUsers,
      testGpus: settings.testGpuCount,
    };
    const levels = await readLevels(settings, targets, context);
    const result = sizeGpus(levels, targets, settings.compat === 'nat');
    const { jobDir, removed } = await writeSizingJob(
      {
        dir: settings.calcOutputDir,
        mode: settings.offlineMode ? 'offline' : 'online',
        append: settings.appendCalcOutputs,
        nowS: Date.now() / 1000,
        rasterise,
      },
      result,
      targets,
    );
    if (removed.length > 0)
      context.log.info({ removed }, 'older jobs removed; --append-calc-outputs keeps them');
    if (context.interactive) {
      for (const line of sizingTable(result, targets)) context.print(line);
      context.print(`Results in ${jobDir}`);
    } else context.print(JSON.stringify({ ...result, calc_data: summaryOf(result), job_dir: jobDir }));
    return 0;
  },
});

async function readLevels(
  settings: Settings,
  targets: SizingTargets,
  context: CommandContext,
): Promise<Levels> {
  const { run, endpoint, workflow, offlineMode } = settings;
  const given = [run.length > 0, endpoint !== undefined, workflow !== undefined, offlineMode];
  if (given.filter(Boolean).length !== 1)
    throw fail('KV_USAGE', {
      reason: 'nothing to size from, or more than one source',
      mend: 'Give one of --run N=TRACES (twice or more), --endpoint URL, --workflow URL, or --offline-mode.',
    });
  if (offlineMode) {
    requireTargets(targets);
    return levelsOfJobs(settings.calcOutputDir, (path, thrown) => {
      if (settings.onFault === 'fail') throw thrown;
      const { message, hint } = toError(thrown);
      context.log.warn({ path, mend: hint }, `left out: ${message}`);
    });
  }
  if (endpoint !== undefined) {
    const concurrencies = readConcurrencies(settings.concurrencies);
    return measureLevels({ ...settings, endpoint, concurrencies }, context);
  }
  if (workflow !== undefined) {
    const concurrencies = readConcurrencies(settings.concurrencies);
    return measureWorkflowLevels({ ...settings, workflow, concurrencies }, context);
  }
  const faults = faultLog(settings.onFault, context);
  const levels = await levelsOfRuns(run, settings.compat, faults.report);
  faults.close();
  return levels;
}

/** Measuring alone is of use; calculating again is only with something to calculate. */
function requireTargets({ llmLatencyP95S, workflowRuntimeP95S, users, testGpus }: SizingTargets): void {
  const missing = [
    llmLatencyP95S <= 0 && workflowRuntimeP95S <= 0
      ? '--target-llm-latency or --target-workflow-runtime'
      : '',
    users <= 0 ? '--target-users' : '',
    testGpus <= 0 ? '--test-gpu-count' : '',
  ].filter((name) => name !== '');
  if (missing.length > 0)
    throw fail('KV_USAGE', {
      reason: '--offline-mode needs targets to calculate for',
      mend: `Give ${missing.join(', ')}.`,
    });
}

function readConcurrencies(texts: readonly string[]): readonly number[] {
  const invalid = (reason: string): Error =>
    fail('KV_SETTING_INVALID', {
      setting: '--concurrencies',
      value: texts.join(','),
      reason,
      mend: 'Give two or more different whole numbers, such as 1,2,4,8.',
    });
  const levels = texts.map((text) => (/^\d+$/.test(text.trim()) ? Number(text) : 0));
  if (levels.some((level) => level < 1)) throw invalid('holds something that is no whole number from 1 up');
  if (new Set(levels).size < levels.length) throw invalid('repeats a concurrency');
  if (levels.length < 2) throw invalid('holds fewer than two concurrencies');
  return levels;
}

/** The levels without their single items. */
function summaryOf({ calc_data: rows }: ReturnType<typeof sizeGpus>): object {
  return Object.fromEntries(
    Object.entries(rows).map(([concurrency, { sizing_metrics: metrics, ...row }]) => {
      const { per_item_metrics: items, ...rest } = metrics;
      return [concurrency, { ...row, sizing_metrics: rest, items: Object.keys(items).length }];
    }),
  );
}

async function rasterise(svg: string, scale: number): Promise<Uint8Array> {
  return (await loadPngRenderer()).render(svg, scale);
}
