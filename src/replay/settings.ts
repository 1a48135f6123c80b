import { fail } from '../base/errors.ts';
import { choice, flag, int, list, number, text } from '../base/settings.ts';
import { TIME_UNITS, TRACE_FORMATS } from '../formats/traces/trace.ts';
import { ROUTER_MODES } from '../kv/settings.ts';
import type { Sla } from './report.ts';

/** What a replay is told besides the engine's and the router's settings. */
export const REPLAY_SETTINGS = {
  trace: text({ placeholder: 'FILE', help: 'workload trace, .gz too; - for stdin' }),
  traceFormat: choice({
    choices: TRACE_FORMATS,
    help: 'format of the trace; told from its first line if absent',
  }),
  traceBlockSize: int({ min: 1, help: 'tokens behind one hash id of the trace; 512, or 64 for weka' }),
  timeUnit: choice({ choices: TIME_UNITS, help: 'unit of the trace’s times, when it is in doubt' }),
  repair: flag({ help: 'cut rows whose lengths and ids disagree, instead of failing' }),
  limit: int({ min: 1, help: 'replay only so many leading rows' }),
  workers: int({ default: 4, min: 1, max: 4096, aliases: ['--num-workers'], help: 'simulated workers' }),
  workerSpeed: list({
    placeholder: 'X,X,…',
    help: 'how fast each of --workers is, as in 1,1,1,0.4 with a slow one; routers are not told',
  }),
  routers: int({
    default: 1,
    min: 1,
    max: 64,
    help: 'routers in front of the workers, which get requests in turn as several frontends do',
  }),
  routerReplicaSync: flag({ help: 'the routers share their bookings' }),
  replicaDelay: number({
    default: 1,
    min: 0,
    placeholder: 'MS',
    help: 'how long what one router tells another takes to arrive',
  }),
  prefillWorkers: int({
    min: 1,
    max: 4096,
    aliases: ['--num-prefill-workers'],
    help: 'workers that only prefill; with --decode-workers, in place of --workers',
  }),
  decodeWorkers: int({
    min: 1,
    max: 4096,
    aliases: ['--num-decode-workers'],
    help: 'workers that only decode',
  }),
  kvBytesPerToken: int({
    min: 1,
    help: 'bytes of KV of one token, for the time that a handoff or a copy between storage tiers takes',
  }),
  kvTransferBandwidth: number({
    default: 64,
    min: 0,
    placeholder: 'GB/s',
    help: 'decimal gigabytes a second from prefill to decode workers; 0 takes --handoff-latency',
  }),
  kvTransferTimingMode: choice({
    choices: ['full_prompt', 'destination_missing'],
    default: 'full_prompt',
    help: 'what a handoff moves: the whole prompt, or only blocks that the decode worker lacks',
  }),
  handoffLatency: number({
    default: 0,
    min: 0,
    placeholder: 'MS',
    help: 'time of a handoff where bytes or bandwidth are not known',
  }),
  routerMode: list({
    default: ['round-robin', 'kv'],
    help: `how requests are placed: ${ROUTER_MODES.join(', ')}; with -affinity behind it, sessions keep their worker`,
  }),
  seeds: int({
    default: 1,
    min: 1,
    max: 1000,
    help: 'replays per mode; from 2 on each re-times arrivals between the trace’s stamps, and the table shows mean ± 95 % interval',
  }),
  speedup: number({
    default: 1,
    min: 1e-6,
    aliases: ['--arrival-speedup-ratio'],
    placeholder: 'X',
    help: 'divides arrival times: 2 sends twice as fast',
  }),
  concurrency: int({
    min: 1,
    aliases: ['--replay-concurrency'],
    help: 'closed loop: so many sessions at once, arrival times are ignored',
  }),
  sla: text({
    placeholder: 'ttft:MS,itl:MS,e2e:MS',
    help: 'limits of a good request, for goodput; leave out what does not matter',
  }),
  maxSimTime: number({ min: 0, placeholder: 'SECONDS', help: 'end early, after so much virtual time' }),
  findCapacity: flag({
    help: 'search the highest speed-up that each mode keeps up with, instead of comparing at one',
  }),
  loadShare: number({
    min: 0.01,
    max: 2,
    help: 'replay at this share of the first mode’s capacity, which is searched first; replaces --speedup',
  }),
  threads: int({
    min: 1,
    max: 256,
    help: 'replays that run at the same time; one per processor unless given, 1 with --trace -',
  }),
  outputDir: text({
    placeholder: 'DIR',
    help: 'write report.json and, per mode and seed, the requests as JSON lines',
  }),
  decisions: flag({
    help: 'with --output-dir, also write the routing decisions, for kvasir policy evaluate',
  }),
};

/** Reads `1,1,1,0.4`: one factor above 0 for each worker, or none at all. */
export function parseSpeeds(values: readonly string[], workers: number): readonly number[] {
  const speeds = values.map(Number);
  const invalid = (value: string, reason: string) =>
    fail('KV_SETTING_INVALID', {
      setting: '--worker-speed',
      value,
      reason,
      mend: `Give ${workers} numbers above 0, as many as --workers, or none.`,
    });
  for (const [i, speed] of speeds.entries())
    if (!(speed > 0 && Number.isFinite(speed))) throw invalid(values[i]!, 'is not a number above 0');
  if (speeds.length > 0 && speeds.length !== workers)
    throw invalid(values.join(), `names ${speeds.length} workers of ${workers}`);
  return speeds;
}

/** Reads `ttft:200,itl:20,e2e:5000`; `tpot` is another name for `itl`. */
export function parseSla(value: string | undefined): Sla | undefined {
  if (value === undefined) return undefined;
  const limits: { ttftMs?: number; itlMs?: number; e2eMs?: number } = {};
  for (const item of value.split(',')) {
    const [name = '', limit = ''] = item.split(':').map((part) => part.trim());
    const key = SLA_KEYS[name.toLowerCase()];
    const ms = limit === '' ? Number.NaN : Number(limit);
    if (key === undefined || !(ms > 0))
      throw fail('KV_SETTING_INVALID', {
        setting: '--sla',
        value: item,
        reason: 'is not a limit',
        mend: 'Write limits in ms, as ttft:2000,itl:50,e2e:10000.',
      });
    limits[key] = ms;
  }
  return limits;
}

const SLA_KEYS: Readonly<Record<string, 'ttftMs' | 'itlMs' | 'e2eMs'>> = {
  ttft: 'ttftMs',
  itl: 'itlMs',
  tpot: 'itlMs',
  e2e: 'e2eMs',
  e2el: 'e2eMs',
};
