import { nodeMetrics } from '../analysis/nested-stack.ts';
import type { Profile } from '../profiler.ts';

/** A JSON text in pieces; the large lists are made while they are written. */
type Pieces = Generator<string>;

/** inference_optimization.json. */
export function inferenceOptimization(profile: Profile, dynamoMetrics: unknown): object {
  return {
    confidence_intervals: {
      workflow_run_time_confidence_intervals: profile.base.runTime,
      llm_latency_confidence_intervals: profile.base.llmLatency,
      throughput_estimate_confidence_interval: profile.base.throughput,
    },
    common_prefixes: profile.commonPrefixes ?? null,
    token_uniqueness: profile.tokenUniqueness ?? null,
    workflow_runtimes: profile.workflowRuntimes ?? null,
    dynamo_metrics: dynamoMetrics ?? null,
  };
}

/** Whether any analysis of workflow_profiling_metrics.json ran. */
export function hasWorkflowMetrics({ simpleStack, nestedStack, spikes, patterns }: Profile): boolean {
  return [simpleStack, nestedStack, spikes, patterns].some((part) => part !== undefined);
}

/** workflow_profiling_metrics.json; at most `maxActive` calls are listed per spike. */
export function* workflowMetrics(profile: Profile, maxActive: number): Pieces {
  const parts: (readonly [key: string, pieces: Pieces])[] = [];
  const { simpleStack, nestedStack, spikes, patterns } = profile;
  if (simpleStack !== undefined) {
    const stats = simpleStack.stats.map((s) => [`${s.operation_type}:${s.operation_name}`, s]);
    parts.push(['simple_stack_analysis', whole(Object.fromEntries(stats))]);
  }
  if (nestedStack !== undefined) parts.push(['nested_stack_analysis', nestedJson(nestedStack)]);
  if (spikes !== undefined) parts.push(['concurrency_spike_analysis', spikesJson(spikes, maxActive)]);
  if (patterns !== undefined) parts.push(['prefix_span_analysis', whole({ patterns })]);
  yield '{';
  for (const [i, [key, pieces]] of parts.entries()) {
    yield `${i === 0 ? '' : ','}\n  ${JSON.stringify(key)}: `;
    yield* pieces;
  }
  yield '\n}\n';
}

function* whole(value: unknown): Pieces {
  yield JSON.stringify(value, null, 2).replaceAll('\n', '\n  ');
}

function* nestedJson(stack: NonNullable<Profile['nestedStack']>): Pieces {
  const { times, levels } = stack.timeline;
  yield '{\n    "concurrency": {\n      "timeline_segments": [';
  for (let i = 0; i < levels.length; i++)
    yield `${i === 0 ? '' : ','}\n        [${times[i]}, ${times[i + 1]}, ${levels[i]}]`;
  yield `],\n      ${JSON.stringify(stack.percentiles).slice(1, -1)}\n    },\n    "node_metrics": {`;
  let first = true;
  for (const [key, node] of stack.keyed()) {
    yield `${first ? '' : ','}\n      ${JSON.stringify(key)}: ${JSON.stringify(nodeMetrics(node))}`;
    first = false;
  }
  yield `},\n    "top_bottlenecks": ${JSON.stringify(stack.top().map(nodeMetrics))}\n  }`;
}

function* spikesJson(spikes: NonNullable<Profile['spikes']>, maxActive: number): Pieces {
  yield `{\n    ${JSON.stringify(spikes.summary).slice(1, -1)},\n    "spike_intervals": [`;
  let first = true;
  for (const interval of spikes.intervals(maxActive)) {
    yield `${first ? '' : ','}\n      ${JSON.stringify(interval)}`;
    first = false;
  }
  yield ']\n  }';
}
