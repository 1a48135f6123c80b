import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import {
  expectClose,
  golden,
  goldenText,
  goldenTraces,
  rawRow,
  traceOf,
  tracesOf,
} from '../../test/support/golden-traces.ts';
import { EVALUATORS, type EvaluatorChoice } from './analysis/runtime-evaluation.ts';
import { ALL_ANALYSES, type Compat, readProfilerConfig } from './config.ts';
import { chooseEvaluators } from './evaluator-choice.ts';
import type { Trace } from './input/event.ts';
import { readTraceFiles } from './input/trace-files.ts';
import { profileTraces } from './run.ts';

const folders: string[] = [];

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

const GOLDEN_CONFIG = {
  base_metrics: true,
  token_uniqueness_forecast: true,
  workflow_runtime_forecast: true,
  compute_llm_metrics: true,
  prompt_caching_prefixes: { enable: true, min_frequency: 0.1 },
  bottleneck_analysis: { enable_simple_stack: true, enable_nested_stack: true },
  concurrency_spike_analysis: { enable: true, spike_threshold: 2 },
  prefix_span_analysis: { enable: true },
  prediction_trie: { enable: true },
};

async function profile(traces: readonly Trace[], config: unknown, compat: Compat) {
  const outputDir = mkdtempSync(join(tmpdir(), 'agent-run-'));
  folders.push(outputDir);
  const read = config === undefined ? ALL_ANALYSES : readProfilerConfig(config, compat);
  const outcome = await profileTraces({
    config: read,
    compat,
    traces: () => traces,
    outputDir,
    generatedAt: new Date(0),
  });
  const text = (name: string): string => readFileSync(join(outputDir, name), 'utf8');
  return { ...outcome, outputDir, text, json: (name: string) => JSON.parse(text(name)) };
}

describe('a run in compat mode', () => {
  test.each(['a', 'b', 'c'] as const)('writes the reference’s files for workflow %s', async (workflow) => {
    const { json, text, outputDir } = await profile(goldenTraces(workflow), GOLDEN_CONFIG, 'nat');
    expect(text('standardized_data_all.csv')).toBe(goldenText(`${workflow}.standardized_data_all.csv`));
    for (const name of ['inference_optimization', 'prediction_trie'])
      expectClose(json(`${name}.json`), golden(`${workflow}.${name}.json`));
    const metrics = json('workflow_profiling_metrics.json');
    for (const interval of metrics.concurrency_spike_analysis.spike_intervals) interval.active_uuids.sort();
    expectClose(metrics, golden(`${workflow}.workflow_profiling_metrics.json`));
    expect(text('workflow_profiling_report.txt')).toMatch(/^\n\n\nCalls by model and tool/);
    expect(readdirSync(outputDir).sort()).toEqual([
      'all_requests_profiler_traces.json',
      'inference_optimization.json',
      'prediction_trie.json',
      'standardized_data_all.csv',
      'workflow_profiling_metrics.json',
      'workflow_profiling_report.txt',
    ]);
  });

  test('writes the traces as the toolkit writes them, and reads them back', async () => {
    const traces = goldenTraces('c').slice(0, 2);
    const { text } = await profile(traces, {}, 'nat');
    const written = text('all_requests_profiler_traces.json');
    expect(JSON.parse(written)).toEqual(golden('c.all_requests_profiler_traces.first2requests.json'));
    const again = tracesOf(written);
    expect(again.map(({ events }) => events.map(({ raw: _, ...event }) => event))).toEqual(
      traces.map(({ events }) => events.map(({ raw: _, ...event }) => event)),
    );
  });

  test('takes completion tokens from another request that carries the same UUID', async () => {
    const traces = [3, 9].map((completion, index) => ({
      ...traceOf(
        ['LLM_START', 0, 'u', { name: 'm' }],
        ['LLM_END', 1, 'u', { name: 'm', tokens: { completion_tokens: completion } }],
      ),
      index,
    }));
    const osl = (csv: string) =>
      csv
        .split('\n')
        .filter((row) => row.startsWith('LLM_START'))
        .map((row) => row.split(',').at(-2));
    expect(
      osl((await profile(traces, { compute_llm_metrics: true }, 'nat')).text('standardized_data_all.csv')),
    ).toEqual(['9.0', '9.0']);
    expect(
      osl((await profile(traces, { compute_llm_metrics: true }, 'kvasir')).text('standardized_data_all.csv')),
    ).toEqual(['3.0', '9.0']);
  });

  test('withholds its results when the forecast cannot be trained', async () => {
    const outcome = await profile(goldenTraces('c'), { token_usage_forecast: true }, 'nat');
    expect(outcome.profile.resultsWithheld).toBe(true);
    expect(outcome.warnings).toEqual(['the forecast cannot be trained: a request without LLM call']);
  });

  test('writes one line break as the table of no requests', async () => {
    expect((await profile([], GOLDEN_CONFIG, 'nat')).text('standardized_data_all.csv')).toBe(
      golden('variants.json')['no requests at all: CSV bytes'],
    );
  });
});

