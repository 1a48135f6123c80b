import type { FamilyReader } from './family-reader.ts';
import { bornAtZero, increase, meanInWindow, targetOf } from './increase.ts';
import { KVE_SOURCES, type KveSource } from './measures.ts';
import type { RawSeries, Window } from './raw-series.ts';

/** KV efficiency by one source: cached over prompt tokens, both of the same window. */
export interface KveReading {
  readonly source: KveSource['name'];
  readonly value: number;
  readonly cached_tokens: number | null;
  readonly prompt_tokens: number | null;
  /** More was cached than asked for: the source counts something twice. */
  readonly above_one: boolean;
  readonly by_instance: Readonly<Record<string, number>>;
}

/** Every source that saw prompts in the window, best first. */
export async function readKve(reader: FamilyReader, window: Window): Promise<readonly KveReading[]> {
  const readings: (KveReading | undefined)[] = await Promise.all(
    KVE_SOURCES.map(async (source) => {
      const part = await reader.read(source.part);
      return source.whole === undefined
        ? gaugeReading(source, part, window)
        : ratioReading(source, part, await reader.read(source.whole), window, await reader.scrapes());
    }),
  );
  return readings.filter((reading) => reading !== undefined);
}

function ratioReading(
  source: KveSource,
  part: readonly RawSeries[],
  whole: readonly RawSeries[],
  window: Window,
  scrapes: readonly RawSeries[],
): KveReading | undefined {
  if (part.length === 0) return undefined;
  const prompts = increaseByTarget(whole, window, scrapes);
  const parts = increaseByTarget(part, window, scrapes);
  const prompt = sum(prompts.values());
  if (prompt <= 0) return undefined;
  const cachedOf = (partTokens: number, all: number) => (source.computed ? all - partTokens : partTokens);
  const cached = cachedOf(sum(parts.values()), prompt);
  const by = [...prompts].filter(([, all]) => all > 0);
  return {
    source: source.name,
    value: cached / prompt,
    cached_tokens: cached,
    prompt_tokens: prompt,
    above_one: cached > prompt,
    by_instance: Object.fromEntries(
      by.map(([target, all]) => [instanceOf(target), cachedOf(parts.get(target) ?? 0, all) / all]),
    ),
  };
}

function gaugeReading(
  source: KveSource,
  series: readonly RawSeries[],
  window: Window,
): KveReading | undefined {
  const by = series.flatMap((each) => {
    const mean = meanInWindow(each, window);
    return mean === undefined ? [] : [[each.labels.instance ?? '', mean] as const];
  });
  if (by.length === 0) return undefined;
  const value = sum(by.map(([, mean]) => mean)) / by.length;
  return {
    source: source.name,
    value,
    cached_tokens: null,
    prompt_tokens: null,
    above_one: value > 1,
    by_instance: Object.fromEntries(by),
  };
}

function increaseByTarget(
  family: readonly RawSeries[],
  window: Window,
  scrapes: readonly RawSeries[],
): Map<string, number> {
  const born = bornAtZero(family, scrapes);
  const totals = new Map<string, number>();
  for (const series of family) {
    const grown = increase(series, window, born(series));
    const target = targetOf(series.labels);
    if (grown !== undefined) totals.set(target, (totals.get(target) ?? 0) + grown);
  }
  return totals;
}

function instanceOf(target: string): string {
  return target.slice(target.indexOf('/') + 1);
}

function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
