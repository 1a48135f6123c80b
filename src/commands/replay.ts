import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { BlockHasher } from '../kv/hash.ts';
import { WasmIndex } from '../kv/index/wasm-index.ts';
import { infiniteCacheKve } from '../replay/cache-bound.ts';
import {
  type ComparisonResult,
  capacityReport,
  capacityText,
  comparisonReport,
  comparisonText,
  type ModeCapacity,
} from '../replay/job-report.ts';
import { capacityOf, compare, type JobObserver, type ReplayJob } from '../replay/replay-job.ts';
import { LocalRunner, type ReplayRunner } from '../replay/replay-runner.ts';
import { writeFileAtomic } from '../transport/atomic-file.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { ReplayProgress } from './replay-progress.ts';
import { prepareReplay, REPLAY_COMMAND_SETTINGS, type ReplayCommandSettings } from './replay-setup.ts';
import { ThreadRunner } from './replay-threads.ts';

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
  settings: REPLAY_COMMAND_SETTINGS,
  async run(settings, context) {
    const job = await prepareReplay(settings, context.log);
    const progress = new ReplayProgress(context.interactive, job.base.workload.requests.length);
    const runner = runnerOf(settings, job, (ended) => progress.advance(ended));
    const observer = observerOf(settings, progress, context);
    const onAbort = (): void => void runner.stop(context.signal.reason);
    context.signal.addEventListener('abort', onAbort, { once: true });
    try {
      const bench: Bench = { runner, observer, progress, context };
      if (settings.findCapacity) await showCapacities(job, bench);
      else await showComparison(settings, job, bench);
    } finally {
      context.signal.removeEventListener('abort', onAbort);
      progress.stop();
      await runner.stop();
    }
    return 0;
  },
});

/** Threads, if there is more than one replay to run and more than one processor to run it on. */
function runnerOf(
  settings: ReplayCommandSettings,
  job: ReplayJob,
  onProgress: (ended: number) => void,
): ReplayRunner {
  const replays = settings.findCapacity ? job.modes.length : job.modes.length * job.seeds;
  const threads = Math.min(replays, settings.threads ?? availableParallelism());
  if (threads > 1 && settings.trace !== '-') return new ThreadRunner(threads, settings, onProgress);
  let told = 0;
  const tell = (ended: number): void => {
    onProgress(ended < told ? ended : ended - told);
    told = ended;
  };
  return new LocalRunner(job, {
    hasher: new BlockHasher(),
    makeIndex: () => new WasmIndex(),
    onProgress: tell,
  });
}

function observerOf(
  settings: ReplayCommandSettings,
  progress: ReplayProgress,
  { signal }: CommandContext,
): JobObserver {
  const { outputDir, findCapacity } = settings;
  return {
    signal,
    rows: outputDir !== undefined && !findCapacity,
    decisions: outputDir !== undefined && settings.decisions && !findCapacity,
    planned: (replays) => progress.plan(replays),
    async finished(mode, seed, { rows, decisions }) {
      if (outputDir === undefined) return;
      const path = (kind: string): string => join(outputDir, `${mode}-seed${seed}.${kind}.jsonl`);
      if (rows !== undefined) await writeFileAtomic(path('requests'), rows);
      if (decisions !== undefined) await writeFileAtomic(path('decisions'), decisions);
    },
  };
}

/** What a run of the command works with. */
interface Bench {
  readonly runner: ReplayRunner;
  readonly observer: JobObserver;
  readonly progress: ReplayProgress;
  readonly context: CommandContext;
}

async function showCapacities(job: ReplayJob, { runner, observer, progress, context }: Bench): Promise<void> {
  const searches = job.modes.map(async (mode): Promise<ModeCapacity> => {
    return { mode: mode.mode, capacity: await capacityOf(job, mode, runner, observer) };
  });
  const found = await Promise.all(searches);
  progress.stop();
  if (context.interactive) for (const line of capacityText(job, found)) context.print(line);
  else context.print(JSON.stringify(capacityReport(job, found)));
}

async function showComparison(
  settings: ReplayCommandSettings,
  given: ReplayJob,
  bench: Bench,
): Promise<void> {
  const { runner, observer, progress, context } = bench;
  const searched = await searchLoad(settings, given, bench);
  const speed =
    searched === undefined ? given.base.load.speedup : searched.loadShare * searched.capacity.speedup;
  const job = { ...given, base: { ...given.base, load: { ...given.base.load, speedup: speed } } };
  const comparison = await compare(job, runner, observer);
  progress.stop();
  const kveBound = infiniteCacheKve(job.base.workload, job.base.engine, new BlockHasher());
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
  { loadShare }: ReplayCommandSettings,
  job: ReplayJob,
  { runner, observer }: Bench,
): Promise<ComparisonResult['searched']> {
  const first = job.modes[0]!;
  if (loadShare === undefined) return undefined;
  return { mode: first.mode, loadShare, capacity: await capacityOf(job, first, runner, observer) };
}
