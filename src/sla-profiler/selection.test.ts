import { describe, expect, test } from 'vitest';
import kvLogs from '../../test/golden/sla/kv_log.json' with { type: 'json' };
import golden from '../../test/golden/sla/recommend.json' with { type: 'json' };
import ranges from '../../test/golden/sla/sweep_ranges.json' with { type: 'json' };
import type { BackendName } from '../formats/deployment/backend.ts';
import { kvCapacityFromLog, vllmCapacityFromConcurrency } from './kv-capacity.ts';
import { latencyOf } from './latency.ts';
import { recommend, recommendationLines } from './recommendation.ts';
import { paretoFront, selectCandidate } from './selection.ts';
import {
  decodeIsls,
  denseGpuCounts,
  inFlightCounts,
  moeGpuCounts,
  prefillIsls,
  requestsThatFit,
} from './sweep-ranges.ts';

describe('the selection', () => {
  test.each(golden.cases)(
    'follows the rule for TTFT $in.ttft_ms and ITL $in.itl_ms',
    ({ in: given, out }) => {
      const prefill = given.prefill.rows.map(([gpus, latencyMs, tokensPerSPerGpu]) => ({
        gpus: gpus!,
        latencyMs: latencyMs!,
        tokensPerSPerGpu: tokensPerSPerGpu!,
      }));
      const decode = given.decode.rows.map(
        ([gpus, latencyMs, tokensPerSPerGpu, concurrency, maxKvTokens]) => ({
          gpus: gpus!,
          latencyMs: latencyMs!,
          tokensPerSPerGpu: tokensPerSPerGpu!,
          concurrency: concurrency!,
          maxKvTokens: maxKvTokens!,
        }),
      );
      const prefillChoice = selectCandidate(prefill, given.ttft_ms)!;
      const decodeChoice = selectCandidate(decode, given.itl_ms)!;
      expect(prefill.indexOf(prefillChoice.chosen)).toBe(out.prefill_index);
      expect(decode.indexOf(decodeChoice.chosen)).toBe(out.decode_index);
      expect([prefillChoice.met, decodeChoice.met]).toEqual([out.ttft_met, out.itl_met]);
      const target = {
        islTokens: given.isl,
        oslTokens: given.osl,
        ttftMs: given.ttft_ms,
        itlMs: given.itl_ms,
      };
      const result = recommend(target, prefillChoice, decodeChoice);
      expect(result.prefillQueue).toEqual({ upper: out.queue_upper, lower: out.queue_lower });
      expect(result.decodeKv).toEqual({ upper: out.kv_upper, lower: out.kv_lower });
      expect(result.kvUtilisation).toBe(out.kv_utilisation);
      const suggested = (lines: string[]): string[] => lines.filter((line) => line.startsWith('Suggested'));
      expect(
        suggested(recommendationLines(result, { style: 'mapping', prefill: 'tp', decode: 'tp' })),
      ).toEqual(out.lines_tp_wording);
      const byGpus = suggested(recommendationLines(result, { style: 'gpus' }));
      expect(byGpus.filter((line) => line.includes('GPUs'))).toEqual(out.lines_gpu_wording);
    },
  );

  test.each([
    // gpus, latency, tokens/s/GPU, uncertainty; then the chosen one and what it ties with.
    [
      'takes fewer GPUs of a tie',
      [
        [1, 9, 100, 0.02],
        [2, 8, 103, 0.02],
      ],
      0,
      1,
    ],
    [
      'takes the better one where intervals part',
      [
        [1, 9, 100, 0.01],
        [2, 8, 103, 0.01],
      ],
      1,
      undefined,
    ],
    [
      'takes the best of the fewest',
      [
        [1, 8, 99, 0.03],
        [1, 9, 100, 0.03],
        [4, 8, 103, 0.02],
      ],
      1,
      2,
    ],
    [
      'ties nothing that is beyond the target',
      [
        [1, 11, 102, 0.1],
        [2, 8, 103, 0.1],
      ],
      1,
      undefined,
    ],
    [
      'ties by latency where nothing meets it',
      [
        [1, 12.1, 9, 0.01],
        [2, 12, 8, 0.01],
      ],
      0,
      1,
    ],
    [
      'knows no tie without intervals',
      [
        [1, 9, 102.9, 0],
        [2, 8, 103, 0],
      ],
      1,
      undefined,
    ],
  ] as [string, [number, number, number, number][], number, number | undefined][])(
    '%s',
    (_, rows, chosen, tied) => {
      const candidates = rows.map(([gpus, latencyMs, tokensPerSPerGpu, uncertainty]) => ({
        gpus,
        latencyMs,
        tokensPerSPerGpu,
        uncertainty,
      }));
      const choice = selectCandidate(candidates, 10)!;
      expect(candidates.indexOf(choice.chosen)).toBe(chosen);
      expect(choice.tiedWith).toBe(tied === undefined ? undefined : candidates[tied]);
    },
  );

  test('has nothing to choose from nothing', () => {
    expect(selectCandidate([], 10)).toBeUndefined();
  });

  test('keeps on the Pareto front only what nothing beats', () => {
    const at = (latencyMs: number, tokensPerSPerGpu: number) => ({ gpus: 1, latencyMs, tokensPerSPerGpu });
    const front = paretoFront([at(3, 5), at(1, 2), at(2, 1), at(2, 4), at(4, 5), at(Number.NaN, 9)]);
    expect(front.map(({ latencyMs }) => latencyMs)).toEqual([1, 2, 3]);
  });
});

