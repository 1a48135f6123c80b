import { fail } from '../../base/errors.ts';
import type { Compat } from '../config.ts';
import { withFoundStarts } from '../input/found-starts.ts';
import { readTraceFiles, type TraceFileOptions } from '../input/trace-files.ts';
import { findCalcOutputs, readCalcOutput } from './calc-output.ts';
import type { Levels, SizingMetrics } from './gpu-sizing.ts';
import { addTrace, LevelCollector } from './usage-stats.ts';

/**
 * Levels of runs at several concurrencies, each named `CONCURRENCY=TRACES`, or of earlier outputs
 * (calc_runner_output.json); a concurrency seen before is not taken again from those.
 */
export async function levelsOfRuns(
  runs: readonly string[],
  compat: Compat,
  onFault: TraceFileOptions['onFault'],
): Promise<Levels> {
  const levels = new Map<number, SizingMetrics>();
  for (const run of runs) {
    const match = /^(-?\d+)=(.+)$/s.exec(run);
    if (match === null) {
      addMissing(levels, readCalcOutput(run));
      continue;
    }
    const concurrency = Number(match[1]);
    if (concurrency < 1 || levels.has(concurrency))
      throw invalid(run, concurrency < 1 ? 'is not a concurrency' : 'repeats a concurrency');
    const level = new LevelCollector();
    for await (const trace of readTraceFiles([match[2]!], { onFault }))
      if (compat === 'nat') addTrace(level, trace, 'last-start');
      else addTrace(level, withFoundStarts(trace), 'uuid');
    levels.set(concurrency, level.finish());
  }
  if (levels.size < 2) throw invalid(runs.join(','), 'gives fewer than two concurrencies');
  return levels;
}

/** Levels of all earlier jobs below a folder; of each concurrency the newest. A file that cannot be used is told of. */
export function levelsOfJobs(dir: string, onFault: (path: string, thrown: unknown) => void): Levels {
  const levels = new Map<number, SizingMetrics>();
  for (const path of findCalcOutputs(dir)) {
    try {
      addMissing(levels, readCalcOutput(path));
    } catch (thrown) {
      onFault(path, thrown);
    }
  }
  if (levels.size < 2)
    throw fail('KV_FILE_MALFORMED', {
      path: dir,
      reason: `its jobs hold ${levels.size === 0 ? 'no usable concurrency' : 'only one concurrency'}`,
      mend: 'Measure at two concurrencies or more.',
    });
  return levels;
}

function addMissing(levels: Map<number, SizingMetrics>, more: Levels): void {
  for (const [concurrency, metrics] of more) if (!levels.has(concurrency)) levels.set(concurrency, metrics);
}

function invalid(value: string, reason: string): Error {
  return fail('KV_SETTING_INVALID', {
    setting: '--run',
    value,
    reason,
    mend: 'Give --run 1=one.json --run 2=two.json.',
  });
}
