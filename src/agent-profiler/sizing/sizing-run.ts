import { readFileSync } from 'node:fs';
import { fail, toError } from '../../base/errors.ts';
import type { Compat } from '../config.ts';
import type { Trace } from '../input/event.ts';
import { readTraceFiles, type TraceFileOptions } from '../input/trace-files.ts';
import { type SizingMetrics, type SizingResult, type SizingTargets, sizeGpus } from './gpu-sizing.ts';
import { levelMetrics } from './usage-stats.ts';

type Json = Readonly<Record<string, unknown>>;

/**
 * Sizes from runs at several concurrencies, each named `CONCURRENCY=TRACES`, or from earlier outputs
 * (calc_runner_output.json, old key names too); a concurrency seen before is not taken again.
 */
export async function sizeFromRuns(
  runs: readonly string[],
  targets: SizingTargets,
  compat: Compat,
  onFault: TraceFileOptions['onFault'],
): Promise<SizingResult> {
  const levels = new Map<number, SizingMetrics>();
  for (const run of runs) {
    const match = /^(\d+)=(.+)$/s.exec(run);
    if (match === null) {
      for (const [concurrency, metrics] of earlierLevels(run))
        if (!levels.has(concurrency)) levels.set(concurrency, metrics);
      continue;
    }
    const concurrency = Number(match[1]);
    if (concurrency < 1 || levels.has(concurrency))
      throw invalid(run, concurrency < 1 ? 'is not a concurrency' : 'repeats a concurrency');
    const traces: Trace[] = [];
    for await (const { index, events } of readTraceFiles([match[2]!], { onFault }))
      traces.push({ index, events });
    const { items: _, ...metrics } = levelMetrics(traces, compat === 'nat' ? 'last-start' : 'uuid');
    levels.set(concurrency, metrics);
  }
  if (levels.size < 2) throw invalid(runs.join(','), 'gives fewer than two concurrencies');
  return sizeGpus(levels, targets, compat === 'nat');
}

function earlierLevels(path: string): (readonly [number, SizingMetrics])[] {
  let file: Json;
  try {
    file = JSON.parse(readFileSync(path, 'utf8')) as Json;
  } catch (cause) {
    throw fail('KV_FILE_UNREADABLE', { path, reason: toError(cause).message }, cause);
  }
  const data = (file.calc_data ?? file.per_concurrency_data ?? {}) as Readonly<
    Record<string, { readonly sizing_metrics?: SizingMetrics }>
  >;
  const levels = Object.entries(data).flatMap(([concurrency, { sizing_metrics: metrics }]) =>
    metrics === undefined ? [] : [[Number(concurrency), metrics] as const],
  );
  if (levels.length === 0)
    throw fail('KV_FILE_MALFORMED', {
      path,
      reason: 'holds no calc_data',
      mend: 'Give a calc_runner_output.json, or CONCURRENCY=TRACES.',
    });
  return levels;
}

function invalid(value: string, reason: string): Error {
  return fail('KV_SETTING_INVALID', {
    setting: '--sizing-run',
    value,
    reason,
    mend: 'Give --sizing-run 1=one.json --sizing-run 2=two.json.',
  });
}
