import { randomBytes } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import { LibraryTokenizer } from '../../tokenizer/library-tokenizer.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { HttpClient } from '../../transport/http-client.ts';
import { readTokenizerFiles } from '../../transport/tokenizer-files.ts';
import { readTraceFile } from '../../transport/trace-file.ts';
import { parseGoals } from '../measure/goodput.ts';
import { type LoadReport, reportOf } from '../measure/report.ts';
import type { OpenAiTarget } from '../openai-target.ts';
import type { LoadRun } from '../record.ts';
import { type LoadProgress, runLoad } from '../run-load.ts';
import { theoreticalKve } from '../theoretical-kve.ts';
import { type BenchPlan, benchPlan } from './plan.ts';
import type { BenchSettings } from './settings.ts';
import { type BenchEndpoint, createTarget, resolveEndpoint } from './target.ts';

export interface BenchContext {
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly onProgress?: ((progress: LoadProgress, hasFailed: boolean) => void) | undefined;
}

export interface BenchResult {
  readonly run: LoadRun;
  readonly report: LoadReport;
  readonly endpoint: BenchEndpoint;
  readonly requestRate: number;
  /** undefined unless a trace was replayed. */
  readonly speedup: number | undefined;
  readonly startedAt: Date;
}

/** Reads the trace, finds the model, warms up, sends the load and values it. */
export async function runBench(settings: BenchSettings, context: BenchContext): Promise<BenchResult> {
  const goals = parseGoals(settings.goodput);
  const tokenizer = await loadTokenizer(settings.tokenizer);
  const plan = await makePlan(settings, tokenizer, context.log);
  const client = new HttpClient();
  try {
    const endpoint = await resolveEndpoint(settings, client, context.clock, context.signal);
    const startedAt = new Date(context.clock.wallMs());
    const run = await send(plan, createTarget(settings, endpoint, tokenizer), context);
    const report = reportOf(run, {
      goals,
      convention: settings.convention,
      lagLimitMs: settings.sendLagLimitMs,
      theoreticalKve: theoreticalKve(plan.main),
    });
    const speedup = settings.trace === undefined ? undefined : settings.speedup;
    return { run, report, endpoint, requestRate: plan.requestRate, speedup, startedAt };
  } finally {
    await client.stop();
  }
}

/** undefined for `byte` and when none is given: texts then are one character a token. */
async function loadTokenizer(path: string | undefined): Promise<Tokenizer | undefined> {
  if (path === undefined || path === 'byte') return undefined;
  return new LibraryTokenizer(await readTokenizerFiles(path));
}

async function makePlan(
  settings: BenchSettings,
  tokenizer: Tokenizer | undefined,
  log: Log,
): Promise<BenchPlan> {
  const idPrefix = settings.requestIdPrefix ?? `bench-${randomBytes(4).toString('hex')}-`;
  if (settings.trace === undefined) return benchPlan(settings, { idPrefix });
  const trace = await readTraceFile(settings.trace, {
    format: settings.traceFormat,
    blockSize: settings.traceBlockSize,
    unit: settings.timeUnit,
    repair: settings.repair,
  });
  for (const warning of trace.warnings) log.warn({}, warning);
  const countTokens = tokenizer && ((text: string) => tokenizer.encode(text).length);
  return benchPlan(settings, { idPrefix, trace, countTokens });
}

/** Warms up, then measures; the target is closed in the end. */
async function send(plan: BenchPlan, target: OpenAiTarget, context: BenchContext): Promise<LoadRun> {
  const { signal, clock, onProgress } = context;
  try {
    if (plan.warmup !== undefined) await runLoad(plan.warmup, target, { signal, clock });
    return await runLoad(plan.main, target, {
      signal,
      clock,
      onRecord: (record, progress) => onProgress?.(progress, record.outcome !== 'completed'),
    });
  } finally {
    await target.stop();
  }
}
