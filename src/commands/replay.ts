import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fail, toError } from '../base/errors.ts';
import { closest, type SettingsOf } from '../base/settings.ts';
import { type EngineSettings, engineSettings } from '../engine/engine-settings.ts';
import { profileTiming } from '../engine/timing-profile.ts';
import { decodeNpz } from '../formats/npz/npz.ts';
import { BlockHasher } from '../kv/hash.ts';
import { WasmIndex } from '../kv/index/wasm-index.ts';
import { ROUTER_MODES, ROUTER_SETTINGS, readRouterConfig } from '../kv/settings.ts';
import { infiniteCacheKve } from '../replay/cache-bound.ts';
import {
  type ComparisonResult,
  capacityReport,
  capacityText,
  comparisonReport,
  comparisonText,
  type ModeCapacity,
} from '../replay/job-report.ts';
import {
  capacityOf,
  compare,
  type JobObserver,
  type ModeSpec,
  type ReplayJob,
} from '../replay/replay-job.ts';
import { requestRow } from '../replay/request-row.ts';
import type { ReplayParts } from '../replay/run-replay.ts';
import { parseSla, REPLAY_SETTINGS } from '../replay/settings.ts';
import { type Workload, workloadOf } from '../replay/workload.ts';
import { writeFileAtomic } from '../transport/atomic-file.ts';
import { readTraceFile } from '../transport/trace-file.ts';
import { ENGINE_SETTINGS, engineOptions } from '../worker/worker-settings.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { ReplayProgress } from './replay-progress.ts';

const { routerMode: _one, routerSeed: _seed, ...ROUTING } = ROUTER_SETTINGS;
const {
  speedup,
  model: _model,
  startupTime: _start,
  answerTokens: _answer,
  maxRequests: _most,
  maxModelLen,
  ...ENGINE
} = ENGINE_SETTINGS;
const { default: _longest, ...anyLength } = maxModelLen;

const SETTINGS = {
  ...REPLAY_SETTINGS,
  ...ENGINE,
  maxModelLen: { ...anyLength, kind: 'int' } as typeof REPLAY_SETTINGS.limit,
  engineSpeedup: { ...speedup, aliases: ['--speedup-ratio'] },
  ...ROUTING,
};
type Settings = SettingsOf<typeof SETTINGS>;

export const command = defineCommand({
  name: 'replay',
  summary: 'replay a trace on simulated workers in virtual time, and compare router modes',
  details: `Examples:
  kvasir replay --trace conversation_trace.jsonl --workers 8 --router-mode round-robin,kv
  kvasir replay --trace t.jsonl.gz --workers 8 --seeds 5 --load-share 0.7 --sla ttft:2000,itl:50
  kvasir replay --trace t.jsonl.gz --workers 8 --find-capacity --num-gpu-blocks 65536

With --seeds N from 2 on, each replay moves every session's start to a random point between its stamp in the trace
and the next one: rates and requests stay, order and coincidences change. Modes share the arrivals of a seed, so
ratios between them are exact comparisons. A fleet keeps up with a speed-up when 98 % of the requests have begun
to be answered by the time the last one arrives.`,
  settings: SETTINGS,
  async run(settings, context) {
    const engine = engineSettings(await engineOf(settings));
    const modes = modesOf(settings);
    const workload = await readWorkload(settings, context);
    const job = jobOf(settings, modes, workload, engine);
    const parts: ReplayParts = { hasher: new BlockHasher(), makeIndex: () => new WasmIndex() };
    const progress = new ReplayProgress(context.interactive);
    const observer = observerOf(settings, workload, engine, progress, context);
    const bench: Bench = { parts, observer, progress, context };
    try {
      if (settings.findCapacity) await showCapacities(job, bench);
      else await showComparison(settings, job, bench);
    } finally {
      progress.stop();
    }
    return 0;
  },
});

async function readWorkload(settings: Settings, { log }: CommandContext): Promise<Workload> {
  const {
    trace: path,
    traceFormat: format,
    traceBlockSize: blockSize,
    timeUnit: unit,
    repair,
    limit,
  } = settings;
  if (path === undefined)
    throw fail('KV_USAGE', { reason: 'a trace is needed', mend: 'Give --trace FILE, or - for stdin.' });
  const trace = await readTraceFile(path, { format, blockSize, unit, repair });
  for (const warning of trace.warnings) log.warn({}, warning);
  return workloadOf(limit === undefined ? trace : { ...trace, rows: trace.rows.slice(0, limit) });
}

async function engineOf(settings: Settings): Promise<Parameters<typeof engineSettings>[0]> {
  const { timing } = settings;
  const profile = timing.endsWith('.npz') ? timing : undefined;
  const options = engineOptions({
    ...settings,
    speedup: settings.engineSpeedup,
    timing: profile === undefined ? timing : 'polynomial',
    maxModelLen: settings.maxModelLen ?? 0,
    model: '',
    startupTime: 0,
    answerTokens: 1,
    maxRequests: 1,
  });
  const model = profile === undefined ? options.timing : profileTiming(await readProfile(profile), profile);
  const transfer = {
    kvBytesPerToken: settings.kvBytesPerToken,
    bandwidthGBps: settings.kvTransferBandwidth,
    timingMode: settings.kvTransferTimingMode,
    ...options.transfer,
  };
  return { ...options, timing: model!, maxModelLen: settings.maxModelLen, transfer };
}

async function readProfile(path: string): Promise<ReturnType<typeof decodeNpz>> {
  let file: Uint8Array;
  try {
    file = await readFile(path);
  } catch (cause) {
    throw fail('KV_FILE_UNREADABLE', { path, reason: toError(cause).message }, cause);
  }
  return decodeNpz(file, path);
}

