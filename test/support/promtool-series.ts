/** One series in promtool's notation: `a+bxn` is n + 1 samples a, a + b, ...; `axn` is n + 1 samples of a. */
export interface NotedSeries {
  readonly series: string;
  readonly values: string;
}

/** The samples that a notation stands for. */
export function expandValues(notation: string): readonly number[] {
  return notation.split(/\s+/).flatMap((piece) => {
    const match = /^([\d.]+)(?:\+([\d.]+))?x(\d+)$/.exec(piece);
    if (match === null) throw new Error(`not promtool's notation: ${piece}`);
    const [, from, step = '0', count] = match;
    return Array.from({ length: Number(count) + 1 }, (_, i) =>
      // Exact decimals: a rounding error above the next value would look like a restart of the counter.
      Number((Number(from) + i * Number(step)).toPrecision(12)),
    );
  });
}

/** OpenMetrics text with times, series by series as the format demands, for promtool to backfill. */
export function openMetricsPast(series: readonly NotedSeries[], t0S: number, intervalS: number): string {
  const byFamily = new Map<string, string[]>();
  for (const each of series) {
    const name = each.series.slice(0, each.series.indexOf('{'));
    const lines = expandValues(each.values).map(
      (value, i) => `${each.series} ${value} ${t0S + i * intervalS}`,
    );
    byFamily.set(name, [...(byFamily.get(name) ?? []), ...lines]);
  }
  const blocks = [...byFamily].map(([name, lines]) => [`# TYPE ${name} unknown`, ...lines].join('\n'));
  return `${blocks.join('\n')}\n# EOF\n`;
}
