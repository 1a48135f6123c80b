import {
  type EvaluatorChoice,
  type EvaluatorOutput,
  RuntimeEvaluationCollector,
} from './analysis/runtime-evaluation.ts';
import type { Compat, ProfilerConfig } from './config.ts';
import type { Trace } from './input/event.ts';
import type { ReadRequest } from './input/trace-reader.ts';
import { ganttNodes, ganttSvg } from './output/gantt-svg.ts';
import { ProfileOutput } from './output/profile-output.ts';
import { AgentProfiler, type Profile } from './profiler.ts';

type SourceTrace = Trace & Partial<Pick<ReadRequest, 'id' | 'trajectory'>>;

export interface ProfileRun {
  readonly config: ProfilerConfig;
  readonly compat: Compat;
  /** Opens the traces; called a second time only for columns of the reference that look across requests. */
  readonly traces: () => AsyncIterable<SourceTrace> | Iterable<SourceTrace>;
  /** Run-time evaluators to score each request with; none by default. */
  readonly evaluators?: EvaluatorChoice;
  /** Undefined: nothing is written. */
  readonly outputDir?: string | undefined;
  readonly generatedAt: Date;
  readonly signal?: AbortSignal;
  /** Draws gantt_chart.png; without it the picture is left out. */
  readonly rasterise?: ((svg: string, scale: number) => Promise<Uint8Array>) | undefined;
  /** Collects Dynamo's metrics for the window of the traces; a failure becomes a warning. */
  readonly collectDynamo?: ((config: ProfilerConfig['dynamo_metrics']) => Promise<unknown>) | undefined;
}

export interface ProfileOutcome {
  readonly profile: Profile;
  /** Verdicts by the evaluators' names. */
  readonly evaluations: Readonly<Record<string, EvaluatorOutput>>;
  readonly written: readonly string[];
  readonly warnings: readonly string[];
}

// The picture is 3000 x 2250 pixels, as the reference draws it.
const [CHART_WIDTH, CHART_HEIGHT, CHART_SCALE] = [1500, 1125, 2];
const CHART_PITCH = 60;

/** Profiles traces in one pass and writes the output folder; nothing unfinished stays behind when it fails. */
export async function profileTraces(run: ProfileRun): Promise<ProfileOutcome> {
  let profiler: AgentProfiler | undefined = new AgentProfiler(run.config, run.compat);
  const evaluators = new RuntimeEvaluationCollector(
    run.evaluators ?? {},
    run.compat === 'nat' ? 'span-timestamp' : 'also-invocation',
  );
  const output =
    run.outputDir === undefined ? undefined : new ProfileOutput(run.outputDir, run.config, run.compat);
  try {
    for await (const trace of run.traces()) {
      run.signal?.throwIfAborted();
      profiler.add(trace);
      evaluators.add(trace);
      output?.add(trace);
    }
    const profile = profiler.finish();
    // What only the analyses needed is given back before the files are written.
    profiler = undefined;
    const evaluations = evaluators.finish();
    const warnings = [...profile.warnings];
    const dynamoMetrics = await collect(run, profile, warnings);
    if (output !== undefined) {
      if (output.needsSecondTable) await output.rewriteTable(run.traces());
      const { nestedStack } = profile;
      const svg =
        nestedStack !== undefined && nestedStack.size > 0
          ? ganttSvg(ganttNodes(nestedStack), CHART_WIDTH, CHART_HEIGHT, CHART_PITCH)
          : undefined;
      const png = svg === undefined ? undefined : await run.rasterise?.(svg, CHART_SCALE);
      output.finish(
        { ...profile, warnings },
        { generatedAt: run.generatedAt, dynamoMetrics, png, evaluations },
      );
    }
    return { profile, evaluations, written: output?.written ?? [], warnings };
  } catch (thrown) {
    output?.abandon();
    throw thrown;
  }
}

async function collect(run: ProfileRun, profile: Profile, warnings: string[]): Promise<unknown> {
  const config = run.config.dynamo_metrics;
  if (!config.enable) return undefined;
  const { firstEventS, lastEventS } = profile.base;
  if (run.collectDynamo === undefined) {
    warnings.push('dynamo_metrics is on, but nothing here collects them: run kvasir collect beside it');
    return undefined;
  }
  try {
    return await run.collectDynamo({
      ...config,
      workflow_start_timestamp: firstEventS ?? null,
      workflow_end_timestamp: lastEventS ?? null,
    });
  } catch (thrown) {
    warnings.push(
      `dynamo_metrics could not be collected: ${thrown instanceof Error ? thrown.message : String(thrown)}`,
    );
    return undefined;
  }
}
