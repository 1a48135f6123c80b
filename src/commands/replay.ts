import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fail, toError } from '../base/errors.ts';
import type { SettingsOf } from '../base/settings.ts';
import { closest } from '../base/settings.ts';
import { type EngineSettings, engineSettings } from '../engine/engine-settings.ts';
import { profileTiming } from '../engine/timing-profile.ts';
import { decodeNpz } from '../formats/npz/npz.ts';
import { BlockHasher } from '../kv/hash.ts';
import { WasmIndex } from '../kv/index/wasm-index.ts';
import { ROUTER_MODES, ROUTER_SETTINGS, readRouterConfig } from '../kv/settings.ts';
import { infiniteCacheKve } from '../replay/cache-bound.ts';
import type { Capacity } from '../replay/capacity.ts';
import { comparisonJson } from '../replay/comparison.ts';
import { aligned, comparisonTable } from '../replay/comparison-table.ts';
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
    try {
      if (settings.findCapacity) await showCapacities(job, parts, observer, progress, context);
      else await showComparison(settings, job, parts, observer, progress, context);
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
  return { ...options, timing: model!, maxModelLen: settings.maxModelLen };
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
  const { speedup: arrivals, concurrency, maxSimTime, workers, sla, seeds } = settings;
  return {
    modes,
    seeds,
    base: {
      workload,
      engine,
      workers,
      load: { speedup: arrivals, maxInFlight: concurrency },
      sla: parseSla(sla),
      maxSimTimeMs: maxSimTime === undefined ? undefined : maxSimTime * 1000,
    },
  };
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

async function showCapacities(
  job: ReplayJob,
  parts: ReplayParts,
  observer: JobObserver,
  progress: ReplayProgress,
  { print, interactive }: CommandContext,
): Promise<void> {
  const found: (Capacity & { readonly mode: string; readonly requestsPerSecond: number })[] = [];
  for (const mode of job.modes) {
    const capacity = await capacityOf(job, mode, parts, observer);
    found.push({ mode: mode.mode, ...capacity, requestsPerSecond: capacity.speedup * naturalRate(job) });
  }
  progress.stop();
  if (interactive) {
    const rows = found.map((each) => [each.mode, each.speedup.toFixed(3), each.requestsPerSecond.toFixed(2)]);
    for (const line of aligned([['mode', 'capacity speed-up', 'requests/s'], ...rows])) print(line);
  } else
    print(
      JSON.stringify({
        workers: job.base.workers,
        seeds: job.seeds,
        capacities: found.map((each) => ({
          mode: each.mode,
          requests_per_s: each.requestsPerSecond,
          ...capacityJson(each),
        })),
      }),
    );
}

async function showComparison(
  settings: Settings,
  given: ReplayJob,
  parts: ReplayParts,
  observer: JobObserver,
  progress: ReplayProgress,
  { print, interactive }: CommandContext,
): Promise<void> {
  const { loadShare, outputDir } = settings;
  const capacity =
    loadShare === undefined ? undefined : await capacityOf(given, given.modes[0]!, parts, observer);
  const speedup_ = capacity === undefined ? given.base.load.speedup : loadShare! * capacity.speedup;
  const job = { ...given, base: { ...given.base, load: { ...given.base.load, speedup: speedup_ } } };
  const comparison = await compare(job, parts, observer);
  progress.stop();
  const { workload, engine, workers, sla } = job.base;
  const bound = infiniteCacheKve(workload, engine, parts.hasher);
  const summary = {
    schema: 'kvasir.replay.v1',
    trace: settings.trace,
    requests: workload.requests.length,
    workers,
    speedup: speedup_,
    concurrency: job.base.load.maxInFlight ?? null,
    seeds: job.seeds,
    kve_bound: bound,
    capacity:
      capacity === undefined ? null : { mode: given.modes[0]!.mode, load_share: loadShare, ...capacity },
    engine: { ...engine, timing: settings.timing },
    sla: sla ?? null,
    ...comparisonJson(comparison),
  };
  if (outputDir !== undefined)
    await writeFileAtomic(join(outputDir, 'report.json'), `${JSON.stringify(summary, undefined, 2)}\n`);
  if (!interactive) {
    print(JSON.stringify(summary));
    return;
  }
  const load =
    job.base.load.maxInFlight === undefined
      ? `speed-up ${speedup_.toPrecision(4)}`
      : `${job.base.load.maxInFlight} at once`;
  const times = job.seeds === 1 ? '' : `, ${job.seeds} seeds, mean ± 95 % interval`;
  print(`${workload.requests.length} requests on ${workers} workers, ${load}${times}; times in ms`);
  for (const line of comparisonTable(comparison)) print(line);
  print(`KVE with endless memory on one worker: ${(100 * bound).toFixed(1)} %`);
}

/** Requests per second of the trace at speed-up 1. */
function naturalRate({ base: { workload } }: ReplayJob): number {
  const spanMs = workload.sessions.reduce((latest, { arrivalMs }) => Math.max(latest, arrivalMs), 0);
  return spanMs === 0 ? 0 : (workload.requests.length / spanMs) * 1000;
}

function capacityJson({ speedup: found, probes }: Capacity): object {
  return {
    speedup: found,
    probes: probes.map((each) => ({
      speedup: each.speedup,
      begun_share: each.begunShare,
      kept_up: each.keptUp,
    })),
  };
}
