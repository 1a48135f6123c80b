import { readFile } from 'node:fs/promises';
import { fail, toError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { closest, type SettingsOf } from '../base/settings.ts';
import { type EngineSettings, engineSettings } from '../engine/engine-settings.ts';
import { profileTiming } from '../engine/timing-profile.ts';
import { decodeNpz } from '../formats/npz/npz.ts';
import { readRouterConfig } from '../kv/read-config.ts';
import { ROUTER_MODES, ROUTER_SETTINGS } from '../kv/settings.ts';
import type { ModeSpec, ReplayJob } from '../replay/replay-job.ts';
import { parseSla, parseSpeeds, REPLAY_SETTINGS } from '../replay/settings.ts';
import { type Workload, workloadOf } from '../replay/workload.ts';
import { readTraceFile } from '../transport/trace-file.ts';
import { ENGINE_SETTINGS, engineOptions } from '../worker/worker-settings.ts';

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

/** All flags of `kvasir replay`. */
export const REPLAY_COMMAND_SETTINGS = {
  ...REPLAY_SETTINGS,
  ...ENGINE,
  maxModelLen: { ...anyLength, kind: 'int' } as typeof REPLAY_SETTINGS.limit,
  engineSpeedup: { ...speedup, aliases: ['--speedup-ratio'] },
  ...ROUTING,
};
export type ReplayCommandSettings = SettingsOf<typeof REPLAY_COMMAND_SETTINGS>;

/** Reads the trace and turns the settings into a job; the same in every thread that runs a part of it. */
export async function prepareReplay(settings: ReplayCommandSettings, log: Log): Promise<ReplayJob> {
  const engine = engineSettings(await engineOf(settings));
  const modes = modesOf(settings);
  return jobOf(settings, modes, await readWorkload(settings, log), engine);
}

async function readWorkload(settings: ReplayCommandSettings, log: Log): Promise<Workload> {
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

async function engineOf(settings: ReplayCommandSettings): Promise<Parameters<typeof engineSettings>[0]> {
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

function modesOf(settings: ReplayCommandSettings): readonly ModeSpec[] {
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
  settings: ReplayCommandSettings,
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
      group: {
        routers: settings.routers,
        replicaSync: settings.routerReplicaSync,
        replicaDelayMs: settings.replicaDelay,
      },
      load: { speedup: arrivals, maxInFlight: concurrency },
      sla: parseSla(sla),
      maxSimTimeMs: maxSimTime === undefined ? undefined : maxSimTime * 1000,
    },
  };
}

function topologyOf(settings: ReplayCommandSettings): ReplayJob['base']['topology'] {
  const { workers, prefillWorkers, decodeWorkers, handoffLatency: handoffLatencyMs } = settings;
  if (prefillWorkers === undefined && decodeWorkers === undefined)
    return { kind: 'aggregated', workers, speeds: parseSpeeds(settings.workerSpeed, workers) };
  if (settings.workerSpeed.length > 0)
    throw fail('KV_USAGE', {
      reason: '--worker-speed is for workers that both prefill and decode',
      mend: 'Leave it out, or use --workers.',
    });
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

const AFFINITY = '-affinity';
/** How long a session keeps its worker in a mode that only says that it does. */
const AFFINITY_TTL_S = 600;

function modeOf(name: string, settings: ReplayCommandSettings): ModeSpec {
  const known: readonly string[] = ROUTER_MODES.filter((mode) => mode !== 'direct');
  const base = name.endsWith(AFFINITY) ? name.slice(0, -AFFINITY.length) : name;
  if (!known.includes(base)) {
    const near = closest(base, known);
    throw fail('KV_SETTING_INVALID', {
      setting: '--router-mode',
      value: name,
      reason: 'is not a mode that replay can compare',
      mend: `${near === undefined ? '' : `Did you mean ${near}? `}Choose from ${known.join(', ')}; each may end in ${AFFINITY}.`,
    });
  }
  const { routerSessionAffinityTtlSecs: ttl = base === name ? undefined : AFFINITY_TTL_S } = settings;
  const routerMode = base as (typeof ROUTER_MODES)[number];
  const changed = { routerMode, routerSeed: undefined, routerSessionAffinityTtlSecs: ttl };
  return { mode: name, router: readRouterConfig({ ...settings, ...changed }) };
}
