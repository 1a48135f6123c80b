import { describe, expect, test } from 'vitest';
import {
  expectClose,
  golden,
  goldenText,
  goldenTraces,
  type Row,
  traceOf,
} from '../../../test/support/golden-traces.ts';
import type { Trace } from '../input/event.ts';
import { callSamples, type PathRule } from './call-samples.ts';
import { slackRatios } from './parallel-slack.ts';
import { TrieCollector } from './prediction-trie.ts';
import { HINT_DEFAULTS, injectHints, requestHints } from './request-hints.ts';
import { logicalPositions, type SensitivityOptions, scoreToInt, sensitivityScores } from './sensitivity.ts';
import { readTrie, trieJson } from './trie-file.ts';
import { lookUp, type Prediction, type TrieNode } from './trie-node.ts';

// biome-ignore lint/suspicious/noExplicitAny: cases of a golden file
type HintCase = any;

const SENSITIVITY: SensitivityOptions = {
  scale: 5,
  wCritical: 0.5,
  wFanout: 0.3,
  wPosition: 0.2,
  wParallel: 0,
  absolute: false,
  slack: 'with-own-function',
};

function learn(
  traces: readonly Trace[],
  paths: PathRule,
  sensitivity: SensitivityOptions | undefined = SENSITIVITY,
): TrieNode {
  const collector = new TrieCollector({ paths, sensitivity, maxCallIndex: Number.POSITIVE_INFINITY });
  for (const trace of traces) collector.add(trace);
  return collector.finish();
}

function nodeAt(root: TrieNode, path: readonly string[]): TrieNode {
  return path.reduce((node, name) => node.children.get(name)!, root);
}

describe('the prediction trie', () => {
  test.each(['a', 'b', 'c'] as const)('equals the reference file on workflow %s', (workflow) => {
    const written = trieJson(learn(goldenTraces(workflow), 'two-level'), '1.0', new Date(0));
    expectClose(written, golden(`${workflow}.prediction_trie.json`));
  });

  test.each(['b', 'c'] as const)('follows full function paths on workflow %s', (workflow) => {
    const root = learn(goldenTraces(workflow), 'full');
    for (const { path, by_index: expected } of golden('improved.json')[
      `prediction trie ${workflow} with full function paths`
    ]) {
      const { byIndex } = nodeAt(root, path);
      const actual = [...byIndex].map(([index, p]) => [
        String(index),
        {
          n: p.remainingCalls.sampleCount,
          remaining_mean: p.remainingCalls.mean,
          iat_mean: p.interarrivalMs.mean,
          osl_p90: p.outputTokens.p90,
          latency_sensitivity: p.latencySensitivity,
        },
      ]);
      expectClose(Object.fromEntries(actual), expected);
    }
  });

  test('answers a call by its own function before the functions below it', () => {
    const root = learn(goldenTraces('b'), 'full');
    expect(lookUp(root, ['<workflow>'], 1)?.remainingCalls).toMatchObject({ sampleCount: 2, mean: 4 });
    expect(lookUp(root, ['<workflow>', 'worker'], 1)?.outputTokens.p90).toBeCloseTo(122.5, 9);
    expect(lookUp(root, ['<workflow>', 'stranger'], 1)?.remainingCalls.sampleCount).toBe(8);
  });

  test('survives writing and reading, own statistics included', () => {
    const root = learn(goldenTraces('b'), 'full');
    const written = JSON.stringify(trieJson(root, '1.1', new Date(0)));
    expect(readTrie(written, 'x')).toEqual(root);
  });

  test('reads the reference file and answers as the reference does', () => {
    const root = readTrie(goldenText('b.prediction_trie.json'), 'b');
    for (const { path, call_index: index, expected } of golden('lookup_and_hints.json')[
      'lookup on b.prediction_trie.json'
    ]) {
      const p = lookUp(root, path, index)!;
      const actual = {
        'remaining_calls.mean': p.remainingCalls.mean,
        'remaining_calls.sample_count': p.remainingCalls.sampleCount,
        'interarrival_ms.mean': p.interarrivalMs.mean,
        'output_tokens.p90': p.outputTokens.p90,
        latency_sensitivity: p.latencySensitivity,
      };
      expectClose(actual, expected);
    }
    expect(lookUp(readTrie('{"root":{"name":"root"}}', 'x'), ['x'], 1)).toBeUndefined();
  });

  test('refuses a file without a root, naming it', () => {
    expect(() => readTrie('{}', 'trie.json')).toThrow('trie.json: has no root');
  });
});

