import { randomBytes } from 'node:crypto';
import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import type { TraceFormat } from '../../formats/traces/trace.ts';
import { LibraryTokenizer } from '../../tokenizer/library-tokenizer.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import { HttpClient } from '../../transport/http-client.ts';
import { readTokenizerFiles } from '../../transport/tokenizer-files.ts';
import { readTraceFile } from '../../transport/trace-file.ts';
import { warmGenerator } from '../generator-warmup.ts';
import { parseGoals } from '../measure/goodput.ts';
import { reportOf } from '../measure/report.ts';
import { OpenAiTarget } from '../openai-target.ts';
import type { LoadRun } from '../record.ts';
import { type LoadProgress, runLoad } from '../run-load.ts';
import { theoreticalKve } from '../theoretical-kve.ts';
import { type BenchPlan, benchPlan } from './plan.ts';
import type { BenchOutcome } from './publish.ts';
import { parseMetadata } from './report-options.ts';
import type { RunFacts } from './run-facts.ts';
import type { BenchSettings } from './settings.ts';
import { awaitStart, shardOf } from './shard.ts';
import { resolveEndpoint, targetOptions } from './target.ts';

export interface BenchContext {
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly onProgress?: ((progress: LoadProgress, hasFailed: boolean) => void) | undefined;
}

/** Formats that vLLM's names of data sets stand for. */
const FORMAT_OF: Readonly<Record<string, TraceFormat | undefined>> = {
  custom: 'vllm-custom',
  burstgpt: 'burstgpt',
};

/** Reads the trace, finds the model, warms up, sends the load and values it. */
export async function runBench(settings: BenchSettings, context: BenchContext): Promise<BenchOutcome> {
  const goals = parseGoals(settings.goodput);
  const metadata = parseMetadata(settings.metadata);
  const tokenizer = await loadTokenizer(settings.tokenizer);
  const whole = await makePlan(settings, tokenizer, context.log);
  const plan = { ...whole, main: shardOf(whole.main, settings.shard) };
  const client = new HttpClient();
  try {
    const endpoint = await resolveEndpoint(settings, client, context);
    const options = targetOptions(settings, endpoint, tokenizer);
    await warmGenerator(options, context.signal);
    const target = new OpenAiTarget(options);
    const facts: RunFacts = {
      ...factsOf(settings, plan, metadata),
      model: endpoint.model,
      prompt: endpoint.form,
      startedAt: new Date(context.clock.wallMs()),
      theoreticalKve: theoreticalKve(whole.main),
    };
    const run = await send(settings, plan, target, context);
    const { convention, sendLagLimitMs: lagLimitMs } = settings;
    const report = reportOf(run, { goals, convention, lagLimitMs, theoreticalKve: facts.theoreticalKve });
    return { run, report, facts };
  } finally {
    await client.stop();
  }
}

function factsOf(
  settings: BenchSettings,
  plan: BenchPlan,
  metadata: Readonly<Record<string, string>>,
): Omit<RunFacts, 'model' | 'prompt' | 'startedAt'> {
  const { url, backend, tokenizer, label, burstiness, cacheState } = settings;
  const { rampUpStrategy: strategy, rampUpStartRps: startRps = 0, rampUpEndRps: endRps = 0 } = settings;
  return {
    ...{ url, backend, tokenizer, label, metadata, burstiness, cacheState },
    requestRate: plan.requestRate,
    ramp: strategy && { strategy, startRps, endRps },
    maxConcurrency: settings.concurrency,
    speedup: settings.trace === undefined ? undefined : settings.speedup,
  };
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
    format: settings.traceFormat ?? FORMAT_OF[settings.datasetName ?? 'trace'],
    // As vLLM: the rows of its larger model.
    model: settings.datasetName === 'burstgpt' ? 'GPT-4' : undefined,
    blockSize: settings.traceBlockSize,
    unit: settings.timeUnit,
    repair: settings.repair,
  });
  for (const warning of trace.warnings) log.warn({}, warning);
  const countTokens = tokenizer && ((text: string) => tokenizer.encode(text).length);
  return benchPlan(settings, { idPrefix, trace, countTokens });
}

/** Warms up, then measures; the target is closed in the end. */
async function send(
  settings: BenchSettings,
  plan: BenchPlan,
  target: OpenAiTarget,
  context: BenchContext,
): Promise<LoadRun> {
  const { signal, clock, onProgress } = context;
  try {
    if (plan.warmup !== undefined) await runLoad(plan.warmup, target, { signal, clock });
    await awaitStart(settings.startAt, clock, signal);
    return await runLoad(plan.main, target, {
      signal,
      clock,
      onRecord: (record, progress) => onProgress?.(progress, record.outcome !== 'completed'),
    });
  } finally {
    await target.stop();
  }
}
