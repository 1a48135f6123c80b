import { createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parse as parseYaml } from 'yaml';
import {
  ALL_ANALYSES,
  type Compat,
  type ProfilerConfig,
  readProfilerConfig,
} from '../agent-profiler/config.ts';
import { chooseEvaluators } from '../agent-profiler/evaluator-choice.ts';
import { readTraceFiles, storedBytes } from '../agent-profiler/input/trace-files.ts';
import type { Profile } from '../agent-profiler/profiler.ts';
import { type ProfileOutcome, profileTraces } from '../agent-profiler/run.ts';
import { fail, toError } from '../base/errors.ts';
import { choice, flag, list, text } from '../base/settings.ts';
import { collect } from '../collector/collector.ts';
import { collectNat } from '../collector/nat-collector.ts';
import { HttpClient } from '../transport/http-client.ts';
import { loadPngRenderer } from '../transport/plot-assets.ts';
import { prometheusApi } from '../transport/prometheus-api.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { faultLog, ON_FAULT } from './trace-faults.ts';
import { TraceProgress } from './trace-progress.ts';

const SETTINGS = {
  input: list({
    placeholder: 'TRACES',
    help: 'trace files or folders (JSON, JSON Lines, ATIF; also gzipped); - reads standard input',
  }),
  outputDir: text({ placeholder: 'DIR', default: 'agent-profile', help: 'folder for the results' }),
  compat: choice({
    choices: ['kvasir', 'nat'],
    default: 'kvasir',
    help: 'rules of the analyses: Kvasir’s, or those of NeMo Agent Toolkit with its defects',
  }),
  onFault: ON_FAULT,
  evaluators: list({
    placeholder: 'NAME',
    help: 'run-time evaluators to score each request with: avg_llm_latency, avg_workflow_runtime, avg_num_llm_calls, avg_tokens_per_llm_end, or all',
  }),
  gantt: flag({ default: true, help: 'draw gantt_chart.png when the nested stack is analysed' }),
};
const OWN_KEYS = new Set([
  'input',
  'output-dir',
  'compat',
  'on-fault',
  'evaluators',
  'gantt',
  'log-level',
  'json',
]);
const COLLECT_WITHIN_MS = 30_000;

export const command = defineCommand({
  name: 'profile agent',
  summary: 'Find what an agent workflow wastes, and turn it into routing hints',
  details: `Examples:
  kvasir profile agent --input all_requests_profiler_traces.json --output-dir out
  kvasir profile agent --input traces/ --config profiler.yaml --output-dir out --compat nat
  cat events.jsonl.gz | kvasir profile agent --input - --output-dir out

--config takes the keys of ProfilerConfig, at the top or under eval.general.profiler. Without it every analysis runs.`,
  settings: SETTINGS,
  // A file with nothing but flags of this command is that; anything else configures the profiler.
  configIsInput: (source) =>
    [...source.matchAll(/^([\w-]+)\s*:/gm)].some(([, key]) => !OWN_KEYS.has(key!.replaceAll('_', '-'))),
  async run(settings, context) {
    const faults = faultLog(settings.onFault, context);
    if (settings.input.length === 0)
      throw fail('KV_USAGE', {
        reason: 'no traces given',
        mend: 'Name them with --input FILE or FOLDER, or - for standard input.',
      });
    const compat: Compat = settings.compat;
    const yaml = context.input === undefined ? undefined : readYaml(context.input);
    const config = context.input === undefined ? ALL_ANALYSES : readProfilerConfig(yaml, compat);
    const evaluators = chooseEvaluators(settings.evaluators, yaml);
    const spool = await spoolInput(settings.input);
    const visible = context.interactive && context.logLevel !== 'silent';
    const progress = new TraceProgress(context.log, storedBytes(spool.paths), visible);
    try {
      let pass = 0;
      const outcome = await profileTraces({
        config,
        compat,
        evaluators,
        outputDir: settings.outputDir,
        generatedAt: new Date(),
        signal: context.signal,
        traces: () => {
          const first = pass++ === 0;
          const traces = readTraceFiles(spool.paths, {
            onFault: (fault) => {
              if (first)
                faults.report({ ...fault, path: fault.path === spool.stdin ? 'standard input' : fault.path });
            },
            onRead: (bytes) => progress.read(bytes),
          });
          return first ? progress.watch(traces) : traces;
        },
        rasterise: settings.gantt ? rasterise : undefined,
        collectDynamo: (dynamo) => collectDynamo(dynamo, compat, context.signal),
      });
      progress.stop();
      faults.close();
      report(outcome, faults.count, settings.outputDir, context);
      return 0;
    } finally {
      progress.stop();
      spool.remove();
    }
  },
});

