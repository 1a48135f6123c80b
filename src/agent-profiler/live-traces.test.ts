import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectClose } from '../../test/support/golden-traces.ts';
import { NestedStackCollector } from './analysis/nested-stack.ts';
import { EVALUATORS } from './analysis/runtime-evaluation.ts';
import { readProfilerConfig } from './config.ts';
import { readTraceFiles, type SourcedTrace } from './input/trace-files.ts';
import { profileTraces } from './run.ts';

// Written by `nat eval` 1.9.0 with LangChain against simulated engines: `fan-out` has a planner, branches side by side
// with tools that fail once, streamed calls and a merge; `flaky` a model that is not there, a tool that raises, a
// cancelled call. `steps.jsonl` is the same run from the toolkit's file exporter, which lost the last events.
const LIVE = join(import.meta.dirname, '../../test/golden/agent-profiler/live');
const CONFIG = {
  base_metrics: true,
  token_usage_forecast: true,
  token_uniqueness_forecast: true,
  workflow_runtime_forecast: true,
  compute_llm_metrics: true,
  prompt_caching_prefixes: { enable: true, min_frequency: 0.1 },
  bottleneck_analysis: { enable_simple_stack: true, enable_nested_stack: true },
  concurrency_spike_analysis: { enable: true, spike_threshold: 2 },
  prefix_span_analysis: {
    ...{ enable: true, min_support: 0.5, min_coverage: 0, max_text_len: 200, top_k: 20 },
    chain_with_common_prefixes: true,
  },
  prediction_trie: { enable: true },
};

let outputDir: string;
beforeAll(() => {
  outputDir = mkdtempSync(join(tmpdir(), 'kvasir-live-'));
});
afterAll(() => rmSync(outputDir, { recursive: true, force: true }));

const live = (name: string) => gunzipSync(readFileSync(join(LIVE, `${name}.gz`))).toString('utf8');
const liveJson = (name: string) => JSON.parse(live(name));

async function traces(name: string): Promise<readonly SourcedTrace[]> {
  const read: SourcedTrace[] = [];
  const onFault = ({ reason }: { readonly reason: string }) => expect.fail(reason);
  for await (const trace of readTraceFiles([join(LIVE, `${name}.gz`)], { onFault })) read.push(trace);
  return read;
}

describe.each(['fan-out', 'flaky'])('a run of the toolkit, %s', (run) => {
  test('has the toolkit’s own results with its rules', async () => {
    const source = await traces(`${run}.all_requests_profiler_traces.json`);
    const config = readProfilerConfig(CONFIG, 'nat');
    await profileTraces({ config, compat: 'nat', traces: () => source, outputDir, generatedAt: new Date(0) });
    const written = (name: string) => readFileSync(join(outputDir, name), 'utf8');
    expect(written('standardized_data_all.csv')).toBe(live(`${run}.standardized_data_all.csv`));
    const given = liveJson(`${run}.all_requests_profiler_traces.json`);
    expect(JSON.parse(written('all_requests_profiler_traces.json'))).toEqual(given);
    const { dynamo_metrics: _, ...optimization } = liveJson(`${run}.inference_optimization.json`);
    expectClose(JSON.parse(written('inference_optimization.json')), {
      ...optimization,
      dynamo_metrics: null,
    });
    expectClose(
      JSON.parse(written('prediction_trie.json')).root,
      liveJson(`${run}.prediction_trie.json`).root,
    );
    const [ours, theirs] = [
      JSON.parse(written('workflow_profiling_metrics.json')),
      liveJson(`${run}.workflow_profiling_metrics.json`),
    ];
    for (const { concurrency_spike_analysis: spikes } of [ours, theirs])
      for (const spike of spikes.spike_intervals) spike.active_uuids.sort();
    expectClose(ours, theirs);
  });

  test('is scored from its trajectories as the toolkit scores it', async () => {
    const source = await traces(`${run}.workflow_output_atif.json`);
    const { evaluations } = await profileTraces({
      config: readProfilerConfig({}, 'kvasir'),
      compat: 'kvasir',
      traces: () => source,
      evaluators: Object.fromEntries(EVALUATORS.map((name) => [name, name])),
      generatedAt: new Date(0),
    });
    const files = ['lat', 'run', 'num', 'tok'];
    const expected = [0, 1, 2, 3].map((i) => liveJson(`${run}.${files[i]}_output.json`).eval_output_items);
    for (const [i, name] of EVALUATORS.entries())
      expectClose(
        evaluations[name]!.eval_output_items.map(({ id, score, reasoning }) => ({ id, score, reasoning })),
        expected[i].map(({ error: _, ...item }: Record<string, unknown>) => item),
      );
  });

  test('parts into its requests where events of several lie mingled', async () => {
    const whole = await traces(`${run}.all_requests_profiler_traces.json`);
    const parted = await traces(`${run}.steps.jsonl`);
    expect(parted.length).toBe(whole.length);
    const uuids = ({ events }: SourcedTrace) => events.map(({ uuid, type }) => `${type} ${uuid}`);
    const lost = whole.map((trace) => {
      const other = parted.find(({ events }) => events[0]!.uuid === trace.events[0]!.uuid)!;
      expect(uuids(trace)).toEqual(expect.arrayContaining(uuids(other)));
      return trace.events.length - other.events.length;
    });
    expect(lost.reduce((sum, n) => sum + n, 0)).toBeLessThan(5);
  });
});

test('calls that failed last as long as they ran, and what came after them stands beside them', async () => {
  const collector = new NestedStackCollector('parent-links');
  collector.add((await traces('flaky.all_requests_profiler_traces.json'))[0]!);
  const stack = collector.finish();
  const nodes = Array.from({ length: stack.size }, (_, i) => stack.node(i));
  expect(nodes.map(({ depth, operation_name: name, unfinished }) => [depth, name, unfinished])).toEqual([
    [0, '<workflow>', false],
    [1, 'no-such-model', true],
    [1, 'gauge', true],
    [1, 'kvasir-sim', true],
    [1, 'kvasir-sim', false],
  ]);
  const [workflow, ...calls] = nodes;
  const ends = calls.map(({ end_time: endS }) => endS);
  expect(ends).toEqual([...ends].sort((a, b) => a - b));
  expect(calls.reduce((sum, { duration }) => sum + duration, 0)).toBeLessThanOrEqual(workflow!.duration);
});