describe('a run by default', () => {
  test('writes every file, and a report without scripts or outside files', async () => {
    const { outputDir, text, json } = await profile(goldenTraces('b'), undefined, 'kvasir');
    expect(readdirSync(outputDir).sort()).toEqual([
      'agent_metrics.prom',
      'all_requests_profiler_traces.json',
      'fitted_model.json',
      'inference_optimization.json',
      'kvasir_profile.json',
      'prediction_trie.json',
      'report.html',
      'request_hints.json',
      'standardized_data_all.csv',
      'workflow_profiling_metrics.json',
      'workflow_profiling_report.txt',
    ]);
    const improved = golden('improved.json');
    expectClose(
      json('inference_optimization.json').confidence_intervals.llm_latency_confidence_intervals,
      improved['llm_latency paired by UUID'].b,
    );
    const nodes = json('workflow_profiling_metrics.json').nested_stack_analysis.node_metrics;
    for (const row of improved.parent_linked_tree.b0)
      expectClose(nodes[row.uuid].subtree_time, row.subtree_time);
    expect(text('report.html')).not.toMatch(/<script|src=|href=/);
    expect(json('request_hints.json').hints[0]).toMatchObject({
      path: ['<workflow>'],
      call_index: 1,
      nvext: { agent_hints: { priority: 5, osl: 60 } },
    });
  });

  test.each([
    ['no request', []],
    ['empty requests', [{ index: 0, events: [] }]],
    ['one event', [traceOf(['LLM_START', 5, 'u', { name: 'm', input: 'x' }])]],
    ['an end without start', [traceOf(['LLM_END', 5, 'u', { name: 'm' }])]],
    [
      'equal times',
      [traceOf(['LLM_START', 5, 'u', { name: 'm', input: 'x' }], ['LLM_END', 5, 'u', { name: 'm' }])],
    ],
    [
      'time running backwards',
      [traceOf(['LLM_START', 5, 'u', { name: 'm', input: 'x' }], ['LLM_END', 4, 'u', { name: 'm' }])],
    ],
    ['no UUIDs', [traceOf(['TOOL_START', 5, ''], ['TOOL_END', 6, ''])]],
  ])('takes %s', async (_, traces: readonly Trace[]) => {
    for (const compat of ['kvasir', 'nat'] as const) {
      const { json, text } = await profile(traces, compat === 'kvasir' ? undefined : GOLDEN_CONFIG, compat);
      expect(json('workflow_profiling_metrics.json')).toHaveProperty('prefix_span_analysis.patterns');
      const written = [
        'inference_optimization.json',
        'workflow_profiling_metrics.json',
        'prediction_trie.json',
      ]
        .map(text)
        .join('');
      expect(written).not.toMatch(/NaN|Infinity/);
    }
  });

  test('keeps prompts in any script, and marks what HTML could misread', async () => {
    const prompts = ['日本語のプロンプト <b>&', '日本語のプロンプト 😀'];
    const trace = traceOf(
      ...prompts.flatMap((input, i) => [
        ['LLM_START', i, `u${i}`, { name: 'modèle', input }] as const,
        ['LLM_END', i + 0.5, `u${i}`, { name: 'modèle' }] as const,
      ]),
    );
    const { json, text } = await profile(
      [trace],
      { prompt_caching_prefixes: { enable: true, min_frequency: 1 } },
      'kvasir',
    );
    expect(json('inference_optimization.json').common_prefixes.modèle.prefix_info).toEqual([
      { prefix: '日本語のプロンプト ', prefix_length: 10, calls_count: 2, calls_percentage: 1 },
    ]);
    expect(text('report.html')).not.toContain('<b>&');
  });

  test('leaves nothing unfinished behind when reading fails', async () => {
    const outputDir = mkdtempSync(join(tmpdir(), 'agent-run-'));
    folders.push(outputDir);
    function* broken(): Generator<Trace> {
      yield tracesOf(JSON.stringify([[rawRow(['TOOL_START', 1, 'u'])]]))[0]!;
      throw new Error('lost');
    }
    await expect(
      profileTraces({
        config: ALL_ANALYSES,
        compat: 'kvasir',
        traces: broken,
        outputDir,
        generatedAt: new Date(0),
      }),
    ).rejects.toThrow('lost');
    expect(readdirSync(outputDir)).toEqual([]);
  });
});