function readYaml(input: { readonly path: string; readonly source: string }): unknown {
  try {
    return parseYaml(input.source);
  } catch (cause) {
    throw fail(
      'KV_SETTING_INVALID',
      {
        setting: '--config',
        value: input.path,
        reason: `is not valid YAML: ${toError(cause).message}`,
        mend: 'Mend the file.',
      },
      cause,
    );
  }
}

async function rasterise(svg: string, scale: number): Promise<Uint8Array> {
  const renderer = await loadPngRenderer();
  return renderer.render(svg, scale);
}

/** Dynamo's metrics of the traces' window, by the same rules as `kvasir collect`. */
async function collectDynamo(
  config: ProfilerConfig['dynamo_metrics'],
  compat: Compat,
  signal: AbortSignal,
): Promise<unknown> {
  const client = new HttpClient();
  const api = prometheusApi(client, config.prometheus_url, COLLECT_WITHIN_MS);
  const run = { api, nowS: () => Date.now() / 1000, signal };
  try {
    if (compat === 'nat') return await collectNat(config, run);
    return await collect(config, { ...run, deadlineMs: COLLECT_WITHIN_MS });
  } finally {
    await client.stop();
  }
}

/** Standard input as a file, because columns of the reference may need a second reading. */
async function spoolInput(paths: readonly string[]): Promise<{
  readonly paths: readonly string[];
  readonly stdin?: string;
  remove(): void;
}> {
  if (!paths.includes('-')) return { paths, remove: () => {} };
  const folder = mkdtempSync(join(tmpdir(), 'kvasir-agent-'));
  const file = join(folder, 'stdin');
  await pipeline(process.stdin, createWriteStream(file));
  return {
    paths: paths.map((path) => (path === '-' ? file : path)),
    stdin: file,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function report(
  { profile, evaluations, written, warnings }: ProfileOutcome,
  faults: number,
  outputDir: string,
  context: CommandContext,
): void {
  for (const warning of warnings) context.log.warn({}, warning);
  const scores = Object.entries(evaluations).map(
    ([name, { average_score: score }]) => [name, score] as const,
  );
  const result = {
    requests: profile.requests,
    events: profile.events,
    skipped: faults,
    workflow_runtime_metrics: profile.resultsWithheld ? null : (profile.workflowRuntimes ?? null),
    llm_latency_ci: profile.resultsWithheld ? null : profile.base.llmLatency,
    evaluators: Object.fromEntries(scores),
    recommendations: profile.extras?.recommendations ?? [],
    output_dir: outputDir,
    files: written,
  };
  if (context.interactive) context.print(forPeople(profile, scores, outputDir, faults));
  else context.print(JSON.stringify(result));
}

function forPeople(
  profile: Profile,
  scores: readonly (readonly [string, number | null])[],
  outputDir: string,
  faults: number,
): string {
  const { runTime, llmLatency, throughput } = profile.base;
  const lines = [
    `${profile.requests} requests, ${profile.events} events${faults > 0 ? `, ${faults} skipped` : ''}`,
    `run time     mean ${runTime.mean.toFixed(2)} s   p95 ${runTime.p95.toFixed(2)} s`,
    `LLM latency  mean ${llmLatency.mean.toFixed(2)} s   p95 ${llmLatency.p95.toFixed(2)} s   ${llmLatency.n} calls`,
    `throughput   ${throughput.mean.toFixed(3)} requests/s`,
    ...scores.map(([name, score]) => `${name}  ${score === null ? 'no requests' : Number(score.toFixed(4))}`),
  ];
  for (const [i, r] of (profile.extras?.recommendations ?? []).entries()) {
    const saves = [
      r.saved_seconds > 0 ? `${r.saved_seconds.toFixed(1)} s` : '',
      r.saved_tokens > 0 ? `${Math.round(r.saved_tokens)} tokens` : '',
    ];
    lines.push(
      `${i + 1}. ${r.title}${saves.some(Boolean) ? ` (saves up to ${saves.filter(Boolean).join(', ')})` : ''}`,
      `   ${r.advice}`,
    );
  }
  return [...lines, `Results in ${outputDir}`].join('\n');
}
