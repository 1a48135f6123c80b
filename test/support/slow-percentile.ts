/** The values in ascending order: at each place the one that this many others come before. */
function ranked(values: ArrayLike<number>): readonly number[] {
  const list = Array.from(values);
  const ascending: number[] = [];
  for (const [i, value] of list.entries()) {
    const before = list.filter((other, j) => other < value || (other === value && j < i)).length;
    ascending[before] = value;
  }
  return ascending;
}

/** The p-th percentile: the height at p % of the way along a line drawn through the ranked values. */
export function slowPercentile(values: ArrayLike<number>, p: number): number {
  const ascending = ranked(values);
  if (ascending.length < 2) return ascending[0] ?? 0;
  const steps = ascending.length - 1;
  // In hundredths of a step, which are whole numbers.
  const way = steps * p;
  for (let i = 0; i < steps; i++)
    if (way <= (i + 1) * 100) {
      const into = (way - i * 100) / 100;
      return ascending[i]! * (1 - into) + ascending[i + 1]! * into;
    }
  throw new Error(`the percentile ${p} lies beyond the values`);
}

export function slowMean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The lowest level at or below which p % of moments of equal length lie; 0 without moments. */
export function slowTimePercentile(levels: readonly number[], p: number): number {
  const enough = levels.filter((level) => {
    const atOrBelow = levels.filter((other) => other <= level).length;
    return atOrBelow * 100 >= levels.length * p;
  });
  return levels.length === 0 ? 0 : Math.min(...enough);
}
