import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { expectClose, traceOf } from '../../../test/support/golden-traces.ts';
import type { Trace } from '../input/event.ts';
import { CacheWhatIfCollector } from './cache-what-if.ts';
import { MovedTextCollector } from './moved-text.ts';
import { recommend } from './recommendations.ts';
import { Timeline, timeWeightedPercentile } from './timeline.ts';
import { TokenTimingCollector } from './token-timing.ts';
import { WasteCollector } from './waste.ts';

const call = (uuid: string, at: number, input: string, prompt: number, cached = 0) =>
  [
    ['LLM_START', at, uuid, { name: 'm', fn: 'f', input }],
    ['LLM_NEW_TOKEN', at + 0.25, uuid, { name: 'm', fn: 'f' }],
    ['LLM_NEW_TOKEN', at + 0.375, uuid, { name: 'm', fn: 'f' }],
    [
      'LLM_END',
      at + 0.5,
      uuid,
      { name: 'm', fn: 'f', tokens: { prompt_tokens: prompt, completion_tokens: 2, cached_tokens: cached } },
    ],
  ] as const;

describe('token timing', () => {
  test('comes from the token events, by model and by function', () => {
    const collector = new TokenTimingCollector();
    collector.add(traceOf(...call('a', 0, 'x', 100, 25), ...call('b', 0.125, 'y', 100, 25)));
    const { by_model: byModel, by_function: byFunction } = collector.finish();
    expect(byModel.m).toMatchObject({
      calls: 2,
      prompt_tokens: 200,
      cached_tokens: 50,
      kv_efficiency: 0.25,
      calls_without_usage: 0,
    });
    expect(byModel.m!.ttft_ms).toEqual({ n: 2, mean: 250, p50: 250, p90: 250, p99: 250 });
    expect(byModel.m!.itl_ms).toMatchObject({ n: 2, mean: 125 });
    expect(byFunction.f).toEqual(byModel.m);
  });

  test('tells missing usage from zero efficiency', () => {
    const collector = new TokenTimingCollector();
    collector.add(traceOf(['LLM_START', 0, 'u', { name: 'm' }], ['LLM_END', 1, 'u', { name: 'm' }]));
    expect(collector.finish().by_model.m).toMatchObject({ kv_efficiency: null, calls_without_usage: 1 });
  });
});

describe('recommendations', () => {
  function advise(traces: readonly Trace[]) {
    const [waste, cache, moved, timing] = [
      new WasteCollector(),
      new CacheWhatIfCollector(),
      new MovedTextCollector(),
      new TokenTimingCollector(),
    ];
    for (const trace of traces) for (const collector of [waste, cache, moved, timing]) collector.add(trace);
    return recommend({
      requests: traces.length,
      waste: waste.finish(),
      cache: cache.finish([]),
      moved: moved.finish(),
      timing: timing.finish(),
      spikes: undefined,
    });
  }

  test('rank what can be saved, in seconds first', () => {
    const shared = 'system prompt '.repeat(40);
    const tools = (at: number) =>
      ['x', 'y'].flatMap((t, i) => [
        ['TOOL_START', at + 2 * i, `${t}${at}`, { name: t }] as const,
        ['TOOL_END', at + 2 * i + 2, `${t}${at}`, { name: t }] as const,
      ]);
    const rows = [
      ...call('a', 0, `${shared}one`, 200),
      ...tools(1),
      ...call('b', 10, `${shared}two`, 200),
      ...call('c', 11, `${shared}two`, 200),
    ];
    const advice = advise([traceOf(...rows)]);
    expect(advice.map(({ title }) => title).sort()).toEqual([
      'Keep answers to repeated prompts',
      'Reuse prompt prefixes',
      'Run tools side by side',
      'Speed up the tool x',
    ]);
    const seconds = advice.map(({ saved_seconds: s }) => s);
    expect(seconds).toEqual([...seconds].sort((a, b) => b - a));
    expect(advice.find(({ title }) => title === 'Run tools side by side')?.saved_seconds).toBe(2);
    expect(advice.find(({ title }) => title === 'Keep answers to repeated prompts')).toMatchObject({
      saved_seconds: 0.5,
      saved_tokens: 200,
    });
  });

  test('point at spans that never end and calls without usage', () => {
    const titles = advise([
      traceOf(
        ['LLM_START', 0, 'a', { name: 'm' }],
        ['LLM_START', 1, 'b', { name: 'm' }],
        ['LLM_END', 2, 'b', { name: 'm' }],
      ),
    ]).map((r) => r.title);
    expect(titles).toContain('Find out why spans never end');
    expect(titles).toContain('Report token usage');
  });

  test('stay silent where nothing is wasted', () => {
    expect(advise([])).toEqual([]);
  });
});

describe('the timeline', () => {
  test('equals a count at every moment', () => {
    const span = fc.record({ start: fc.nat(15), length: fc.nat(8) });
    const property = fc.property(fc.array(span, { maxLength: 15 }), fc.nat(24), (spans, at) => {
      const starts = Float64Array.from(spans, ({ start }) => start);
      const ends = Float64Array.from(spans, ({ start, length }) => start + length);
      const timeline = Timeline.of(starts, ends);
      expect(timeline.levelAt(at + 0.5)).toBe(
        spans.filter(({ start, length }) => start < at + 0.5 && at + 0.5 < start + length).length,
      );
      let busy = 0;
      for (const [level, seconds] of timeline.distribution()) busy += level * seconds;
      expectClose(
        busy,
        spans.reduce((sum, { length }) => sum + length, 0),
      );
    });
    fc.assert(property, { numRuns: 300 });
  });

  test('has percentiles of 0 without time', () => {
    expect(timeWeightedPercentile(new Map(), 50)).toBe(0);
    expect(Timeline.of(new Float64Array(), new Float64Array()).levelAt(1)).toBe(0);
  });

  test('weighs levels by time', () => {
    expect(
      timeWeightedPercentile(
        new Map([
          [1, 3],
          [2, 1],
        ]),
        90,
      ),
    ).toBe(2);
  });
});
