import { fail } from '../../base/errors.ts';
import type { Metrics, Prediction, Predictions, TrieNode } from './trie-node.ts';

type Json = Readonly<Record<string, unknown>>;

/** 1.0 is the toolkit's; 1.1 adds `own_by_call_index` and `own_any_index` to nodes, which readers of 1.0 ignore. */
export type TrieVersion = '1.0' | '1.1';

/** The content of prediction_trie.json. */
export function trieJson(root: TrieNode, version: TrieVersion, generatedAt: Date): object {
  return {
    version,
    generated_at: generatedAt.toISOString().replace(/\.?0*Z$/, '+00:00'),
    workflow_name: 'profiled_workflow',
    root: nodeJson(root),
  };
}

function nodeJson(node: TrieNode): object {
  const own = node.own;
  return {
    name: node.name,
    predictions_by_call_index: byIndexJson(node),
    predictions_any_index: predictionJson(node.any),
    ...(own === undefined
      ? {}
      : { own_by_call_index: byIndexJson(own), own_any_index: predictionJson(own.any) }),
    children: Object.fromEntries([...node.children].map(([name, child]) => [name, nodeJson(child)])),
  };
}

function byIndexJson({ byIndex }: Predictions): object {
  return Object.fromEntries(
    [...byIndex].map(([index, prediction]) => [String(index), predictionJson(prediction)]),
  );
}

function predictionJson(prediction: Prediction | undefined): object | null {
  if (prediction === undefined) return null;
  return {
    remaining_calls: metricsJson(prediction.remainingCalls),
    interarrival_ms: metricsJson(prediction.interarrivalMs),
    output_tokens: metricsJson(prediction.outputTokens),
    latency_sensitivity: prediction.latencySensitivity ?? null,
  };
}

function metricsJson({ sampleCount, mean, p50, p90, p95 }: Metrics): object {
  return { sample_count: sampleCount, mean, p50, p90, p95 };
}

/** Reads a trie of either version; maps and sensitivities may be missing. Throws KV_FILE_MALFORMED. */
export function readTrie(text: string, path: string): TrieNode {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch (cause) {
    throw malformed(path, 'is not JSON', cause);
  }
  if (!isObject(file) || !isObject(file.root)) throw malformed(path, 'has no root');
  return readNode(file.root, path, 0);
}

const MAX_DEPTH = 1000;

function readNode(node: Json, path: string, depth: number): TrieNode {
  if (depth > MAX_DEPTH) throw malformed(path, `nests deeper than ${MAX_DEPTH} functions`);
  const children = isObject(node.children) ? Object.entries(node.children) : [];
  const hasOwn = isObject(node.own_by_call_index) || isObject(node.own_any_index);
  return {
    name: String(node.name ?? ''),
    ...readPredictions(node.predictions_by_call_index, node.predictions_any_index),
    own: hasOwn ? readPredictions(node.own_by_call_index, node.own_any_index) : undefined,
    children: new Map(
      children.map(([name, child]) => {
        if (!isObject(child)) throw malformed(path, `the child ${JSON.stringify(name)} is not an object`);
        return [name, readNode(child, path, depth + 1)];
      }),
    ),
  };
}

function readPredictions(byIndex: unknown, any: unknown): Predictions {
  const entries = isObject(byIndex) ? Object.entries(byIndex) : [];
  return {
    byIndex: new Map(
      entries.flatMap(([index, value]) => (isObject(value) ? [[Number(index), readPrediction(value)]] : [])),
    ),
    any: isObject(any) ? readPrediction(any) : undefined,
  };
}

function readPrediction(value: Json): Prediction {
  return {
    remainingCalls: readMetrics(value.remaining_calls),
    interarrivalMs: readMetrics(value.interarrival_ms),
    outputTokens: readMetrics(value.output_tokens),
    latencySensitivity: typeof value.latency_sensitivity === 'number' ? value.latency_sensitivity : undefined,
  };
}

function readMetrics(value: unknown): Metrics {
  const metrics = isObject(value) ? value : {};
  const number = (member: unknown): number => (typeof member === 'number' ? member : 0);
  return {
    sampleCount: number(metrics.sample_count),
    mean: number(metrics.mean),
    p50: number(metrics.p50),
    p90: number(metrics.p90),
    p95: number(metrics.p95),
  };
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function malformed(path: string, reason: string, cause?: unknown): Error {
  return fail(
    'KV_FILE_MALFORMED',
    { path, reason, mend: 'Write it again with kvasir profile agent.' },
    cause,
  );
}