describe('latency sensitivity', () => {
  test('has the components of the reference, call by call', () => {
    for (const [key, requests] of Object.entries(golden('trie.per_call_scores.json'))) {
      const options = { ...SENSITIVITY, wParallel: key.includes('w_parallel') ? 0.3 : 0 };
      for (const [request, expected] of (requests as unknown[][]).entries()) {
        const trace = goldenTraces(key[0] as 'a')[request]!;
        const calls = callSamples(trace, 'two-level');
        const scores = sensitivityScores(trace, calls, options);
        const actual = calls.map((call, i) => {
          const s = scores[i]!;
          return {
            ...{ path: call.path, call_index: call.callIndex, remaining_calls: call.remainingCalls },
            ...{ time_to_next_ms: call.timeToNextMs ?? null, output_tokens: call.outputTokens },
            ...{
              call_duration_s: call.durationS,
              logical_position: s.logicalPosition,
              group_size: s.groupSize,
            },
            workflow_duration_s: trace.events.at(-1)!.timeS - trace.events[0]!.timeS,
            ...{ critical: s.critical, fanout: s.fanout, position: s.position },
            ...{ parallel_slack_ratio: s.slack, penalty: s.penalty, raw: s.raw, score: s.score },
          };
        });
        expectClose(actual, expected);
      }
    }
  });

  test('equals the reference for every weight and scale', () => {
    for (const [key, nodes] of Object.entries(golden('trie.sensitivity_variants.json'))) {
      const scale = /scale=(\d+)/.exec(key)?.[1];
      const options = {
        ...SENSITIVITY,
        ...(scale === undefined ? {} : { scale: Number(scale) }),
        ...(key.includes('w_parallel=0.3') ? { wParallel: 0.3 } : {}),
      };
      const auto = !key.includes('auto_sensitivity=false');
      const collector = new TrieCollector({
        paths: 'two-level',
        sensitivity: auto ? options : undefined,
        maxCallIndex: 1e9,
      });
      for (const trace of goldenTraces(key[0] as 'a')) collector.add(trace);
      const root = collector.finish();
      for (const { path, by_index: byIndex, any } of nodes as {
        path: string[];
        by_index: object;
        any: unknown;
      }[]) {
        const node = nodeAt(root, path);
        expect(
          Object.fromEntries([...node.byIndex].map(([i, p]) => [i, p.latencySensitivity ?? null])),
        ).toEqual(byIndex);
        expect(node.any?.latencySensitivity ?? null).toBe(any);
      }
    }
  });

  test('rounds halves to even', () => {
    for (const [score, expected] of Object.entries(
      golden('lookup_and_hints.json')['score_to_int (scale 5, half-to-even)'],
    ))
      expect(scoreToInt(Number(score), 5)).toBe(expected);
  });

  test('groups calls that overlap through others', () => {
    for (const { 'spans in LLM_END order': ordered, spans = ordered, expected } of golden(
      'facts_from_tests.json',
    ).logical_positions)
      expect(logicalPositions(spans.map(([startS, endS]: [number, number]) => ({ startS, endS })))).toEqual(
        expected,
      );
  });
});

describe('parallel slack', () => {
  const call = (uuid: string, start: number, end: number, parentId: string): Row[] => [
    ['LLM_START', start, uuid, { parentId, fn: 'f', fnId: 'fid', fnParent: 'gone' }] as const,
    ['LLM_END', end, uuid, { parentId, fn: 'f', fnId: 'fid', fnParent: 'gone', spanStartS: start }] as const,
  ];
  const tool = (uuid: string, start: number, end: number, parentId: string): Row[] => [
    ['TOOL_START', start, uuid, { parentId }] as const,
    ['TOOL_END', end, uuid, { parentId }] as const,
  ];

  test.each([
    [1, 2, 0.5, 5.5, 0.8],
    [0, 5, 0.5, 1.5, 0],
  ])('of a call %d..%d beside %d..%d is as in the reference', (start, end, from, to, expected) => {
    const trace = traceOf(...call('l', start, end, 'p'), ...tool('t', from, to, 'p'));
    const samples = callSamples(trace, 'two-level');
    expect(slackRatios(trace, samples, 'with-own-function')).toEqual([expected]);
  });
});

describe('request hints', () => {
  const metric = (mean: number, p90 = mean) => ({ sampleCount: 1, mean, p50: mean, p90, p95: p90 });
  const predictionOf = (p: Record<string, number>): Prediction => ({
    remainingCalls: metric(p['remaining_calls.mean']!),
    interarrivalMs: metric(p['interarrival_ms.mean']!),
    outputTokens: metric(0, p['output_tokens.p90']),
    latencySensitivity: p.latency_sensitivity,
  });

  test.each<HintCase>(golden('lookup_and_hints.json')['request hints'])(
    'equal the reference: $case',
    (row) => {
      const {
        static: s,
        prefix_id: prefixId,
        manual_sensitivity: manual,
        prediction,
        request_nvext: nvext,
      } = row;
      const defaults = {
        ...{ totalRequests: s.total_requests, osl: s.osl, iatMs: s.iat, maxSensitivity: s.max_sensitivity },
        ...{ cachePinType: s.cache_pin_type ?? undefined, cacheControl: s.cache_control_mode },
      };
      for (const [i, expected] of row.nvext_after.entries()) {
        if (expected === null) continue;
        const hints = () =>
          requestHints(
            {
              prefixId,
              callIndex: i + 1,
              prediction: prediction === null ? undefined : predictionOf(prediction),
              manualSensitivity: manual ?? undefined,
            },
            defaults,
            'nat',
          );
        if ('error' in expected) expect(hints).toThrow('latency_sensitivity');
        else if ('unchanged' in expected)
          expect(injectHints(expected.unchanged, hints())).toBe(expected.unchanged);
        else {
          const body = JSON.stringify(nvext === null ? { model: 'm' } : { model: 'm', nvext });
          expect(JSON.parse(injectHints(body, hints()))).toEqual({ model: 'm', nvext: expected });
        }
      }
    },
  );

  test('speak Dynamo’s dialect: urgent is high, and no key it would refuse', () => {
    const prediction = predictionOf({
      'remaining_calls.mean': 3,
      'interarrival_ms.mean': 100,
      'output_tokens.p90': 50.9,
      latency_sensitivity: 4,
    });
    const hints = requestHints({ prefixId: 'p', callIndex: 1, prediction }, HINT_DEFAULTS, 'dynamo');
    expect(hints).toEqual({ agent_hints: { priority: 4, osl: 50 } });
  });
});
