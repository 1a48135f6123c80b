/** Sum of all series of a family whose labels hold each of the given `name="value"` texts; 0 if there is none. */
export function metricSum(exposition: string, family: string, ...labels: readonly string[]): number {
  return exposition
    .split('\n')
    .filter((line) => line.startsWith(`${family}{`) || line.startsWith(`${family} `))
    .filter((line) => labels.every((label) => line.includes(label)))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}
