/**
 * `node --expose-gc --import tsx bench/agent-steps.ts TRACES FOLDER`: what each step of the agent profiler takes on its own,
 * as JSON on the last line. Run by the bench `agent-profile`.
 */
import { join } from 'node:path';
import { BaseMetricsCollector } from '../src/agent-profiler/analysis/base-metrics.ts';
import { CallSequenceCollector } from '../src/agent-profiler/analysis/call-sequences.ts';
import { SpikeCollector } from '../src/agent-profiler/analysis/concurrency-spikes.ts';
import { ForecastCollector } from '../src/agent-profiler/analysis/forecast.ts';
import { completionTokens, llmColumns } from '../src/agent-profiler/analysis/llm-columns.ts';
import { type NestedStack, NestedStackCollector } from '../src/agent-profiler/analysis/nested-stack.ts';
import { PrefixSpan } from '../src/agent-profiler/analysis/prefix-span.ts';
import { PromptPrefixCollector } from '../src/agent-profiler/analysis/prompt-prefixes.ts';
import { SimpleStackCollector } from '../src/agent-profiler/analysis/simple-stack.ts';
import { TokenUniquenessCollector } from '../src/agent-profiler/analysis/token-uniqueness.ts';
import type { Trace } from '../src/agent-profiler/input/event.ts';
import { readTraceFiles } from '../src/agent-profiler/input/trace-files.ts';
import { tableRows } from '../src/agent-profiler/output/flat-table.ts';
import { ganttNodes, ganttSvg } from '../src/agent-profiler/output/gantt-svg.ts';
import { StreamedFile } from '../src/agent-profiler/output/streamed-file.ts';
import { requestText } from '../src/agent-profiler/output/traces-file.ts';
import { TrieCollector } from '../src/agent-profiler/trie/prediction-trie.ts';
import { loadPngRenderer } from '../src/transport/plot-assets.ts';

/** Seconds of a step over the whole file, and megabytes that it holds when all has passed. */
export interface StepCost {
  readonly seconds: number;
  readonly heldMb: number;
}

interface Step {
  add(trace: Trace): void;
  finish(): unknown;
}

const SENSITIVITY = {
  ...{ scale: 5, wCritical: 0.5, wFanout: 0.3, wPosition: 0.2, wParallel: 0 },
  ...{ absolute: false, slack: 'siblings-only' as const },
};

/** A collector with what makes its result; a scope of its own, so that dropping the step drops what it holds. */
function step<T extends { add(trace: Trace): void }>(collector: T, finish: (collector: T) => unknown): Step {
  return { add: (trace) => collector.add(trace), finish: () => finish(collector) };
}

function fileStep(path: string, textOf: (trace: Trace) => Iterable<string>): Step {
  const file = new StreamedFile(path);
  return {
    add: (trace) => {
      for (const piece of textOf(trace)) file.write(piece);
    },
    finish: () => file.finish(),
  };
}

/** The steps by the names of the recorded figures. */
function stepsOf(folder: string): Record<string, Step> {
  const table = { llmColumns: false, excludeText: false, oslByUuid: new Map(), noLlmStarts: false };
  return {
    'traces JSON': fileStep(join(folder, 'traces.json'), requestText),
    'table and CSV': fileStep(join(folder, 'table.csv'), (trace) => tableRows(trace, table)),
    'NOVA columns': {
      add: (trace) => void llmColumns(trace, completionTokens(trace.events)),
      finish: () => undefined,
    },
    'run times': new BaseMetricsCollector('uuid'),
    'token uniqueness': new TokenUniquenessCollector(),
    'simple stack': new SimpleStackCollector('request'),
    nested: step(new NestedStackCollector('parent-links'), (collector) => {
      const stack = collector.finish();
      for (const [,] of stack.keyed());
      return stack;
    }),
    'spikes, threshold 1': step(new SpikeCollector('parent-links'), (collector) => {
      for (const _ of collector.finish(1).intervals(256));
    }),
    PrefixSpan: step(new CallSequenceCollector({ withText: true, maxTextLength: 1000 }), (collector) =>
      new PrefixSpan(collector.finish(), { minSupport: 2, minCoverage: 0, topK: 10 }).mine(),
    ),
    'prefixes, 0.1': step(new PromptPrefixCollector('starts'), (collector) => collector.finish(0.1)),
    trie: new TrieCollector({ paths: 'full', sensitivity: SENSITIVITY, maxCallIndex: 1000 }),
    forecast: new ForecastCollector(),
  };
}

function heldMb(): number {
  globalThis.gc!();
  globalThis.gc!();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return (heapUsed + arrayBuffers) / 1e6;
}

async function main(input: string, folder: string): Promise<Record<string, StepCost>> {
  const steps = stepsOf(folder);
  const names = Object.keys(steps);
  const ms = new Float64Array(names.length);
  const started = performance.now();
  for await (const trace of readTraceFiles([input], { onFault: (fault) => console.error(fault) }))
    for (const [i, name] of names.entries()) {
      const from = performance.now();
      steps[name]!.add(trace);
      ms[i]! += performance.now() - from;
    }
  // What is left of the pass is reading, parsing and checking.
  const readMs = performance.now() - started - ms.reduce((sum, one) => sum + one, 0);
  const costs: Record<string, StepCost> = { 'validate and read': { seconds: readMs / 1000, heldMb: 0 } };
  let chartMs = 0;
  for (const [i, name] of names.entries()) {
    const from = performance.now();
    const result = steps[name]!.finish();
    const seconds = (ms[i]! + performance.now() - from) / 1000;
    if (name === 'nested') chartMs = await drawChart(result as NestedStack);
    costs[name] = { seconds, heldMb: 0 };
  }
  costs['nested and chart'] = { seconds: costs.nested!.seconds + chartMs / 1000, heldMb: 0 };
  let before = heldMb();
  for (const name of names) {
    delete steps[name];
    const now = heldMb();
    costs[name] = { ...costs[name]!, heldMb: Math.max(0, before - now) };
    before = now;
  }
  return costs;
}

async function drawChart(stack: NestedStack): Promise<number> {
  const from = performance.now();
  (await loadPngRenderer()).render(ganttSvg(ganttNodes(stack), 1500, 1125, 60), 2);
  return performance.now() - from;
}

if (process.argv[1] === import.meta.filename) {
  const [, , input, folder] = process.argv;
  console.log(JSON.stringify(await main(input!, folder!)));
}