function modesOf(settings: Settings): readonly ModeSpec[] {
  const { routerMode, concurrency, findCapacity, loadShare } = settings;
  if (routerMode.length === 0)
    throw fail('KV_USAGE', {
      reason: 'no router mode is named',
      mend: `Choose from ${ROUTER_MODES.join(', ')}.`,
    });
  if (concurrency !== undefined && (findCapacity || loadShare !== undefined))
    throw fail('KV_USAGE', {
      reason: 'a closed loop has no capacity to search',
      mend: 'Leave out --concurrency, or --find-capacity and --load-share.',
    });
  return [...new Set(routerMode)].map((mode) => modeOf(mode, settings));
}

function jobOf(
  settings: Settings,
  modes: readonly ModeSpec[],
  workload: Workload,
  engine: EngineSettings,
): ReplayJob {
  const { speedup: arrivals, concurrency, maxSimTime, sla, seeds } = settings;
  return {
    modes,
    seeds,
    base: {
      workload,
      engine,
      topology: topologyOf(settings),
      load: { speedup: arrivals, maxInFlight: concurrency },
      sla: parseSla(sla),
      maxSimTimeMs: maxSimTime === undefined ? undefined : maxSimTime * 1000,
    },
  };
}

function topologyOf(settings: Settings): ReplayJob['base']['topology'] {
  const { workers, prefillWorkers, decodeWorkers, handoffLatency: handoffLatencyMs } = settings;
  if (prefillWorkers === undefined && decodeWorkers === undefined) return { kind: 'aggregated', workers };
  if (prefillWorkers === undefined || decodeWorkers === undefined)
    throw fail('KV_USAGE', {
      reason: 'prefill and decode workers belong together',
      mend: 'Give both --prefill-workers and --decode-workers.',
    });
  if (settings.engineType === 'trtllm')
    throw fail('KV_USAGE', {
      reason: 'handoff is not simulated for trtllm',
      mend: 'Use --engine-type vllm or sglang, or --workers.',
    });
  // Decode workers go by load: what they have cached of a prompt saves no computing.
  const decodeRouter = readRouterConfig(
    { ...settings, routerMode: 'kv', routerSeed: undefined },
    { decodeOnly: true },
  );
  return { kind: 'disaggregated', prefillWorkers, decodeWorkers, decodeRouter, handoffLatencyMs };
}

function modeOf(name: string, settings: Settings): ModeSpec {
  const known: readonly string[] = ROUTER_MODES.filter((mode) => mode !== 'direct');
  if (!known.includes(name)) {
    const near = closest(name, known);
    throw fail('KV_SETTING_INVALID', {
      setting: '--router-mode',
      value: name,
      reason: 'is not a mode that replay can compare',
      mend: `${near === undefined ? '' : `Did you mean ${near}? `}Choose from ${known.join(', ')}.`,
    });
  }
  const routerMode = name as (typeof ROUTER_MODES)[number];
  return { mode: name, router: readRouterConfig({ ...settings, routerMode, routerSeed: undefined }) };
}

function observerOf(
  settings: Settings,
  workload: Workload,
  engine: EngineSettings,
  progress: ReplayProgress,
  { signal }: CommandContext,
): JobObserver {
  const { outputDir } = settings;
  return {
    signal,
    started: (mode, what) => {
      progress.stop();
      progress.start(`${mode} ${what}`.trim(), workload.requests.length);
    },
    progressed: (ended) => progress.update(ended),
    async finished(mode, seed, { records }) {
      if (outputDir === undefined || settings.findCapacity) return;
      const lines = records.map((record) => `${JSON.stringify(requestRow(record, engine.dpSize))}\n`);
      await writeFileAtomic(join(outputDir, `${mode}-seed${seed}.requests.jsonl`), lines.join(''));
    },
  };
}

/** What a run of the command works with. */
interface Bench {
  readonly parts: ReplayParts;
  readonly observer: JobObserver;
  readonly progress: ReplayProgress;
  readonly context: CommandContext;
}

async function showCapacities(job: ReplayJob, { parts, observer, progress, context }: Bench): Promise<void> {
  const found: ModeCapacity[] = [];
  for (const mode of job.modes)
    found.push({ mode: mode.mode, capacity: await capacityOf(job, mode, parts, observer) });
  progress.stop();
  if (context.interactive) for (const line of capacityText(job, found)) context.print(line);
  else context.print(JSON.stringify(capacityReport(job, found)));
}

async function showComparison(settings: Settings, given: ReplayJob, bench: Bench): Promise<void> {
  const { parts, observer, progress, context } = bench;
  const searched = await searchLoad(settings, given, bench);
  const speed =
    searched === undefined ? given.base.load.speedup : searched.loadShare * searched.capacity.speedup;
  const job = { ...given, base: { ...given.base, load: { ...given.base.load, speedup: speed } } };
  const comparison = await compare(job, parts, observer);
  progress.stop();
  const kveBound = infiniteCacheKve(job.base.workload, job.base.engine, parts.hasher);
  const result: ComparisonResult = { job, comparison, kveBound, searched };
  const report = comparisonReport(result, { trace: settings.trace, timing: settings.timing });
  if (settings.outputDir !== undefined)
    await writeFileAtomic(
      join(settings.outputDir, 'report.json'),
      `${JSON.stringify(report, undefined, 2)}\n`,
    );
  if (context.interactive) for (const line of comparisonText(result)) context.print(line);
  else context.print(JSON.stringify(report));
}

async function searchLoad(
  { loadShare }: Settings,
  job: ReplayJob,
  { parts, observer }: Bench,
): Promise<ComparisonResult['searched']> {
  const first = job.modes[0]!;
  if (loadShare === undefined) return undefined;
  return { mode: first.mode, loadShare, capacity: await capacityOf(job, first, parts, observer) };
}