test('an interval is made of probes, not of the requests that share their batches', () => {
  const alike = (value: number): number[] => Array.from({ length: 50 }, () => value);
  const latency = latencyOf([alike(4), alike(5)]);
  expect([latency.meanMs, latency.probes, latency.samples]).toEqual([4.5, 2, 100]);
  expect(latency.halfWidthMs).toBeCloseTo(12.706 / 2);
  expect(latencyOf([[4]]).halfWidthMs).toBeNull();
});

describe('the sweep ranges', () => {
  test.each(ranges.num_request.rows)(
    'of requests in flight: %j ranks, %j at most',
    (attentionDp, engineMax, granularity, _old, fixed) => {
      expect(inFlightCounts(attentionDp as number, engineMax as number, granularity as number)).toEqual(
        fixed,
      );
    },
  );

  test.each(ranges.prefill_isl.rows)(
    'of prefill lengths: context %j, granularity %j',
    (maxContext, granularity, plain, forTemplate) => {
      expect(prefillIsls(maxContext as number, granularity as number)).toEqual(plain);
      if (Array.isArray(forTemplate))
        expect(prefillIsls(maxContext as number, granularity as number, true)).toEqual(forTemplate);
      else
        expect(() => prefillIsls(maxContext as number, granularity as number, true)).toThrow(
          'leaves no room',
        );
    },
  );

  test.each(ranges.decode_isl.rows as [number, number, number[] | string][])(
    'of decode lengths: context %j, granularity %j',
    (maxContext, granularity, expected) => {
      if (Array.isArray(expected)) expect(decodeIsls(maxContext, granularity)).toEqual(expected);
      else expect(() => decodeIsls(maxContext, granularity)).toThrow('leaves no room');
    },
  );

  test('of what fits: whole blocks, where their size is known', () => {
    expect(requestsThatFit({ tokens: 128_000 }, 600)).toBe(213);
    expect(requestsThatFit({ tokens: 128_000, blockSize: 64 }, 600)).toBe(200);
    expect(requestsThatFit({ tokens: 500, blockSize: 64 }, 600)).toBe(0);
  });

  test('of GPUs: powers of two for dense models, multiples of a node for MoE', () => {
    expect(denseGpuCounts(1, 8)).toEqual([1, 2, 4, 8]);
    expect(denseGpuCounts(3, 20)).toEqual([4, 8, 16]);
    expect(() => denseGpuCounts(5, 7)).toThrow('5..7 holds no power of two');
    expect(moeGpuCounts(8, 16, 8)).toEqual([8, 16]);
  });
});

describe('the KV capacity', () => {
  test.each(kvLogs.cases)(
    'of $backend is read from $log',
    ({ backend, log, attention_dp_size, ...expected }) => {
      const reference = expected.v0_9_and_later ?? expected.after_pr_7988 ?? expected.v0_6;
      const found = kvCapacityFromLog(backend as BackendName, log, attention_dp_size);
      if (/no match|nothing here|\(extra\)/.test(log)) expect(found).toBeUndefined();
      else if (log.includes('945,104')) {
        expect(found).toBe(945_104);
        expect(vllmCapacityFromConcurrency(log)).toBe(reference);
      } else expect(found).toBe(reference);
    },
  );
});
