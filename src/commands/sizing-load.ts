import type { Levels, SizingMetrics } from '../agent-profiler/sizing/gpu-sizing.ts';
import { LevelCollector, type LevelItem } from '../agent-profiler/sizing/usage-stats.ts';
import { RealClock } from '../base/clock.ts';
import { fail } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { resolveSettings } from '../base/settings.ts';
import { traceSessions } from '../formats/traces/sessions.ts';
import type { Trace, TraceRow } from '../formats/traces/trace.ts';
import { ProgressView } from '../load/bench/progress.ts';
import { BENCH_SETTINGS } from '../load/bench/settings.ts';
import { resolveEndpoint, targetOptions } from '../load/bench/target.ts';
import { OpenAiTarget } from '../load/openai-target.ts';
import type { LoadRun } from '../load/record.ts';
import { runLoad } from '../load/run-load.ts';
import { AGENT_TRACE_BLOCK, agentSessions } from '../load/trace/agent-sessions.ts';
import { tracePlan } from '../load/trace-plan.ts';
import { HttpClient } from '../transport/http-client.ts';
import { readTraceFile } from '../transport/trace-file.ts';
import type { CommandContext } from './command.ts';

export interface SizingLoad {
  readonly endpoint: string;
  readonly endpointTimeout: number;
  readonly concurrencies: readonly number[];
  /** Runs of the workflow per place: 0 takes the whole workload, filled up to serve all places alike. */
  readonly numPasses: number;
  readonly trace: string | undefined;
  readonly sessions: number;
  readonly turns: number;
  readonly systemTokens: number;
  readonly turnTokens: number;
  readonly outputTokens: number;
  readonly thinkTime: number;
  readonly model: string | undefined;
  readonly apiKey: string | undefined;
  readonly seed: number;
}

/** Kinds of synthetic agents, each with its system prompt. */
const SYNTHETIC_AGENTS = 2;

/**
 * Runs sessions (a run of the workflow each, its calls one after another) at each concurrency against an
 * OpenAI-compatible server. A level in which a call failed counts as interrupted.
 */
export async function measureLevels(load: SizingLoad, context: CommandContext): Promise<Levels> {
  const given = load.trace === undefined ? undefined : await readTraceFile(load.trace);
  for (const warning of given?.warnings ?? []) context.log.warn({}, warning);
  const bench = resolveSettings(BENCH_SETTINGS, {
    env: {},
    flags: {
      url: load.endpoint,
      requestTimeoutSec: load.endpointTimeout,
      model: load.model,
      apiKey: load.apiKey,
      seed: load.seed,
    },
  });
  const clock = new RealClock();
  const client = new HttpClient();
  try {
    const endpoint = await resolveEndpoint(bench, client, {
      clock,
      log: context.log,
      signal: context.signal,
    });
    const levels = new Map<number, SizingMetrics>();
    for (const concurrency of load.concurrencies) {
      const trace = workload(load, given, concurrency);
      // The same lengths in words of their own for each level, or the cache that one level fills would serve the next.
      const seed = load.seed + concurrency;
      const target = new OpenAiTarget(targetOptions({ ...bench, seed }, endpoint, undefined));
      const progress = await ProgressView.create(
        context.log.child({ concurrency }),
        () => clock.nowMs(),
        context.interactive && process.stderr.isTTY,
      );
      try {
        const run = await runLoad(tracePlan(trace, { concurrency }), target, {
          signal: context.signal,
          clock,
          onRecord: (record, state) => progress.update(state, record.outcome !== 'completed'),
        });
        if (context.signal.aborted) {
          if (levels.size < 2) throw context.signal.reason;
          context.log.warn({ levels: levels.size }, 'interrupted: sizing from the levels measured so far');
          return levels;
        }
        const { metrics, failed } = levelOf(run);
        levels.set(concurrency, metrics);
        logLevel(context.log, metrics, { concurrency, calls: run.records.length, failed });
      } finally {
        progress.stop();
        await target.stop();
      }
    }
    return levels;
  } finally {
    await client.stop();
  }
}

/** Says what a level came to, and that it counts for nothing where something in it failed. */
export function logLevel(
  log: Log,
  { llm_latency_p95: latency, workflow_runtime_p95: runtime }: SizingMetrics,
  { failed, reason, ...facts }: Readonly<Record<string, unknown>> & { readonly failed: number },
): void {
  const times = `p95 LLM latency ${latency.toFixed(3)} s, p95 workflow runtime ${runtime.toFixed(3)} s`;
  if (failed === 0) log.info(facts, times);
  else log.warn({ ...facts, failed, reason }, `some failed, this level is not used: ${times}`);
}

/** The sessions of one level. */
function workload(load: SizingLoad, given: Trace | undefined, concurrency: number): Trace {
  const wanted = (available: number): number =>
    load.numPasses > 0 ? load.numPasses * concurrency : Math.ceil(available / concurrency) * concurrency;
  if (given !== undefined) return { ...given, rows: sessionRows(given, wanted) };
  const { turns, systemTokens, turnTokens, outputTokens, thinkTime, seed } = load;
  const rows = agentSessions({
    ...{ turns, systemTokens, turnTokens, outputTokens, thinkTime, seed },
    // Places set the pace, so the rate of arrivals does not matter.
    ...{ sessions: wanted(load.sessions), agents: SYNTHETIC_AGENTS, rate: 1 },
  });
  return { format: 'mooncake', rows, blockSize: AGENT_TRACE_BLOCK, repairedRows: 0, warnings: [] };
}

/** The rows of so many sessions, begun again from the first where the trace holds fewer. */
function sessionRows(trace: Trace, wanted: (available: number) => number): readonly TraceRow[] {
  const sessions = traceSessions(trace);
  if (sessions.length === 0)
    throw fail('KV_USAGE', { reason: 'the trace holds no request', mend: 'Name another file with --trace.' });
  return Array.from({ length: wanted(sessions.length) }, (_, i) => {
    const { id, turns } = sessions[i % sessions.length]!;
    const sessionId = `${id}#${Math.floor(i / sessions.length)}`;
    return turns.map(({ row: { delayMs: _, ...row }, delayMs }, turn) => ({
      ...row,
      sessionId,
      ...(turn > 0 && { delayMs }),
    }));
  }).flat();
}

function levelOf(run: LoadRun): { readonly metrics: SizingMetrics; readonly failed: number } {
  const sessions = new Map<
    string,
    { firstS: number; lastS: number; latenciesS: number[]; failed: boolean }
  >();
  let failed = 0;
  for (const { sessionId, sentMs, endMs, outcome } of run.records) {
    const [startS, endS] = [sentMs / 1000, endMs / 1000];
    const session = sessions.get(sessionId) ?? { firstS: startS, lastS: endS, latenciesS: [], failed: false };
    sessions.set(sessionId, session);
    session.firstS = Math.min(session.firstS, startS);
    session.lastS = Math.max(session.lastS, endS);
    if (outcome === 'completed') session.latenciesS.push(endS - startS);
    else session.failed = true;
    if (outcome !== 'completed') failed++;
  }
  const level = new LevelCollector();
  for (const { failed: isBroken, ...item } of sessions.values())
    level.add(isBroken ? undefined : (item satisfies LevelItem));
  return { metrics: level.finish(), failed };
}