describe('run-time evaluators of a run', () => {
  const scored = async (
    traces: Parameters<typeof profileTraces>[0]['traces'],
    evaluators: EvaluatorChoice,
    compat: Compat,
  ) => {
    const outputDir = mkdtempSync(join(tmpdir(), 'agent-run-'));
    folders.push(outputDir);
    await profileTraces({
      config: ALL_ANALYSES,
      compat,
      traces,
      evaluators,
      outputDir,
      generatedAt: new Date(0),
    });
    return (name: string) => JSON.parse(readFileSync(join(outputDir, `${name}_output.json`), 'utf8'));
  };

  test.each(['a', 'b', 'c'] as const)(
    'write a file each for workflow %s, with its verdicts',
    async (workflow) => {
      const read = await scored(() => goldenTraces(workflow), chooseEvaluators(['all'], undefined), 'nat');
      const expected = golden('evaluators.json')[workflow];
      for (const name of EVALUATORS) {
        const { eval_output_items: items, average_score: average } = read(name);
        expectClose(
          items,
          expected.map((verdicts: Record<string, object>, id: number) => ({ id, ...verdicts[name] })),
        );
        const mean =
          expected.reduce((s: number, v: Record<string, { score: number }>) => s + v[name]!.score, 0) /
          expected.length;
        expect(Math.abs(average - mean)).toBeLessThanOrEqual(0.005 + 1e-9);
      }
    },
  );

  test('score trajectories by their steps', async () => {
    const file = new URL('../../test/golden/agent-profiler/a0.atif.json', import.meta.url).pathname;
    const read = await scored(
      () => readTraceFiles([file], { onFault: ({ reason }) => expect.fail(reason) }),
      { speed: 'avg_llm_latency' },
      'kvasir',
    );
    expect(read('speed')).toEqual({
      average_score: 1.0833,
      eval_output_items: [
        { id: 0, score: 1.0833, reasoning: { num_llm_calls: 3, latencies: [1, 0.75, 1.5] } },
      ],
    });
  });

  test('have no average where there are no requests', async () => {
    const read = await scored(() => [], { speed: 'avg_llm_latency' }, 'kvasir');
    expect(read('speed')).toEqual({ average_score: null, eval_output_items: [] });
  });

  test('come from flags and from the toolkit’s configuration, judges left out', () => {
    const config = {
      eval: { evaluators: { fast: { _type: 'avg_llm_latency' }, right: { _type: 'ragas' } } },
    };
    expect(chooseEvaluators(['avg_num_llm_calls'], config)).toEqual({
      fast: 'avg_llm_latency',
      avg_num_llm_calls: 'avg_num_llm_calls',
    });
    expect(() => chooseEvaluators(['avg_latency'], undefined)).toThrow('avg_latency');
    const outside = { eval: { evaluators: { '../x': { _type: 'avg_llm_latency' } } } };
    expect(() => chooseEvaluators([], outside)).toThrow('is not a file name');
  });
});
